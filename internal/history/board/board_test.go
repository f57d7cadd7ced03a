package board_test

import (
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
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// many returns a history of n commits, with each state among them.
func many(t testing.TB, n int) history.Result {
	t.Helper()
	result := history.Result{Repository: "registry.example/team/shop", Environments: []release.Environment{"staging", "production"}, At: at, Verified: true,
		Source: "https://github.com/team/shop", Keys: map[string]string{"key1": "awskms:///alias/evidence"}}
	states := []history.State{history.StateLive, history.StateProved, history.StateFailed, history.StateRejected, history.StatePromoted, history.StateReplaced, history.StateNone}
	for i := range n {
		commit := release.Commit(fmt.Sprintf("%040x", 0xabc000+i))
		digest, err := release.ParseDigest(fmt.Sprintf("sha256:%064x", 0xdef000+i))
		if err != nil {
			t.Fatal(err)
		}
		image := result.Repository.At(digest)
		fact := history.Fact{Kind: history.Smoked, Environment: "staging", Verdict: release.Pass, At: at.Add(-time.Duration(i) * time.Hour), Run: "https://github.com/team/shop/actions/runs/1",
			Signer: "key1", Detail: "3 rounds of /", Predicate: "https://in-toto.io/attestation/test-result/v0.1"}
		entry := history.Entry{Commit: commit, Image: image, Created: fact.At, Tags: []release.Tag{release.Tag(commit.String())}}
		for j, environment := range result.Environments {
			cell := history.Cell{Environment: environment, State: states[(i+j)%len(states)], Facts: []history.Fact{}}
			if cell.State != history.StateNone {
				cell.Since, cell.Facts = fact.At, []history.Fact{fact}
			}
			entry.Cells = append(entry.Cells, cell)
		}
		result.Commits = append(result.Commits, entry)
	}
	if n > 0 {
		result.Running = []history.Running{{Environment: "staging", Commit: result.Commits[0].Commit, Image: result.Commits[0].Image, Since: at, Because: "the first environment takes every build"},
			{Environment: "production", Because: "no deploy is recorded"}}
	}
	return result
}

func TestRender(t *testing.T) {
	t.Parallel()
	page, err := board.Render(many(t, 7))
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
	result.Notes = []string{hostile}
	for i := range result.Commits[0].Cells {
		result.Commits[0].Cells[i].Facts = []history.Fact{
			{Kind: history.Smoked, Detail: hostile, Run: "javascript:alert(3)", Signer: hostile, Predicate: hostile},
			{Kind: history.Kind(hostile), Run: hostile, Signer: "key1", Predicate: "'; rm -rf / #"},
		}
	}
	page, err := board.Render(result)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, live := range []string{"<script>alert", `href="javascript:`} {
		if strings.Contains(text, live) {
			t.Errorf("the page contains %s", live)
		}
	}
	if !strings.Contains(text, `--type &#39;&#39;\&#39;&#39;; rm -rf / #&#39;`) {
		t.Errorf("the command does not quote its arguments:\n%s", text)
	}
}
