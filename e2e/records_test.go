package e2e

import (
	"strings"
	"testing"
	"time"

	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// changeRecord edits the record of a revision of the release shop, as a person may.
func changeRecord(t *testing.T, namespace, name string, change func(*core.Secret)) {
	t.Helper()
	secrets := client(t).CoreV1().Secrets(namespace)
	record, err := secrets.Get(t.Context(), name, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(record)
	if _, err := secrets.Update(t.Context(), record, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func garble(record *core.Secret) { record.Data["release"] = []byte("garbage!") }

// TestRecordsThatCannotBeRead: a superseded one blocks nothing, the newest one blocks everything and is named.
func TestRecordsThatCannotBeRead(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	for _, greeting := range []string{"one", "two"} {
		_, got := tree.deploy(t.Context(), "records", image, "--set", "config.GREETING="+greeting)
		got.expect(t, 0)
	}
	changeRecord(t, "records", "sh.helm.release.v1.shop.v1", garble)
	const advice = "kubectl -n records delete secret sh.helm.release.v1.shop.v1"
	_, got := tree.deploy(t.Context(), "records", image, "--set", "config.GREETING=three")
	got.expect(t, 0, advice)
	if n := strings.Count(got.stderr, advice); n != 1 {
		t.Errorf("logged %d times:\n%s", n, got.stderr)
	}
	heal := []string{"--heal", "--environment", "records", "--release", "shop"}
	tree.verb(t.Context(), appdeploy.Command(), heal...).expect(t, 0, advice, "no revision was pending")

	changeRecord(t, "records", "sh.helm.release.v1.shop.v3", garble)
	for _, flags := range [][]string{{"--dry-run"}, nil} {
		_, got = tree.deploy(t.Context(), "records", image, append([]string{"--set", "config.GREETING=four"}, flags...)...)
		got.expect(t, 1, "OD-215", "kubectl -n records delete secret sh.helm.release.v1.shop.v3")
	}
	tree.verb(t.Context(), appdeploy.Command(), heal...).expect(t, 1, "OD-215")
	if state := readReleaseState(t, "records"); state.revision != 3 || state.held {
		t.Errorf("left: %s", state)
	}
}

// TestAnotherHelmsRevisionIsWaitedForWithinTheTimeout: half of it, not Helm's own five minutes.
func TestAnotherHelmsRevisionIsWaitedForWithinTheTimeout(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	_, got := tree.deploy(t.Context(), "another-helm", image)
	got.expect(t, 0)
	changeRecord(t, "another-helm", "sh.helm.release.v1.shop.v1", func(record *core.Secret) {
		record.Labels["status"] = "pending-upgrade"
		delete(record.Labels, "onedigest.dev/record")
		delete(record.Labels, "createdAt")
		delete(record.Labels, "modifiedAt")
	})
	began := time.Now()
	_, got = tree.deploy(t.Context(), "another-helm", image, "--set", "config.GREETING=two", "--timeout", "12s")
	got.expect(t, 1, "OD-203", "by another Helm than this pipeline's", "waiting for it, at most ")
	// Another Helm's revision counts as alive for five minutes.
	if took := time.Since(began); took > time.Minute {
		t.Errorf("waited %s under a timeout of 12s", took)
	}
}
