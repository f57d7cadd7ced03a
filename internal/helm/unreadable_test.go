package helm

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// logging is a client whose log can be read.
func (s *server) logging(namespace string) (*Client, func() string) {
	var mu sync.Mutex
	var lines []string
	client := s.client(namespace)
	client.log = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}
	return client, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "\n")
	}
}

// garble replaces the content of a release's record.
func (s *server) garble(revision int, content string) {
	s.change(fmt.Sprintf("/secrets/sh.helm.release.v1.shop.v%d", revision), func(object map[string]any) {
		object["data"] = map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(content))}
	})
}

// threeRevisions deploys three times; the first two are superseded then.
func threeRevisions(t *testing.T, s *server) release.Deployment {
	t.Helper()
	c, d := s.client("staging"), deployment(t, "staging")
	for i := range 3 {
		d.Set = []string{fmt.Sprintf("config.N=n%d", i)}
		mustDeploy(t, c, d)
		if err := c.Mark(t.Context(), "shop", i+1, release.MarkReady); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// bomb is a record that decompresses to more than any revision has.
func bomb(t *testing.T) string {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	for range 70 {
		if _, err := zip.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

// TestAnUnreadableRecord: one that is not needed is skipped and logged once; without one that is, nothing is changed.
func TestAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"garbage":                 "garbage!",
		"nothing":                 "",
		"a compressed bomb":       bomb(t),
		"JSON that is no release": base64.StdEncoding.EncodeToString([]byte(`{"name":"shop"}`)),
		"another revision's":      base64.StdEncoding.EncodeToString([]byte(`{"name":"shop","version":9,"info":{"status":"superseded"}}`)),
		"another release's":       base64.StdEncoding.EncodeToString([]byte(`{"name":"other","version":1,"info":{"status":"superseded"}}`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := threeRevisions(t, s)
			s.garble(1, content)
			c, log := s.logging("staging")
			revisions, err := c.History(t.Context(), "shop")
			if err != nil || len(revisions) != 3 || revisions[2].Number != 1 || revisions[2].Status != "superseded" || revisions[2].Mark != release.MarkReady {
				t.Errorf("history: %v, %v", revisions, err)
			}
			d.Set = []string{"config.N=next"}
			if target, err := c.RollbackTarget(t.Context(), d); err != nil || target.Revision != 3 {
				t.Errorf("rollback target: %+v, %v", target, err)
			}
			if _, err := c.Plan(t.Context(), d); err != nil {
				t.Errorf("plan: %v", err)
			}
			if healed, err := c.Heal(t.Context(), "shop", func(string) {}); healed != nil || err != nil {
				t.Errorf("heal: %v, %v", healed, err)
			}
			mustDeploy(t, c, d)
			if _, err := c.Rollback(t.Context(), "shop", 3, ready); err != nil {
				t.Errorf("rollback: %v", err)
			}
			advice := "kubectl -n staging delete secret sh.helm.release.v1.shop.v1"
			if strings.Count(log(), advice) != 1 || !strings.Contains(log(), "OD-215") {
				t.Errorf("told %d times in:\n%s", strings.Count(log(), advice), log())
			}

			s.garble(5, content)
			s.changes()
			_, history := c.History(t.Context(), "shop")
			_, planning := c.Plan(t.Context(), d)
			_, deploying := c.Deploy(t.Context(), d, ready)
			_, rolling := c.Rollback(t.Context(), "shop", 3, ready)
			for doing, err := range map[string]error{"history": history, "plan": planning, "deploy": deploying, "rollback": rolling} {
				if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "OD-215") || !strings.Contains(err.Error(), "delete secret sh.helm.release.v1.shop.v5") {
					t.Errorf("%s: got %v", doing, err)
				}
			}
			if got := s.changes(); got != nil {
				t.Errorf("changed nevertheless: %q", got)
			}
			s.remove("/secrets/sh.helm.release.v1.shop.v5") // as the advice says
			d.Set = []string{"config.N=after"}
			if got := mustDeploy(t, c, d); got.Revision != 5 || got.Outcome != release.Changed {
				t.Errorf("after the advice: %+v", got)
			}
		})
	}
}

// TestRollbackSkipsAnUnreadableTarget for the one before.
func TestRollbackSkipsAnUnreadableTarget(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := threeRevisions(t, s)
	setStatus(t, s.client("staging"), helmrelease.StatusFailed)
	s.change("/secrets/sh.helm.release.v1.shop.v3", func(object map[string]any) {
		delete(object["metadata"].(map[string]any)["labels"].(map[string]any), release.LabelMark)
	})
	s.garble(2, "garbage!")
	c, log := s.logging("staging")
	target, err := c.RollbackTarget(t.Context(), d)
	if err != nil || target.Revision != 1 || !strings.Contains(log(), "sh.helm.release.v1.shop.v2") {
		t.Errorf("got %+v, %v:\n%s", target, err, log())
	}
}

// TestAPendingRecordThatIsUnreadable cannot be healed, and is named.
func TestAPendingRecordThatIsUnreadable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	threeRevisions(t, s)
	c := s.client("staging")
	setStatus(t, c, helmrelease.StatusPendingUpgrade)
	s.garble(3, "garbage!")
	if _, err := c.Heal(t.Context(), "shop", func(string) {}); release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "delete secret sh.helm.release.v1.shop.v3") {
		t.Errorf("got %v", err)
	}
}

// TestTheDeployedRevisionIsSeenBehindManyFailedOnes: the order of commits is that of what is live.
func TestTheDeployedRevisionIsSeenBehindManyFailedOnes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	for i := range 12 {
		d.Set = []string{fmt.Sprintf("config.N=n%d", i)}
		failing := func(context.Context, release.Phase, []release.Object) error {
			return &release.Failure{What: "not ready"}
		}
		if _, err := c.Deploy(t.Context(), d, failing); err == nil {
			t.Fatal("it did not fail")
		}
	}
	revisions, err := c.History(t.Context(), "shop")
	if err != nil || revisions[len(revisions)-1].Status != "deployed" || revisions[len(revisions)-1].Commit != d.Commit {
		t.Errorf("got %+v, %v", revisions, err)
	}
}

// TestRecordsThatHelmWouldNotFind are refused before anything is applied.
func TestRecordsThatHelmWouldNotFind(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := threeRevisions(t, s)
	s.change("/secrets/sh.helm.release.v1.shop.v3", func(object map[string]any) {
		delete(object["metadata"].(map[string]any)["labels"].(map[string]any), "owner")
	})
	s.changes()
	d.Set = []string{"config.N=next"}
	_, err := s.client("staging").Deploy(t.Context(), d, ready)
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "labels owner, name and version") || s.changes() != nil {
		t.Errorf("a record without labels: %v", err)
	}

	elsewhere := newServer(t)
	elsewhere.put("/api/v1/namespaces/staging/configmaps/sh.helm.release.v1.shop.v4", map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "sh.helm.release.v1.shop.v4", "namespace": "staging", "labels": map[string]any{"owner": "helm", "name": "shop", "version": "4"}}})
	c := elsewhere.client("staging")
	_, planning := c.Plan(t.Context(), d)
	_, deploying := c.Deploy(t.Context(), d, ready)
	for _, err := range []error{planning, deploying} {
		if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "OD-216") || elsewhere.changes() != nil {
			t.Errorf("records in ConfigMaps: %v", err)
		}
	}
}

// limited is a context whose time is up when the channel is closed, however long its deadline is away.
type limited struct {
	deadline time.Time
	passed   chan struct{}
}

func (l limited) Value(any) any { return nil }

func (l limited) Deadline() (time.Time, bool) { return l.deadline, true }

func (l limited) Done() <-chan struct{} { return l.passed }

func (l limited) Err() error {
	select {
	case <-l.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestHealWaitsNoLongerThanItsContext for a revision that another Helm has in progress, and says so.
func TestHealWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	threeRevisions(t, s)
	c := s.client("staging")
	setStatus(t, c, helmrelease.StatusPendingUpgrade)
	s.change("/secrets/sh.helm.release.v1.shop.v3", func(object map[string]any) {
		labels := object["metadata"].(map[string]any)["labels"].(map[string]any)
		delete(labels, "onedigest.dev/record")
		delete(labels, "modifiedAt")
		delete(labels, "createdAt")
	})
	c.timeouts.otherHelm = time.Hour
	ctx := limited{time.Now().Add(30 * time.Minute), make(chan struct{})}
	var reported []string
	_, err := c.Heal(ctx, "shop", func(line string) {
		if reported = append(reported, line); len(reported) == 1 {
			close(ctx.passed)
		}
	})
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(fmt.Sprint(err), "OD-203") {
		t.Errorf("got %v", err)
	}
	if len(reported) != 1 {
		t.Fatalf("reported %q", reported)
	}
	_, limit, _ := strings.Cut(reported[0], "at most ")
	if limit != "30 minutes" && !strings.HasPrefix(limit, "29 minutes") {
		t.Errorf("reported %q", reported)
	}
}

// TestARevisionDeletedWhileItIsRead: the state is read again, because a run that prunes the history deletes revisions.
func TestARevisionDeletedWhileItIsRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		deleted int // reads that find the newest revision deleted
		exit    int
	}{"once": {1, release.ExitDone}, "again and again": {10, release.ExitFault}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			d := threeRevisions(t, s)
			var reads atomic.Int32
			s.answers(func(r *http.Request) (int, string) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets/sh.helm.release.v1.shop.v3") && int(reads.Add(1)) <= test.deleted {
					return http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
				}
				return 0, ""
			})
			if _, err := s.client("staging").Plan(t.Context(), d); release.ExitCode(err) != test.exit || reads.Load() == 0 {
				t.Errorf("got %v after %d reads, want exit code %d", err, reads.Load(), test.exit)
			}
		})
	}
}
