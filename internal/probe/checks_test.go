package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onedigest/onedigest/internal/release"
)

func TestLoadChecksReadsTheExample(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadChecks("testdata/checks.yaml", content)
	if err != nil {
		t.Fatal(err)
	}
	want := []release.Check{
		{Name: "home", Path: "/", Method: "GET", Status: 200, BodyContains: []string{"staging"}, CertificateDays: 14},
		{Name: "configuration", Path: "/configs?format=json", Method: "GET", Status: 200,
			Headers: map[string]string{"Accept": "application/json"},
			Header:  map[string]string{"Content-Type": "application/json"},
			JSON: map[string]any{"$.environment": "staging", "$.replicas": 2, "$.features.search": true, "$.owner": nil,
				"$.limits": map[string]any{"cpu": "500m", "memory": "64Mi"}},
			JSONType:   map[string]string{"$": "object", "$.hosts": "array"},
			MaxLatency: 2 * time.Second, Latency: map[string]time.Duration{"p95": 500 * time.Millisecond, "p99": time.Second}},
		{Name: "version", Path: "/version", Method: "GET", Status: 200, BodyRegex: `"commit":\s*"[0-9a-f]{40}"`},
		{Name: "unknown paths are not found", Path: "/no/such/page", Method: "GET", Status: 404, BodyNotContains: []string{"goroutine", "Traceback"}},
		{Name: "orders are validated", Path: "/orders", Method: "POST", Status: 422, Body: "{}",
			Headers: map[string]string{"Content-Type": "application/json"}},
		{Name: "login", Path: "/login", Method: "POST", Status: 303, Body: "user=smoke", Cookies: true, Location: "/orders",
			Captures: []release.Capture{{Name: "token", From: "header", Value: "X-Token"}}},
		{Name: "order", Path: "/orders", Method: "POST", Status: 201, Body: `{"item": 1}`, Cookies: true,
			Headers:  map[string]string{"X-Token": "${token}"},
			Captures: []release.Capture{{Name: "id", From: "json", Value: "$.id"}}},
		{Name: "order is kept", Path: "/orders/${id}", Method: "GET", Status: 200, Cookies: true, BodyContains: []string{`"item": 1`}},
		{Name: "the old address", Path: "/shop", Method: "GET", Status: 200, Location: "/"},
		{Name: "style sheet", Path: "/style.css", Method: "GET", Status: 200, HTTP2: true, BodyDigest: digestOf(t, "body { margin: 0 }\n")},
		{Name: "payments", Kind: release.CheckGRPC, GRPCService: "shop.v1.Payments", MaxLatency: time.Second},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(release.Digest{})); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

func digestOf(t *testing.T, content string) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestLoadChecksReadsCommands(t *testing.T) {
	t.Parallel()
	got, err := LoadChecks("c.yaml", []byte(`checks:
  - k6: load/home.js
  - hurl: orders.hurl
    name: orders
    timeout: 90s
  - command: [sh, -c, 'exit "$CODE"']
    env: {CODE: "0"}
    pass-env: [API_KEY]
    files: [smoke, lib.sh]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []release.Check{
		{Kind: release.CheckK6, Name: "k6 load/home.js", Command: &release.Command{Script: "load/home.js", Timeout: time.Minute, Line: 2}},
		{Kind: release.CheckHurl, Name: "orders", Command: &release.Command{Script: "orders.hurl", Timeout: 90 * time.Second, Line: 3}},
		{Kind: release.CheckCommand, Name: `sh -c exit "$CODE"`, Command: &release.Command{Args: []string{"sh", "-c", `exit "$CODE"`}, Timeout: time.Minute, Line: 6,
			Env: map[string]string{"CODE": "0"}, PassEnv: []string{"API_KEY"}, Files: []release.CheckFile{{Path: "smoke"}, {Path: "lib.sh"}}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(release.Digest{})); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

func TestLoadChecksReportsEveryProblemWithItsPosition(t *testing.T) {
	t.Parallel()
	content := `checks:
  - name: a
    path: healthz
    stauts: 200
  - name: a
    path: /x
    method: get
    status: 99
    body-regex: "("
    json: {"$.[": 1, a.b: 2, $.n: .nan}
    json-type: {$: map}
    max-latency: 5
    headers: {Content-Length: "3", "a b": c, X: 1}
  - method: HEAD
    path: //evil/
    body-contains: x
  - name: no path
  - 7
extra: true
`
	_, err := LoadChecks("c.yaml", []byte(content))
	var input *release.InputError
	if !errors.As(err, &input) {
		t.Fatalf("error is %T, want *release.InputError", err)
	}
	var got []string
	for _, problem := range input.Problems {
		got = append(got, problem.Where+" "+problem.What)
	}
	want := []string{
		`c.yaml:3:11 path "healthz" does not start with /`,
		`c.yaml:4:5 unknown key "stauts"`,
		`c.yaml:7:13 method "get" is not one that a check may use`,
		`c.yaml:8:13 status "99" is not a final HTTP status`,
		"c.yaml:9:17 \"(\" is not a regular expression of RE2: error parsing regexp: missing closing ): `(`",
		`c.yaml:10:12 "$.[" is not a JSONPath: `,
		`c.yaml:10:22 "a.b" is not a JSONPath: it must start with $`,
		`c.yaml:10:35 ".nan" is not a number in JSON`,
		`c.yaml:11:20 "map" is not a type of JSON`,
		`c.yaml:12:18 max-latency "5" is not a time above zero`,
		`c.yaml:13:15 header "Content-Length" belongs to the connection, not to a check`,
		`c.yaml:13:36 "a b" is not the name of a header`,
		`c.yaml:13:49 header "X" must be text, not the int "1"`,
		`c.yaml:5:11 name "a" is taken by the check at line 2`,
		`c.yaml:15:11 path "//evil/" starts with //, which names another host`,
		`c.yaml:16:20 body-contains expects a body, but the response to HEAD has none`,
		`c.yaml:17:5 a check without a path, or one of grpc, command, hurl and k6`,
		`c.yaml:18:5 a check must be a mapping, not the int "7"`,
		`c.yaml:19:1 unknown key "extra"`,
	}
	for i := range min(len(want), len(got)) {
		if strings.HasSuffix(want[i], ": ") && strings.HasPrefix(got[i], want[i]) {
			got[i] = want[i] // followed by the library's own text
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestLoadChecksRefuses(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nchecks: [*b,*b,*b]\n"
	for name, test := range map[string]struct{ content, want string }{
		"empty":                   {"", "c.yaml: has no checks"},
		"only a comment":          {"# nothing\n", "has no checks"},
		"null":                    {"~\n", "c.yaml:1:1: the file must be a mapping, not empty"},
		"empty list":              {"checks: []\n", "c.yaml:1:9: has no checks; nothing would be proved"},
		"no value":                {"checks:\n", "has no checks; nothing would be proved"},
		"a list alone":            {"- path: /\n", "c.yaml:1:1: the file must be a mapping, not a list"},
		"syntax":                  {"checks:\n  - path: \"/\n", "c.yaml:"},
		"tab":                     {"checks:\n\t- path: /\n", "c.yaml:2: is not YAML"},
		"alias bomb":              {bomb, "anchors and aliases are not supported here"},
		"merge":                   {"checks:\n - &x {path: /}\n - {<<: *x}\n", "anchors and aliases are not supported here"},
		"tag":                     {"checks:\n - path: !!binary Lw==\n", `c.yaml:2:10: tag "!!binary" is not supported here`},
		"second document":         {"checks: [{path: /}]\n---\nchecks: [{path: /x}]\n", "a second YAML document starts here"},
		"repeated key":            {"checks:\n - path: /\n   path: /x\n", `c.yaml:3:4: key "path" is repeated; its first value is at line 2`},
		"default names":           {"checks: [{path: /}, {path: /}]\n", `c.yaml:1:21: name "GET /" is taken`},
		"too long":                {"checks: [{path: /}]\n#" + strings.Repeat("x", maxFile), "limit 1048576"},
		"deep":                    {"checks: [{path: /, json: {$.a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}}]", "nested more than 100 levels"},
		"very deep":               {"checks: " + strings.Repeat("[", maxFile/2), "is not YAML"},
		"not UTF-8":               {"checks: \xff\xfe\n", "is not YAML"},
		"newline in path":         {"checks: [{path: \"/\\nx\"}]\n", "has a space, a backslash or a control character"},
		"soft hyphen":             {"checks: [{path: \"/sta\u00adtus\"}]\n", "has an invisible character; escape it as %XX"},
		"command in name":         {"checks: [{path: /, name: \"::set-output name=a::b\"}]\n", `name ":\:set-output name=a::b" must be`},
		"status text":             {"checks: [{path: /, status: \"200\"}]\n", `status "200" is not a final HTTP status`},
		"negative limit":          {"checks: [{path: /, max-latency: -1s}]\n", "not a time above zero"},
		"forbids nothing":         {"checks: [{path: /, body-not-contains: [a, \"\"]}]\n", "c.yaml:1:43: body-not-contains is empty, which every body contains"},
		"forbids a map":           {"checks: [{path: /, body-not-contains: {a: b}}]\n", "body-not-contains must be one value, not a mapping"},
		"header newline":          {"checks: [{path: /, headers: {A: \"b\\r\\nC: d\"}}]\n", "control character in its value"},
		"no place for a key":      {"checks: [{command: [x], status: 200}]\n", "status does not belong to a check with command"},
		"path and command":        {"checks: [{path: /, command: [x]}]\n", "a check has one of path, grpc, command, hurl, k6, and this one has path already"},
		"a shell's line":          {"checks: [{command: go test ./smoke}]\n", "command must be a list of the program and its arguments"},
		"no program":              {"checks: [{command: []}]\n", "command names no program"},
		"a number for a program":  {"checks: [{command: [sleep, 1]}]\n", `an argument must be text, not the int "1"`},
		"a script above the file": {"checks: [{k6: ../x.js}]\n", "is not the path of a file below the directory"},
		"an absolute script":      {"checks: [{hurl: /etc/passwd}]\n", "is not the path of a file below the directory"},
		"a reserved variable":     {"checks: [{command: [x], env: {BASE_URL: x}}]\n", "BASE_URL is set by smoke"},
		"no variable":             {"checks: [{command: [x], pass-env: [A=B]}]\n", `"A=B" is not the name of an environment variable`},
		"no time":                 {"checks: [{command: [x], timeout: 0s}]\n", `timeout "0s" is not a time above zero`},
		"nothing is captured":     {"checks: [{path: '/${id}'}]\n", "${id} is captured by no check before this one"},
		"captured by itself":      {"checks: [{path: '/${id}', capture: {id: {json: $.id}}}]\n", "${id} is captured by no check before this one"},
		"captured later":          {"checks: [{path: '/${id}'}, {path: /, capture: {id: {json: $.id}}}]\n", "${id} is captured by no check before this one"},
		"a cycle":                 {"checks: [{path: '/${b}', capture: {a: {json: $.a}}}, {path: '/${a}', name: x, capture: {b: {json: $.b}}}]\n", "${b} is captured by no check before this one"},
		"captured twice":          {"checks: [{path: /a, capture: {id: {json: $.id}}}, {path: /b, capture: {id: {header: X}}}]\n", `"id" is captured already by the check at line 1`},
		"captured twice in one":   {"checks: [{path: /a, capture: {id: {json: $.id}, id: {header: X}}}]\n", `key "id" is repeated`},
		"half a reference":        {"checks: [{path: /, body: 'a ${ b'}]\n", "${ does not begin a captured value"},
		"two places":              {"checks: [{path: /, capture: {id: {json: $.id, header: X}}}]\n", `"id" has 2 places, want one`},
		"an unknown place":        {"checks: [{path: /, capture: {id: {xpath: //a}}}]\n", `"xpath" is no place to capture a value from`},
		"no group":                {"checks: [{path: /, capture: {id: {body-regex: id}}}]\n", `"id" has no group`},
		"a body of HEAD":          {"checks: [{path: /, method: HEAD, capture: {id: {json: $.id}}}]\n", "is captured from a body, but the response to HEAD has none"},
		"not a percentile":        {"checks: [{path: /, latency: {p100: 1s}}]\n", `"p100" is not a percentile`},
		"no percentile":           {"checks: [{path: /, latency: {}}]\n", "latency limits nothing"},
		"not a digest":            {"checks: [{path: /, body-digest: abc}]\n", `body-digest: "abc" is not a digest`},
		"negative days":           {"checks: [{path: /, tls-min-days: -1}]\n", "is not a number from 1 to"},
		"not a location":          {"checks: [{path: /, location: home}]\n", `location "home" is neither a path nor a URL`},
		"follows the redirect":    {"checks: [{path: /, status: 302, follow-redirects: true}]\n", "follow-redirects contradicts status 302"},
		"not true or false":       {"checks: [{path: /, cookies: 'yes'}]\n", `cookies must be true or false, not the str "yes"`},
		"not a gRPC service":      {"checks: [{grpc: a/b}]\n", `"a/b" is not the name of a gRPC service`},
		"header twice":            {"checks: [{path: /, headers: {Accept: a, accept: b}}]\n", `header "accept" is set already at line 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checks, err := LoadChecks("c.yaml", []byte(test.content))
			var input *release.InputError
			if !errors.As(err, &input) {
				t.Fatalf("got %v and %v, want an input error", checks, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is\n%s\nwant in it\n%s", err, test.want)
			}
			if len(input.Problems) > maxProblems+1 {
				t.Errorf("%d problems reported, limit %d", len(input.Problems), maxProblems+1)
			}
		})
	}
}

func TestLoadChecksBoundsTheListOfProblems(t *testing.T) {
	t.Parallel()
	_, err := LoadChecks("c.yaml", []byte("checks:\n"+strings.Repeat("- {x: 1}\n", 1000)))
	var input *release.InputError
	if !errors.As(err, &input) || len(input.Problems) != maxProblems+1 {
		t.Fatalf("got %v, want %d problems", err, maxProblems+1)
	}
	if last := input.Problems[maxProblems].What; !strings.Contains(last, "more problems follow") {
		t.Errorf("the last problem is %q", last)
	}
}

func TestTheSamplesChecksCompile(t *testing.T) {
	t.Parallel()
	for _, check := range sampleChecks(t) {
		if _, wrong := compile(check); len(wrong) > 0 || check.Method != http.MethodGet {
			t.Errorf("%s: %v", check.Name, wrong)
		}
	}
}

func FuzzLoadChecks(f *testing.F) {
	example, err := os.ReadFile("testdata/checks.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, seed := range []string{"", "checks: []", "checks: [{path: /, json: {'$..a[?(@.b > 1)]': [1, {a: null}]}}]",
		"checks: [&a {path: /, header: {A: b}}, *a]", "? checks\n: - path: /\n", "checks:\n- path: /\n  body: |\n    x\n",
		"checks: [{path: /, json: {$: 0x10, $.a: 1e400, $.b: 2026-01-01, $.c: 18446744073709551615}}]", "\xff", "[[[[", "- - - -",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		checks, err := LoadChecks("c.yaml", content)
		if err != nil {
			var input *release.InputError
			if !errors.As(err, &input) || len(input.Problems) == 0 {
				t.Fatalf("error %v is no input error", err)
			}
			for _, problem := range input.Problems {
				if !strings.HasPrefix(problem.Where, "c.yaml") || problem.What == "" {
					t.Errorf("problem %+v has no position or no text", problem)
				}
			}
			return
		}
		if len(checks) == 0 {
			t.Fatal("no check and no error")
		}
		names := map[string]bool{}
		for _, check := range checks {
			if _, wrong := compile(check); len(wrong) > 0 {
				t.Errorf("a loaded check does not compile: %v", wrong)
			}
			if _, err := joinPath("http://127.0.0.1:8080", check.Path); err != nil && check.Kind == release.CheckHTTP && !strings.HasPrefix(check.Path, "${") {
				t.Errorf("a loaded path cannot be requested: %v", err)
			}
			if (check.Command != nil) != (check.Kind != release.CheckHTTP && check.Kind != release.CheckGRPC) {
				t.Errorf("%+v is half a command", check)
			}
			if check.Name == "" || names[check.Name] {
				t.Errorf("name %q is empty or repeated", check.Name)
			}
			names[check.Name] = true
		}
	})
}

// TestCommitOf: a header that sanitizing changes does not become equal to a commit.
func TestCommitOf(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("a1", 20)
	if got := commitOf(commit); got != commit {
		t.Errorf("got %q", got)
	}
	for _, header := range []string{commit + "\u200b", "\u00ad" + commit, commit + "\x1b[0m", commit + "\u009dx", "\u200b"} {
		if got := commitOf(header); got == commit || got == "" {
			t.Errorf("%q was parsed as %q", header, got)
		}
	}
}

// sampleChecks are those of the sample service: / has a body, /configs is a JSON object.
func sampleChecks(t *testing.T) []release.Check {
	t.Helper()
	content, err := os.ReadFile("../../app/smoke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checks, err := LoadChecks("app/smoke.yaml", content)
	if err != nil {
		t.Fatal(err)
	}
	return checks
}
