package helm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// rollBackByHand writes what `helm rollback` leaves in the history: the earlier revision again, by Helm's own driver.
func rollBackByHand(t *testing.T, s *server, namespace string, to, newest int) {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: s.config.Host})
	if err != nil {
		t.Fatal(err)
	}
	records := driver.NewSecrets(client.CoreV1().Secrets(namespace))
	read := func(revision int) *helmrelease.Release {
		found, err := records.Get("sh.helm.release.v1.shop.v" + string(rune('0'+revision)))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	left, again := read(newest), read(to)
	left.Info.Status = helmrelease.StatusSuperseded
	if err := records.Update("sh.helm.release.v1.shop.v"+string(rune('0'+newest)), left); err != nil {
		t.Fatal(err)
	}
	again.Version, again.Info.Status, again.Info.Description = newest+1, helmrelease.StatusDeployed, "Rollback to "+string(rune('0'+to))
	if err := records.Create("sh.helm.release.v1.shop.v"+string(rune('0'+newest+1)), again); err != nil {
		t.Fatal(err)
	}
}

func marksOf(t *testing.T, c *Client) (marks []string) {
	t.Helper()
	revisions, err := c.History(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, revision := range revisions {
		marks = append(marks, string(revision.Mark))
	}
	return marks
}

// TestARollbackByHandIsUnderstood: the revision that a person went back from is never gone back to.
func TestARollbackByHandIsUnderstood(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	for _, word := range []string{"one", "two"} {
		deployed := mustDeploy(t, c, withWord(d, word))
		if err := c.Mark(t.Context(), "shop", deployed.Revision, release.MarkReady); err != nil {
			t.Fatal(err)
		}
	}
	rollBackByHand(t, s, "staging", 1, 2)
	if diff := cmp.Diff([]string{"ready", "left", "ready"}, marksOf(t, c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	target, err := c.RollbackTarget(t.Context(), withWord(d, "three"))
	if err != nil || target.Revision != 3 || target.Mark != release.MarkReady {
		t.Errorf("got %+v, %v, want revision 3", target, err)
	}
	mustDeploy(t, c, withWord(d, "three"))
	if target, err = c.RollbackTarget(t.Context(), withWord(d, "four")); err != nil || target.Revision != 3 {
		t.Errorf("one revision later: got %+v, %v, want revision 3", target, err)
	}
}

// TestMarks: what a smoke has found is not undone by a deploy that changes nothing, and only a live revision is verified.
func TestMarks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	for _, word := range []string{"one", "two"} {
		mustDeploy(t, c, withWord(d, word))
	}
	mark := func(revision int, mark release.Mark) {
		t.Helper()
		if err := c.Mark(t.Context(), "shop", revision, mark); err != nil {
			t.Fatal(err)
		}
	}
	mark(2, release.MarkProved)
	mark(2, release.MarkReady)
	mark(1, release.MarkFailed)
	if diff := cmp.Diff([]string{"proved", "failed"}, marksOf(t, c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, revision := range []int{1, 7} {
		if err := c.Mark(t.Context(), "shop", revision, release.MarkProved); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "revision") {
			t.Errorf("revision %d, which is not live: got %v", revision, err)
		}
	}
}

// TestTheReadableRevisionToGoBackToIsKept behind a newer one that a rollback passes over.
func TestTheReadableRevisionToGoBackToIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	for i, word := range []string{"good", "better"} {
		mustDeploy(t, c, withWord(d, word))
		if err := c.Mark(t.Context(), "shop", i+1, release.MarkProved); err != nil {
			t.Fatal(err)
		}
	}
	mustDeploy(t, c, withWord(d, "next"))
	s.garble(2, "garbage!")
	for i := range history.MaxRevisions + 2 {
		mustDeploy(t, c, withWord(d, strings.Repeat("x", i+1)))
	}
	target, err := c.RollbackTarget(t.Context(), withWord(d, "next"))
	if err != nil || target.Revision != 1 {
		t.Fatalf("got %+v, %v, want revision 1", target, err)
	}
	if _, err := c.Rollback(t.Context(), "shop", 1, ready); err != nil {
		t.Error(err)
	}
}

// TestTheRevisionToGoBackToIsKept, however many newer ones nothing is known of.
func TestTheRevisionToGoBackToIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	mustDeploy(t, c, withWord(d, "good"))
	if err := c.Mark(t.Context(), "shop", 1, release.MarkProved); err != nil {
		t.Fatal(err)
	}
	for i := range history.MaxRevisions + 2 {
		mustDeploy(t, c, withWord(d, strings.Repeat("x", i+1)))
	}
	target, err := c.RollbackTarget(t.Context(), withWord(d, "next"))
	if err != nil || target.Revision != 1 || target.Mark != release.MarkProved {
		t.Errorf("got %+v, %v, want revision 1", target, err)
	}
}
