package board_test

import (
	"crypto/sha1" //nolint:gosec // commits have such names
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/history/board"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	at       = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	rendered = board.Page{PredicateType: func(kind fact.Kind) string { return "https://onedigest.dev/attestation/" + string(kind) + "/v1" }}
)

// many returns a history of n commits, with each state among them.
func many(t testing.TB, n int) history.Result {
	t.Helper()
	result := history.Result{Repository: "registry.example/team/shop", Environments: []release.Environment{"staging", "production"}, At: at, Verified: true,
		Source: "https://github.com/team/shop", Keys: map[string]string{"key1": "awskms:///alias/evidence"}}
	states := []history.State{history.StateLive, history.StateProved, history.StateFailed, history.StateRejected, history.StatePromoted, history.StateReplaced, history.StateNone}
	for i := range n {
		commit := release.Commit(fmt.Sprintf("%x", sha1.Sum([]byte{byte(i >> 8), byte(i)})))
		digest, err := release.ParseDigest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte{byte(i >> 8), byte(i)})))
		if err != nil {
			t.Fatal(err)
		}
		image := result.Repository.At(digest)
		record := fact.Record{Signer: "key1", Signed: true, Fact: fact.FromEvidence(release.Evidence{Image: image, Commit: commit, Environment: "staging", Verdict: release.Pass, Rounds: 3,
			Checks: []string{"/"}, At: at.Add(-time.Duration(i) * time.Hour), Run: "https://github.com/team/shop/actions/runs/1"})}
		entry := history.Entry{Commit: commit, Image: image, Created: record.At, Tags: []release.Tag{release.Tag(commit.String())}}
		for j, environment := range result.Environments {
			cell := history.Cell{Environment: environment, State: states[(i+j)%len(states)], Records: []fact.Record{}}
			if cell.State != history.StateNone {
				cell.Since, cell.Records = record.At, []fact.Record{record}
			}
			entry.Cells = append(entry.Cells, cell)
		}
		result.Commits = append(result.Commits, entry)
	}
	if n > 0 {
		result.Running = []history.Running{{Environment: "staging", Commit: result.Commits[0].Commit, Image: result.Commits[0].Image, Since: at, Because: "the first environment accepts every build"},
			{Environment: "production", Because: "no deploy is recorded"}}
	}
	return result
}

func TestRender(t *testing.T) {
	t.Parallel()
	page, err := rendered.Render(many(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "board.golden.html")
	if *update {
		if err := os.WriteFile(golden, page, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(page)); diff != "" {
		t.Errorf("-want +got (-update writes it):\n%s", diff)
	}
}

// TestRenderKeepsOutsidersTextInert: what a record says is text on the page, and no address but of the web is a link.
func TestRenderKeepsOutsidersTextInert(t *testing.T) {
	t.Parallel()
	hostile := `"><script>alert(1)</script><a href="javascript:alert(2)">`
	result := many(t, 1)
	result.Keys["key1"] = "'; rm -rf / #"
	for i := range result.Commits[0].Cells {
		result.Commits[0].Cells[i].Records = []fact.Record{
			{Signer: hostile, Problem: hostile, Fact: fact.Fact{Kind: fact.Rejected, By: hostile, Run: "javascript:alert(3)", Rejection: &fact.Rejection{Reason: hostile}}},
			{Signer: "key1", Fact: fact.Fact{Kind: fact.Kind(hostile), Run: hostile}},
		}
	}
	page, err := rendered.Render(result)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, live := range []string{"<script>alert", `href="javascript:`} {
		if strings.Contains(text, live) {
			t.Errorf("the page contains %s", live)
		}
	}
	if !strings.Contains(text, `--key &#39;&#39;\&#39;&#39;; rm -rf / #&#39;`) {
		t.Errorf("the command does not quote its arguments:\n%s", text)
	}
}
