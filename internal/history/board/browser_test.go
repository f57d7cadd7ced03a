package board_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser opens a page in Chromium and collects what it complains of. ONEDIGEST_BROWSER names the program, which scripts/browser.sh installs.
type browser struct {
	tab        context.Context //nolint:containedctx // chromedp's handle of a page
	mu         sync.Mutex
	complaints []string
}

func open(t testing.TB, page []byte) *browser {
	t.Helper()
	program := os.Getenv("ONEDIGEST_BROWSER")
	if program == "" {
		t.Skip("SKIPPED: set the variables that scripts/browser.sh prints")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent) // the browser asks for an icon
			return
		}
		_, _ = w.Write(page)
	}))
	t.Cleanup(server.Close)
	// The sandbox needs a user that is not root.
	allocated, stopBrowser := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))...)
	ctx, stop := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		stop()
		stopBrowser()
		if started := chromedp.FromContext(ctx).Allocator; started != nil {
			started.Wait() // the test program must not end before its browser
		}
	})
	ctx, stopWaiting := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stopWaiting)
	b := &browser{tab: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, event.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			b.complaints = append(b.complaints, event.Entry.Text)
		}
	})
	b.do(t, log.Enable(), chromedp.Navigate(server.URL))
	return b
}

func (b *browser) do(t testing.TB, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.tab, actions...); err != nil {
		t.Fatal(err)
	}
}

// text evaluates an expression whose value is a text.
func (b *browser) text(t testing.TB, expression string) (value string) {
	t.Helper()
	b.do(t, chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return value
}

const shown = `String([...document.querySelectorAll("tbody tr")].filter((row) => row.offsetHeight > 0).length)`

// TestBoardInABrowser uses the page as people do: it filters, opens a cell, and copies a command.
func TestBoardInABrowser(t *testing.T) {
	t.Parallel()
	history := many(t, 1000)
	page, err := rendered.Render(history)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, page)
	for _, step := range []struct{ find, state, environment, want string }{
		{"", "", "", "1000"},
		{history.Commits[41].Commit.String()[:12], "", "", "1"},
		{history.Commits[7].Image.Digest.String(), "", "", "1"},
		{"no such thing", "", "", "0"},
		{"", "failed", "", "286"},
		{"", "failed", "production", "143"},
		{"", "", "production", "857"},
	} {
		script := fmt.Sprintf(`for (const [id, value] of [["find", %q], ["state", %q], ["environment", %q]]) {
			const field = document.getElementById(id); field.value = value; field.dispatchEvent(new Event("input"));
		} %s`, step.find, step.state, step.environment, shown)
		if got := b.text(t, script); got != step.want {
			t.Errorf("%+v: %s commits are shown", step, got)
		}
		if got := b.text(t, `document.getElementById("count").textContent`); got != step.want+" of 1000 commits" {
			t.Errorf("%+v: the count is %q", step, got)
		}
	}
	b.text(t, `document.getElementById("find").value = ""; document.getElementById("environment").value = ""; document.getElementById("find").dispatchEvent(new Event("input")); ""`)
	b.do(t, chromedp.Click("tbody details summary", chromedp.ByQuery), chromedp.Click(".copy button", chromedp.ByQuery))
	if got, want := b.text(t, `getSelection().toString()`), "cosign verify-attestation --key 'awskms:///alias/evidence'"; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("the copied command is %q", got)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %q", b.complaints)
	}
}

// TestBoardIsAccessible checks the page with axe, in light and dark. ONEDIGEST_AXE names its script.
func TestBoardIsAccessible(t *testing.T) {
	t.Parallel()
	page, err := rendered.Render(many(t, 20))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := open(t, page)
			axe, err := os.ReadFile(os.Getenv("ONEDIGEST_AXE"))
			if err != nil {
				t.Fatal(err)
			}
			b.do(t, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			if got, want := b.text(t, `getComputedStyle(document.body).backgroundColor`), map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]; got != want {
				t.Errorf("the background is %s, want %s", got, want)
			}
			b.text(t, `for (const each of document.querySelectorAll("details")) each.open = true; ""`)
			b.text(t, string(axe)+`; ""`)
			found := b.text(t, `axe.run().then((result) => JSON.stringify({passed: result.passes.length, violations: result.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes[0].html)}))`)
			var result struct {
				Passed     int
				Violations []string
			}
			if err := json.Unmarshal([]byte(found), &result); err != nil {
				t.Fatal(err)
			}
			if result.Passed == 0 || len(result.Violations) > 0 {
				t.Errorf("%d rules pass, and these do not: %q", result.Passed, result.Violations)
			}
		})
	}
}

// BenchmarkFilter is how long a browser takes from a key in the filter of 1,000 commits until the page is laid out again.
func BenchmarkFilter(b *testing.B) {
	page, err := rendered.Render(many(b, 1000))
	if err != nil {
		b.Fatal(err)
	}
	opened := open(b, page)
	var milliseconds float64
	opened.do(b, chromedp.Evaluate(fmt.Sprintf(`(() => {
		const find = document.getElementById("find"), began = performance.now();
		for (let i = 0; i < %d; i++) {
			find.value = i %% 2 ? "" : "a"; find.dispatchEvent(new Event("input")); document.body.offsetHeight;
		}
		return (performance.now() - began) / %d;
	})()`, b.N, b.N), &milliseconds))
	b.ReportMetric(milliseconds, "ms/key")
	b.ReportMetric(0, "ns/op")
}
