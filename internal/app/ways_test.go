package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// The types of this file list the ways out of a run. A way that is added to the product does not compile here, or fails
// TestEveryCommandOfTheRunnerIsKnown, until it is searched for canaries too.

// process has the fields of app.Process.
type process struct {
	Program string
	Args    []string
	Environ []string
	Dir     string
	Stdout  io.Writer
	Stderr  io.Writer
	Secrets *text.Secrets
	Now     func() time.Time
	Child   []string
}

// wiring has the fields of app.Wiring.
type wiring[S, R any] struct {
	Verb          setting.Verb
	Declare       func(*S) *setting.Set
	ResolveCommit app.ResolveCommit
	RunsGo        bool
	Run           func(ctx context.Context, settings *S, run *app.RunContext) (R, error)
	Outputs       func(R) map[string]string
	Summary       func(R) []app.Row
}

// reporter has the methods of release.Reporter, all of which talkative calls.
type reporter interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Raw(text string)
	Progress(what string, progress release.Progress)
	Group(title string) (end func())
	Step(step release.RolloutStep)
}

var (
	_ reporter         = release.Reporter(nil)
	_ release.Reporter = reporter(nil)
)

// TestEveryCommandOfTheRunnerIsKnown: talkative reaches each of the runner's commands, by the reporter, its result or its error.
func TestEveryCommandOfTheRunnerIsKnown(t *testing.T) {
	t.Parallel()
	var got []string
	for method := range reflect.TypeFor[*github.Runner]().Methods() {
		got = append(got, method.Name)
	}
	if want := []string{"Actor", "EndGroup", "Error", "Group", "Mask", "On", "RunURL", "SetOutput", "Summary", "Warning"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: have talkative say canaries by the new ones", got, want)
	}
}

// waysOut is all that leaves a run.
type waysOut struct {
	stdout, stderr, outputs, summary string
	sent                             []sent
}

// sent is a request that a server got, without Authorization: credentials are for the server that asks for them.
type sent struct{ to, text string }

// allowed are the canaries that are for a server.
var allowed = map[string][]string{"service": {"canary-header", "canary-body"}}

// search searches all ways for canaries and for live commands.
func (w waysOut) search(t *testing.T) {
	t.Helper()
	// The conversion fails to compile if there is a way that is not searched below.
	all := struct {
		stdout, stderr, outputs, summary string
		sent                             []sent
	}(w)
	for name, shown := range map[string]string{"standard output": all.stdout, "standard error": all.stderr, "outputs": all.outputs, "summary": all.summary} {
		for line := range strings.FieldsFuncSeq(shown, func(c rune) bool { return c == '\n' || c == '\r' }) {
			trimmed := strings.TrimSpace(line)
			if strings.HasPrefix(trimmed, "::add-mask::") && !strings.HasPrefix(trimmed, "::add-mask::x") {
				continue // of a token that the verb has obtained itself
			}
			if hasCanary(line) {
				t.Errorf("%s shows %q", name, line)
			}
			if strings.HasPrefix(trimmed, "::set-output") || strings.HasPrefix(trimmed, "::add-mask") || strings.HasPrefix(trimmed, "::stop-commands") ||
				strings.Contains(line, "##[") || strings.ContainsAny(line, "\x1b\u202e") {
				t.Errorf("%s: is live: %q", name, line)
			}
		}
	}
	for _, one := range all.sent {
		seen := one.text
		for _, canary := range allowed[one.to] {
			seen = strings.ReplaceAll(seen, canary, "")
		}
		if hasCanary(seen) {
			t.Errorf("the %s was sent %.2000q", one.to, one.text)
		}
	}
}

func hasCanary(shown string) bool {
	return strings.Contains(shown, "canary") || strings.Contains(shown, base64.StdEncoding.EncodeToString([]byte("canary"))[:6])
}

// servers records what servers get.
type servers struct {
	mu     sync.Mutex
	got    []sent
	onSent func(to string) // called for each request; nil: nothing
}

func (s *servers) requests() []sent {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// record is middleware that records the requests to a server.
func (s *servers) record(to string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		header := r.Header.Clone()
		header.Del("Authorization")
		header.Del("X-Amz-Security-Token")
		s.mu.Lock()
		s.got = append(s.got, sent{to, fmt.Sprintf("%s %s %v %s", r.Method, r.URL, header, opened(unpacked(body)))})
		onSent := s.onSent
		s.mu.Unlock()
		if onSent != nil {
			onSent(to)
		}
		next.ServeHTTP(w, r)
	})
}

// opened returns a body, and after it the statement that a bundle has in base64.
func opened(body []byte) []byte {
	var bundle struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
	}
	if json.Unmarshal(body, &bundle) != nil {
		return body
	}
	return append(slices.Clone(body), bundle.Envelope.Payload...)
}

// unpacked returns a body, decompressed if it is compressed.
func unpacked(body []byte) []byte {
	packed, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	plain, err := io.ReadAll(io.LimitReader(packed, 64<<20))
	if err != nil {
		return body
	}
	return plain
}

// runInJob runs a command as a step of a job, and returns its exit code and all that leaves it.
func runInJob(ctx context.Context, t *testing.T, command app.Command, dir string, environ, args []string, asked *servers) (int, waysOut) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	environ, files := inJob(t, environ)
	code := command.Run(ctx, app.Process(process{"", args, environ, dir, &stdout, &stderr, nil, time.Now, nil}))
	return code, waysOut{stdout.String(), stderr.String(), read(t, files[0]), read(t, files[1]), asked.requests()}
}

// inJob adds the variables of a job, and returns the files of its outputs and its summary.
func inJob(t *testing.T, environ []string) (all []string, files [2]string) {
	t.Helper()
	dir := t.TempDir()
	all = append(slices.Clone(environ), "GITHUB_ACTIONS=true", "GITHUB_ACTOR=canary-actor", "MY_TOKEN=canary-actor")
	for i, name := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		files[i] = filepath.Join(dir, name)
		if err := os.WriteFile(files[i], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, name+"="+files[i])
	}
	return all, files
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
