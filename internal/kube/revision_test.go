package kube

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
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
