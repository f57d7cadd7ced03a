package kube

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// record is Helm's record of a revision of the release shop.
func record(revision int, status string, labels ...string) *core.Secret {
	secret := &core.Secret{ObjectMeta: described(fmt.Sprintf("sh.helm.release.v1.shop.v%d", revision), map[string]string{
		"owner": "helm", "name": "shop", "version": strconv.Itoa(revision), "status": status}), Data: map[string][]byte{"release": []byte("large")}}
	for _, label := range labels {
		secret.Labels[release.LabelMark] = label
	}
	return secret
}

func TestLiveRevision(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		records []*core.Secret
		want    int
	}{
		"not installed by Helm":   {nil, 0},
		"the newest":              {[]*core.Secret{record(9, "superseded"), record(10, "deployed")}, 10},
		"a failed one is newer":   {[]*core.Secret{record(2, "deployed"), record(3, "failed")}, 0},
		"one is in progress":      {[]*core.Secret{record(2, "deployed"), record(3, "pending-upgrade")}, 0},
		"what Helm did not write": {[]*core.Secret{record(2, "deployed"), {ObjectMeta: described("x", map[string]string{"owner": "helm", "name": "shop"})}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			for _, record := range test.records {
				s.Put(record)
			}
			if got, err := s.client().LiveRevision(t.Context(), space, "shop"); got != test.want || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, test.want)
			}
		})
	}
}

func TestMarkRevision(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(record(1, "superseded"), record(2, "deployed", "1.ready"))
	conflicts := 1
	s.Break(func(r *http.Request) int { // somebody else labels the record at the same time
		if r.Method == http.MethodPatch && conflicts > 0 {
			conflicts--
			return http.StatusConflict
		}
		return 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	mark := func(revision int, mark release.Mark) error {
		return s.client().MarkRevision(ctx, space, "shop", revision, mark)
	}
	if err := mark(2, release.MarkProved); err != nil || conflicts != 0 {
		t.Fatalf("got %v, %d conflicts left", err, conflicts)
	}
	before := s.Count("patch ")
	if err := mark(2, release.MarkProved); err != nil || s.Count("patch ") != before {
		t.Errorf("a mark that is there is written again: %v", err)
	}
	if err := mark(2, release.MarkFailed); err != nil || s.Count("patch ") != before+1 {
		t.Errorf("a mark that differs is not written: %v", err)
	}
	if err := mark(1, release.MarkProved); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "not live any more") {
		t.Errorf("got %v", err)
	}
}

func TestMarkRevisionWithoutAccess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(record(2, "deployed"))
	s.Break(func(r *http.Request) int {
		if r.Method == http.MethodPatch {
			return http.StatusForbidden
		}
		return 0
	})
	if err := s.client().MarkRevision(t.Context(), space, "shop", 2, release.MarkProved); release.ExitCode(err) != release.ExitFault {
		t.Errorf("got %v, want a fault", err)
	}
}

func TestUndeployed(t *testing.T) {
	t.Parallel()
	run, seconds := "run 7", int32(60)
	lease := func(renewed time.Time) *coordination.Lease {
		at := meta.NewMicroTime(renewed)
		return &coordination.Lease{ObjectMeta: described("onedigest-shop", nil), Spec: coordination.LeaseSpec{HolderIdentity: &run, LeaseDurationSeconds: &seconds, RenewTime: &at}}
	}
	now := time.Now()
	for name, test := range map[string]struct {
		objects []runtime.Object
		deny    string
		want    release.Undeployed
		is      bool
	}{
		"not installed by Helm":      {nil, "", release.Undeployed{}, false},
		"deployed":                   {[]runtime.Object{record(1, "superseded"), record(2, "deployed")}, "", release.Undeployed{}, false},
		"a failed upgrade":           {[]runtime.Object{record(1, "deployed"), record(2, "failed")}, "", release.Undeployed{}, false},
		"an upgrade in progress":     {[]runtime.Object{record(1, "deployed"), record(2, "pending-upgrade"), lease(now)}, "", release.Undeployed{}, false},
		"kept records":               {[]runtime.Object{record(1, "superseded"), record(2, "uninstalled")}, "", release.Undeployed{}, false},
		"uninstalled":                {[]runtime.Object{record(1, "uninstalled")}, "", release.Undeployed{}, false},
		"a failed install":           {[]runtime.Object{record(1, "failed")}, "", release.Undeployed{Revision: 1, Status: "failed"}, true},
		"a failed install, repeated": {[]runtime.Object{record(9, "failed"), record(10, "failed")}, "", release.Undeployed{Revision: 10, Status: "failed"}, true},
		"a killed install":           {[]runtime.Object{record(1, "pending-install"), lease(now.Add(-time.Hour))}, "", release.Undeployed{Revision: 1, Status: "pending-install"}, true},
		"an install in progress":     {[]runtime.Object{record(1, "pending-install"), lease(now)}, "", release.Undeployed{Revision: 1, Status: "pending-install", Holder: run, Duration: time.Minute}, true},
		"Leases may not be read":     {[]runtime.Object{record(1, "pending-install"), lease(now)}, "get leases.coordination.k8s.io", release.Undeployed{Revision: 1, Status: "pending-install", LeaseUnknown: true}, true},
		"records may not be listed":  {[]runtime.Object{record(1, "failed")}, "list secrets", release.Undeployed{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(test.objects...)
			if test.deny != "" {
				s.Break(func(r *http.Request) int {
					if strings.Contains(r.URL.Path, strings.TrimSuffix(strings.Fields(test.deny)[1], ".coordination.k8s.io")) {
						return http.StatusForbidden
					}
					return 0
				})
			}
			got, is, err := s.client().Undeployed(t.Context(), space, "shop")
			if (got.Holder == "") != (got.Heartbeat == "") {
				t.Errorf("holder %q with the heartbeat %q", got.Holder, got.Heartbeat)
			}
			got.Heartbeat = ""
			if got != test.want || is != test.is || err != nil {
				t.Errorf("got %+v, %t, %v, want %+v, %t", got, is, err, test.want, test.is)
			}
		})
	}
}
