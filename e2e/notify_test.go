package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTellingSlack runs the workflow of docs/notify.md against a server in the place of Slack: after a deploy, and after one that failed with a text that would
// break JSON and command the shell.
func TestTellingSlack(t *testing.T) {
	beside(t)
	page, err := os.ReadFile("../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	workflow, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("docs/notify.md has no workflow")
	}
	f := newFlow(t)
	program := filepath.Join(t.TempDir(), "onedigest")
	const standIn = `#!/bin/bash
case $* in
  *good*) echo '{"outcome": "changed", "url": "https://shop.example.com"}' ;;
  *) printf '%s\n' '{"error": "OD-103: it said \"$(id)\"` + "`id`" + ` <!channel> é\nand \\ more", "exit": 1, "result": {}}'; exit 1 ;;
esac
`
	if err := os.WriteFile(program, []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	f.checkout.write(".github/workflows/notify.yaml", strings.NewReplacer("onedigest deploy", program+" deploy", "runs-on: self-hosted", "runs-on: ubuntu-latest").Replace(workflow))
	f.checkout.commit("tell Slack")
	var mu sync.Mutex
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		var message any // which escapes there are is the program's that writes JSON
		if err := json.Unmarshal(body, &message); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		sent = append(sent, fmt.Sprintf("%s %s %s %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), message))
	}))
	t.Cleanup(server.Close)
	for image, fails := range map[string]bool{"good": false, "bad": true} {
		mu.Lock()
		sent = nil
		mu.Unlock()
		log, err := f.run(t, "workflow_dispatch", "notify.yaml", "--input", "image="+image, "--secret", "SLACK_WEBHOOK="+server.URL+"/services/T/B/x")
		if (err != nil) != fails {
			t.Errorf("%s: ended with %v:\n%s", image, err, log)
		}
		text := `deployed: staging changed https://shop.example.com`
		if fails {
			text = `failed: staging OD-103: it said "$(id)"` + "`id` <!channel> é\nand \\ more "
		}
		want := []string{"POST /services/T/B/x application/json map[blocks:[map[text:map[text:" + text + " type:plain_text] type:section]]]"}
		mu.Lock()
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("%s: (-want +got):\n%s\n%s", image, diff, log)
		}
		mu.Unlock()
	}
}
