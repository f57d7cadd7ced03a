// Package apptest is shared by the tests that run whole verbs with canaries, which are fake secrets. It collects everything that a run emits and
// searches it for canaries and for workflow commands that the runner would execute. It also lists which verbs are tested on a real cluster, and
// how those runs end.
package apptest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// RunEnd is how a run ends.
type RunEnd string

// The endings of runs.
const (
	Ended        RunEnd = "success"
	Failed       RunEnd = "failure" // exit code 1 or 3
	RefusedInput RunEnd = "bad input"
	Planned      RunEnd = "dry run"
	Cancelled    RunEnd = "cancellation"
)

// OnCluster lists how the runs of each verb end that e2e's TestSecretsLeaveByNoWay starts on a real cluster. TestTheRunsOnAClusterAreComplete fails
// if one is missing there.
var OnCluster = map[string][]RunEnd{
	"build": {Ended}, "deploy": {Ended, Failed, Planned, RefusedInput, Cancelled}, "smoke": {Ended, Failed, Cancelled}, "promote": {Ended, Failed}, "preview": {Ended}, "pipeline": {Ended, Failed, Cancelled},
}

// Hostile is untrusted text with workflow commands for the runner and escape sequences for the terminal.
const Hostile = "\n::set-output name=pwned::1\n##[add-mask]x\r::add-mask::x\n\x1b[2J\u202e::stop-commands::x\n::error::pwned\n::save-state name=pwned::1\n::group::pwned"

// HostileMetadata are fields of a Chart.yaml that are untrusted text.
func HostileMetadata() string {
	quoted := strconv.Quote(Hostile) // a scalar of YAML too
	return "description: " + quoted + "\nkeywords: [" + quoted + "]\nhome: " + quoted + "\nmaintainers: [{name: " + quoted + ", email: " + quoted + "}]\n"
}

// Emitted is everything that a run emits: its streams, outputs and summary, the requests that it sends, the files that it writes, and what it pushes to a
// configuration repository: commits with their messages and changes, and notes.
type Emitted struct {
	Stdout, Stderr, Outputs, Summary string
	Pushed                           string
	Sent                             []Sent
	Files                            []File
}

// Sent is a request that a server got, without Authorization: credentials are for the server that asks for them.
type Sent struct{ To, Text string }

// File is a file that a run has written.
type File struct{ Name, Content string }

// allowed are the canaries that a server may get, by the server's name.
var allowed = map[string][]string{"service": {"canary-header", "canary-body"}}

// Search fails the test if anything emitted contains a canary or a workflow command that the runner would execute. Requests to a cluster are searched
// by the caller, who knows which objects may contain a secret.
func (w Emitted) Search(t *testing.T) {
	t.Helper()
	// The conversion fails to compile if a field of Emitted is not searched below.
	all := struct {
		Stdout, Stderr, Outputs, Summary string
		Pushed                           string
		Sent                             []Sent
		Files                            []File
	}(w)
	shown := map[string]string{"standard output": all.Stdout, "standard error": all.Stderr, "outputs": all.Outputs, "summary": all.Summary, "the configuration repository": all.Pushed}
	for _, file := range all.Files {
		shown[file.Name] = file.Content
	}
	for name, text := range shown {
		for line := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
			trimmed := strings.TrimSpace(line)
			if strings.HasPrefix(trimmed, "::add-mask::") && !strings.HasPrefix(trimmed, "::add-mask::x") {
				continue // of a token that the verb obtained itself
			}
			if HasCanary(line) {
				t.Errorf("%s shows %q", name, line)
			}
			if strings.HasPrefix(trimmed, "::set-output") || strings.HasPrefix(trimmed, "::add-mask") || strings.HasPrefix(trimmed, "::stop-commands") ||
				strings.HasPrefix(trimmed, "::save-state") || strings.HasPrefix(trimmed, "::error::pwned") || strings.HasPrefix(trimmed, "::group::pwned") ||
				strings.Contains(line, "##[") || strings.ContainsAny(line, "\x1b\u202e") {
				t.Errorf("%s: is live: %q", name, line)
			}
		}
	}
	for _, one := range all.Sent {
		seen := one.Text
		for _, canary := range allowed[one.To] {
			seen = strings.ReplaceAll(seen, canary, "")
		}
		if HasCanary(seen) {
			t.Errorf("the %s was sent %.2000q", one.To, one.Text)
		}
	}
}

// HasCanary reports whether a text contains a canary, plain or at the beginning of what is in base64.
func HasCanary(shown string) bool {
	return strings.Contains(shown, "canary") || strings.Contains(shown, base64.StdEncoding.EncodeToString([]byte("canary"))[:6])
}

// Servers records what servers get.
type Servers struct {
	mu     sync.Mutex
	got    []Sent
	OnSent func(to, text string) // called for each request; nil: nothing
}

// Requests returns the requests so far; none for nil.
func (s *Servers) Requests() []Sent {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// Record is middleware that records the requests to a server.
func (s *Servers) Record(to string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		header := r.Header.Clone()
		header.Del("Authorization")
		header.Del("X-Amz-Security-Token")
		one := Sent{to, fmt.Sprintf("%s %s %v %s", r.Method, r.URL, header, opened(Unpacked(body)))}
		s.mu.Lock()
		s.got = append(s.got, one)
		onSent := s.OnSent
		s.mu.Unlock()
		if onSent != nil {
			onSent(to, one.Text)
		}
		next.ServeHTTP(w, r)
	})
}

// opened returns a body, followed by the decoded statement if the body is a signed bundle, which has it in base64.
func opened(body []byte) []byte {
	var bundle struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
	}
	if json.Unmarshal(body, &bundle) != nil {
		return body
	}
	return append(slices.Clone(body), bundle.Envelope.Payload...)
}

// Unpacked returns a content, decompressed if it is compressed.
func Unpacked(content []byte) []byte {
	packed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return content
	}
	plain, err := io.ReadAll(io.LimitReader(packed, 64<<20))
	if err != nil {
		return content
	}
	return plain
}

// InJob adds the variables of a job of GitHub Actions, and returns the files of its outputs and its summary.
func InJob(t *testing.T, environ []string) (all []string, files [2]string) {
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

// Read returns the content of a file.
func Read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
