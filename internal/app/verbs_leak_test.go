package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

const (
	ended        = apptest.Ended
	failed       = apptest.Failed
	refusedInput = apptest.RefusedInput
	planned      = apptest.Planned
	cancelled    = apptest.Cancelled // at its first request
)

// elsewhere are the endings that need a cluster.
var elsewhere = map[string][]apptest.RunEnd{"deploy": {ended, planned}, "pipeline": {ended}, "preview": {ended}}

// canaryVerb is a run of a verb with canaries in its settings, credentials and files, against servers that give back what they get.
type canaryVerb struct {
	verb      string
	ends      apptest.RunEnd
	args      []string          // REGISTRY, SERVICE and IMAGE are replaced
	files     map[string]string // of the work tree
	echoes    bool              // the registry refuses everything and says what it got
	docker    string            // how the docker client ends: "done" or "failed"; "": there is none
	signs     bool              // with a private key, of which it records facts
	writes    string            // file of the work tree that it writes
	local     bool              // the verb sends no request
	installed bool              // the cluster has the release shop in staging, and lets everybody do everything
	alone     bool              // run as a program of its own, since libraries read the environment and print to the streams
}

const (
	askingChecks = "checks:\n- path: /\n  headers: {Authorization: Bearer canary-header-1, X-Api-Key: canary-header-2}\n  method: POST\n  body: canary-body-1\n"
	// printingCheck is a program that prints all that it has, and what would command the runner.
	printingCheck = "checks:\n- name: prints\n  command: [sh, -c, 'env; printf \"\\n::set-output name=pwned::1\\n##[add-mask]x\\r::add-mask::x\\n\\033[2J\" >&2; exit 1']\n" +
		"  pass-env: [CHECK_INPUT]\n  env: {PASSWORD: canary-check-password}\n"
	deploysMatrix = "waves:\n- name: all\n  deploys:\n  - environment: staging\n    release: a\n    set: [secret.PASSWORD=canary-matrix-1]\n  - environment: staging\n    release: b\n    set: [secret.PASSWORD=canary-matrix-2]\n"
	program       = "package main\n\nfunc main() {}\n"
	kubeconfig    = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'CLUSTER', certificate-authority-data: 'AUTHORITY'}}]\n" +
		"contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {USER}}]\n"
	plugin = "#!/bin/sh\nprintf 'canary-plugin-token\\n::set-output name=pwned::1\\n##[add-mask]x\\n\\033[2J' >&2\n" +
		`echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"canary-plugin-token"}}'` + "\n"
	template = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: {{ .Values.secret.PASSWORD | quote }}}\n"
)

// canaryVerbs has a run of every verb and ending.
var canaryVerbs = map[string]canaryVerb{
	"build":                            {verb: "build", ends: ended, args: []string{"--repository", "REGISTRY/shop"}},
	"build, signed":                    {verb: "build", ends: ended, signs: true, args: []string{"--repository", "REGISTRY/shop"}},
	"build, a signed login given back": {verb: "build", ends: failed, signs: true, echoes: true, args: []string{"--repository", "REGISTRY/shop"}},
	"build, no key":                    {verb: "build", ends: refusedInput, args: []string{"--repository", "REGISTRY/shop", "--sign-key", "env://DB_PASSWORD"}},
	"promote, signed":                  {verb: "promote", ends: ended, signs: true, args: []string{"--image", "IMAGE", "--to", "production"}},
	"build, docker":                    {verb: "build", ends: ended, docker: "done", args: dockerArgs},
	"build, docker fails":              {verb: "build", ends: failed, docker: "failed", args: dockerArgs},
	"build, cancelled":                 {verb: "build", ends: cancelled, args: []string{"--repository", "REGISTRY/shop"}},
	"build, a login given back":        {verb: "build", ends: failed, echoes: true, args: []string{"--repository", "REGISTRY/shop"}},
	"build, malformed arguments":       {verb: "build", ends: refusedInput, args: []string{"--repository", "REGISTRY/shop", "--build-args", "canary-no-assignment", "--secrets", "canary-no-assignment"}},
	"build, code that does not build":  {verb: "build", ends: failed, args: []string{"--repository", "REGISTRY/shop"}, files: map[string]string{"main.go": "package main\n" + hostileLine}},
	"deploy, credentials given back":   {verb: "deploy", ends: failed, args: []string{"--set", "secret.PASSWORD=canary-password-1", "--commit", strings.Repeat("1", 40)}},
	"deploy, a dry run that fails":     {verb: "deploy", ends: failed, args: []string{"--dry-run", "--set", "secret.PASSWORD=canary-password-1"}},
	"deploy, by GitOps":                {verb: "deploy", ends: failed, args: []string{"--via", "argo-cd", "--config-repository", "https://OTHER/config.git", "--config-token", "canary-config-token", "--values", "values-staging.yaml"}},
	"deploy, a password in an address": {verb: "deploy", ends: refusedInput, args: []string{"--via", "argo-cd", "--config-repository", "https://u:canary-in-a-url@r.example.com/config", "--values", "values-staging.yaml"}},
	"deploy, cancelled":                {verb: "deploy", ends: cancelled, args: []string{"--set", "secret.PASSWORD=canary-password-1"}},
	"deploy, a credential plugin":      {verb: "deploy", ends: failed, alone: true, args: []string{"--set", "secret.PASSWORD=canary-password-1"}},
	"deploy, a login of docker":        {verb: "deploy", ends: failed, alone: true, echoes: true},
	"deploy, values that are not YAML": {verb: "deploy", ends: refusedInput, args: []string{"--values", "values.yaml"}, files: map[string]string{"values.yaml": "secret:\n  PASSWORD: canary-values-1\n bad: [canary-values-2\n"}},
	"deploy, values against a schema": {verb: "deploy", ends: refusedInput, args: []string{"--values", "values.yaml"},
		files: map[string]string{"chart/values.schema.json": `{"properties":{"count":{"type":"integer"}}}`, "values.yaml": "count: canary-values-3\n"}},
	"deploy, a matrix that fails": {verb: "deploy", ends: failed, args: []string{"--matrix", "matrix.yaml", "--set", "secret.PASSWORD=canary-password-1"}, files: map[string]string{"matrix.yaml": deploysMatrix}},
	"deploy, a matrix that is not one": {verb: "deploy", ends: refusedInput, args: []string{"--matrix", "matrix.yaml"},
		files: map[string]string{"matrix.yaml": strings.Replace(deploysMatrix, "set:", "\"a\\n::set-output name=pwned::1\\e[2J##[add-mask]x\": 1\n    set:", 1)}},
	"build, a matrix":                   {verb: "build", ends: failed, docker: "failed", args: []string{"--matrix", "matrix.yaml"}, files: map[string]string{"matrix.yaml": "services:\n- {name: a, repository: 127.0.0.1:1/none, build: {builder: docker, build-args: [PASSWORD=canary-argument-1]}}\n"}},
	"deploy, a malformed set":           {verb: "deploy", ends: refusedInput, args: []string{"--set", "canary-not-an-assignment"}},
	"deploy, a malformed kubeconfig":    {verb: "deploy", ends: refusedInput, files: map[string]string{"../kubeconfig": "users:\n- name: a\n  user: {token: [canary-kubeconfig-token\n"}},
	"smoke":                             {verb: "smoke", ends: ended, args: smokeArgs, files: map[string]string{"checks.yaml": askingChecks + "  status: 403\n"}},
	"smoke, a check that prints":        {verb: "smoke", ends: failed, args: smokeArgs, files: map[string]string{"checks.yaml": printingCheck}},
	"smoke, checks with a password":     {verb: "smoke", ends: refusedInput, args: smokeArgs, files: map[string]string{"checks.yaml": printingCheck + "  unknown: canary-unknown-key\n"}},
	"smoke, a key that is none":         {verb: "smoke", ends: refusedInput, args: []string{"--image", "IMAGE", "--environment", "staging", "--release", "shop", "--kubeconfig", "../kubeconfig", "--sign-key", "env://SIGN_KEY"}},
	"promote, a key that is none":       {verb: "promote", ends: refusedInput, args: []string{"--image", "IMAGE", "--to", "production", "--verify-key", "env://SIGN_KEY"}},
	"smoke, headers given back":         {verb: "smoke", ends: failed, args: smokeArgs, files: map[string]string{"checks.yaml": askingChecks + "  body-contains: x\n"}},
	"smoke, malformed checks":           {verb: "smoke", ends: refusedInput, args: smokeArgs, files: map[string]string{"checks.yaml": "checks:\n- path: /\n  status: canary-status-1\n"}},
	"smoke, cancelled":                  {verb: "smoke", ends: cancelled, args: smokeArgs, files: map[string]string{"checks.yaml": askingChecks}},
	"smoke, credentials given back":     {verb: "smoke", ends: failed, args: []string{"--image", "IMAGE", "--environment", "staging", "--release", "shop", "--kubeconfig", "../kubeconfig"}},
	"scan":                              {verb: "scan", ends: ended, signs: true, args: scanArgs, files: map[string]string{"results.sarif": hostileResults}},
	"scan, a login given back":          {verb: "scan", ends: failed, echoes: true, args: scanArgs, files: map[string]string{"results.sarif": hostileResults}},
	"scan, no results":                  {verb: "scan", ends: refusedInput, args: scanArgs, files: map[string]string{"results.sarif": `{"version":"\u001b[2J\n::set-output name=pwned::1"}`}},
	"scan, cancelled":                   {verb: "scan", ends: cancelled, args: scanArgs, files: map[string]string{"results.sarif": hostileResults}},
	"history":                           {verb: "history", ends: ended, args: []string{"--repository", "REGISTRY/shop", "--board", "board.html"}, writes: "board.html"},
	"history, compacted":                {verb: "history", ends: refusedInput, args: []string{"--repository", "REGISTRY/shop", "--compact", "delete"}},
	"history, a login given back":       {verb: "history", ends: failed, echoes: true, args: []string{"--repository", "REGISTRY/shop"}},
	"history, a password in a name":     {verb: "history", ends: refusedInput, args: []string{"--repository", "https://u:canary-in-a-url@r.example.com/shop"}},
	"history, cancelled":                {verb: "history", ends: cancelled, args: []string{"--repository", "REGISTRY/shop"}},
	"admission":                         {verb: "admission", ends: ended, args: admissionArgs, files: admissionRules, writes: "admission.yaml"},
	"admission, a login given back":     {verb: "admission", ends: failed, echoes: true, args: admissionArgs, files: admissionRules},
	"admission, no key":                 {verb: "admission", ends: refusedInput, args: admissionArgs, files: map[string]string{".onedigest.yaml": strings.ReplaceAll(admissionRules[".onedigest.yaml"], "awskms:///alias/staging", "env://DB_PASSWORD")}},
	"admission, cancelled":              {verb: "admission", ends: cancelled, args: admissionArgs, files: admissionRules},
	"doctor":                            {verb: "doctor", ends: ended, args: []string{"--environment", "staging", "--kubeconfig", "../kubeconfig"}},
	"doctor, a cluster that refuses":    {verb: "doctor", ends: failed, args: doctorArgs},
	"doctor, a login given back":        {verb: "doctor", ends: failed, echoes: true, args: doctorArgs},
	"doctor, values that are no YAML":   {verb: "doctor", ends: failed, args: append(slices.Clone(doctorArgs), "--values", "values.yaml"), files: map[string]string{"values.yaml": "secret:\n  PASSWORD: canary-values-1\n bad: [canary-values-2\n"}},
	"doctor, a password in a name":      {verb: "doctor", ends: refusedInput, args: append(slices.Clone(doctorArgs), "--repository", "https://u:canary-in-a-url@r.example.com/shop")},
	"doctor, cancelled":                 {verb: "doctor", ends: cancelled, args: doctorArgs},
	"status":                            {verb: "status", ends: ended, installed: true, args: statusArgs},
	"status, credentials given back":    {verb: "status", ends: failed, args: statusArgs},
	"status, a login given back":        {verb: "status", ends: failed, echoes: true, args: statusArgs},
	"status, a password in a name":      {verb: "status", ends: refusedInput, args: append(slices.Clone(statusArgs), "--repository", "https://u:canary-in-a-url@r.example.com/shop")},
	"status, cancelled":                 {verb: "status", ends: cancelled, args: statusArgs},
	"uninstall":                         {verb: "uninstall", ends: ended, installed: true, args: append(slices.Clone(uninstallArgs), "--yes")},
	"uninstall, a dry run":              {verb: "uninstall", ends: planned, installed: true, args: append(slices.Clone(uninstallArgs), "--dry-run")},
	"uninstall, credentials given back": {verb: "uninstall", ends: failed, args: append(slices.Clone(uninstallArgs), "--yes")},
	"uninstall, not confirmed":          {verb: "uninstall", ends: refusedInput, args: append(slices.Clone(uninstallArgs), "--confirm", "x\n::set-output name=pwned::1")},
	"uninstall, cancelled":              {verb: "uninstall", ends: cancelled, installed: true, args: append(slices.Clone(uninstallArgs), "--yes")},
	"init":                              {verb: "init", ends: ended, local: true, args: initArgs, writes: "deploy/checks.yaml"},
	"init, a file that differs":         {verb: "init", ends: failed, local: true, args: initArgs, files: map[string]string{".github/workflows/promote.yaml": "name: x # written by onedigest init\n", "deploy/staging.yaml": "secret: {PASSWORD: canary-values-4}\nlist: [\n- canary-values-5\n# canary: values\n"}},
	"init, no names":                    {verb: "init", ends: refusedInput, local: true, args: append(slices.Clone(initArgs), "--repository", "https://u:canary-in-a-url@r.example.com/shop")},
	"init, a directory's name":          {verb: "init", ends: refusedInput, local: true, args: initArgs, files: map[string]string{"b\n::set-output name=pwned::1\n##[add-mask]x/Dockerfile": "FROM scratch\n"}},
	"init, cancelled":                   {verb: "init", ends: cancelled, local: true, args: initArgs},
	"preview, credentials given back":   {verb: "preview", ends: failed, args: []string{"--mode", "open", "--github-repository", "octo/shop", "--pull-request", "7", "--release", "shop", "--image", "IMAGE", "--chart", "chart", "--kubeconfig", "../kubeconfig", "--set", "secret.PASSWORD=canary-password-1"}},
	"preview, a malformed set":          {verb: "preview", ends: refusedInput, args: append(slices.Clone(previewArgs), "--set", "canary-not-an-assignment")},
	"preview, cancelled":                {verb: "preview", ends: cancelled, args: previewArgs},
	"promote":                           {verb: "promote", ends: ended, args: []string{"--image", "IMAGE", "--to", "production"}},
	"promote, a login given back":       {verb: "promote", ends: failed, echoes: true, args: []string{"--image", "IMAGE", "--to", "production"}},
	"promote, a login of docker":        {verb: "promote", ends: failed, echoes: true, alone: true, args: []string{"--image", "OTHER/shop@" + zeros, "--to", "production"}},
	"promote, a password in a name":     {verb: "promote", ends: refusedInput, args: []string{"--image", "https://u:canary-in-a-url@r.example.com/shop", "--to", "production"}},
	"promote, a dry run":                {verb: "promote", ends: planned, args: []string{"--image", "IMAGE", "--to", "production", "--dry-run"}},
	"promote, cancelled":                {verb: "promote", ends: cancelled, args: []string{"--image", "IMAGE", "--to", "production"}},
	"pipeline":                          {verb: "pipeline", ends: failed, args: pipelineArgs},
	"pipeline, a login given back":      {verb: "pipeline", ends: failed, echoes: true, args: pipelineArgs},
	"pipeline, cancelled":               {verb: "pipeline", ends: cancelled, args: pipelineArgs},
	"pipeline, absent values":           {verb: "pipeline", ends: refusedInput, args: append(slices.Clone(pipelineArgs), "--values", "absent.yaml")},
	"pipeline, malformed values":        {verb: "pipeline", ends: refusedInput, args: pipelineArgs, files: map[string]string{"values-staging.yaml": "secret:\n  PASSWORD: canary-values-1\n bad: [canary-values-2\n"}},
}

// hostileResults is what a scanner found in a package whose name commands the runner.
const hostileResults = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"s\n::set-output name=pwned::1"}},"results":[{"ruleId":"A\n##[add-mask]x\r::add-mask::x\u001b[2J\u202e","level":"error",` +
	`"message":{"text":"Package: canary-environment\n::stop-commands::x"}},{"ruleId":"B","suppressions":[{"kind":"\n::set-output name=pwned::1"}]}]}]}`

const hostileLine = "::set-output name=pwned::1\n"

var (
	zeros          = "sha256:" + strings.Repeat("0", 64)
	dockerArgs     = []string{"--repository", "REGISTRY/shop", "--builder", "docker", "--build-args", "PASSWORD=canary-argument-1", "--secrets", "npm=canary-secret-1"}
	scanArgs       = []string{"--image", "IMAGE", "--results", "results.sarif"}
	doctorArgs     = []string{"--environment", "staging", "--repository", "REGISTRY/shop", "--chart", "chart", "--kubeconfig", "../kubeconfig"}
	statusArgs     = []string{"--release", "shop", "--kubeconfig", "../kubeconfig", "--timeout", "10s"}
	uninstallArgs  = []string{"--environment", "staging", "--release", "shop", "--kubeconfig", "../kubeconfig", "--timeout", "10s"}
	initArgs       = []string{"--repository", "r.example.com/shop", "--runner", "mine", "--build-runner", "mine", "--pin", "v1.0.0", "--branch", "main", "--port", "8080", "--probe", "/"}
	previewArgs    = []string{"--mode", "close", "--github-repository", "octo/shop", "--pull-request", "7", "--release", "shop", "--kubeconfig", "../kubeconfig"}
	smokeArgs      = []string{"--url", "SERVICE", "--checks", "checks.yaml", "--timeout", "5s", "--patience", "100ms", "--consecutive", "1"}
	admissionArgs  = []string{"--format", "kyverno", "--environment", "production", "--repository", "registry.example.com/shop", "--manifest", "admission.yaml"}
	admissionRules = map[string]string{".onedigest.yaml": "version: 1\nenvironments:\n- {name: staging, signers: ['awskms:///alias/staging']}\n- {name: production}\n"}
	pipelineArgs   = []string{"--repository", "REGISTRY/shop", "--chart", "chart", "--values", "values-{environment}.yaml", "--timeout", "5s", "--kubeconfig", "../kubeconfig"}
)

// TestCanariesOfVerbs runs every verb to each of its endings, in text and in JSON, and searches all ways out.
func TestCanariesOfVerbs(t *testing.T) {
	t.Parallel()
	known := map[string][]apptest.RunEnd{}
	for verb, endings := range elsewhere {
		for _, end := range endings {
			if slices.Contains(apptest.OnCluster[verb], end) {
				known[verb] = append(known[verb], end)
			}
		}
	}
	for name, one := range canaryVerbs {
		known[one.verb] = append(known[one.verb], one.ends)
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				code, ways := one.run(t, output)
				ways.Search(t)
				want := map[apptest.RunEnd][]int{ended: {release.ExitDone}, planned: {release.ExitDone}, refusedInput: {release.ExitInput}, failed: {release.ExitFailed, release.ExitFault}, cancelled: {release.ExitFailed, release.ExitFault}}[one.ends]
				if !slices.Contains(want, code) {
					t.Errorf("ended with %d:\n%s%s", code, ways.Stdout, ways.Stderr)
				}
				if one.signs && one.ends == ended && !slices.ContainsFunc(ways.Sent, func(s apptest.Sent) bool {
					return strings.Contains(s.Text, `"_type":"https://in-toto.io/Statement/v1"`)
				}) {
					t.Error("no signed fact was searched")
				}
				if one.ends == ended && !one.local && len(ways.Sent) == 0 {
					t.Error("no request was recorded")
				}
			})
		}
	}
	for _, verb := range onedigest.Verbs() {
		want := []apptest.RunEnd{ended, failed, refusedInput, cancelled}
		for _, other := range verb.Settings().All() {
			if other.Name == "dry-run" {
				want = append(want, planned)
			}
		}
		for _, end := range want {
			if !slices.Contains(known[verb.Verb.Name], end) {
				t.Errorf("no run of %s ends in %s", verb.Verb.Name, end)
			}
		}
	}
}

// run runs the verb in a work tree of its own.
func (c canaryVerb) run(t *testing.T, output string) (int, emitted) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked := new(apptest.Servers)
	serves := withVersion(echo(http.StatusForbidden))
	if c.installed {
		serves = hostileRelease(t)
	}
	service, cluster, other := httptest.NewServer(asked.Record("service", echo(http.StatusForbidden))), httptest.NewTLSServer(asked.Record("cluster", serves)),
		httptest.NewServer(asked.Record("registry", echo(http.StatusForbidden)))
	aws := localawstest.Start(t, func(o *localaws.Options) { o.SecretAccessKey = "canary-aws-secret/1" })
	for _, server := range []*httptest.Server{service, cluster, other} {
		t.Cleanup(server.Close)
	}
	aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	dir := c.workTree(t, cluster, strings.TrimPrefix(other.URL, "http://"))
	environ := append(aws.Env(), "DB_PASSWORD=canary-environment", "GITHUB_TOKEN=canary-github-token", "SIGN_KEY=canary-sign-key", "DEPLOYER=AGE-SECRET-KEY-1canary", "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "../home"))
	environ = append(environ, goVariables(t)...)
	if c.verb == "smoke" {
		environ = append(environ, "CHECK_INPUT=canary-check-input")
	}
	image := aws.Address() + "/shop@" + zeros
	if strings.Contains(strings.Join(c.args, " "), "IMAGE") || c.verb == "deploy" {
		image = proved(t, aws, environ)
	}
	if c.signs {
		key, password := canaryKey(t)
		environ = append(environ, "SIGNING_KEY="+key, "COSIGN_PASSWORD="+password)
		c.args = append(slices.Clone(c.args), "--sign-key", "env://SIGNING_KEY")
	}
	if c.verb == "admission" {
		if _, err := aws.CreateKey("alias/staging"); err != nil {
			t.Fatal(err)
		}
	}
	if c.docker != "" {
		environ = append(environ, "PATH="+filepath.Join(dir, "../bin")+":"+os.Getenv("PATH"), "FAKE_DOCKER="+c.docker)
	}
	replacer := strings.NewReplacer("REGISTRY", aws.Address(), "SERVICE", service.URL, "IMAGE", image, "OTHER", strings.TrimPrefix(other.URL, "http://"))
	args := []string{"--output", output}
	for _, arg := range c.args {
		args = append(args, replacer.Replace(arg))
	}
	if c.verb == "deploy" && slices.Contains(c.args, "--matrix") {
		args = append(args, "--image", image, "--chart", "chart", "--kubeconfig", filepath.Join(dir, "../kubeconfig"), "--timeout", "10s")
	} else if c.verb == "deploy" {
		args = append(args, "--environment", "staging", "--image", image, "--chart", "chart", "--kubeconfig", filepath.Join(dir, "../kubeconfig"), "--timeout", "10s")
	}
	aws.Inject(localaws.Fault{Do: func(next http.Handler) http.Handler {
		if c.echoes {
			next = echo(http.StatusForbidden)
		}
		return asked.Record("registry", next)
	}})
	if c.ends == cancelled {
		asked.OnSent = func(string, string) { cancel() }
	}
	if c.ends == cancelled && c.local {
		cancel()
	}
	if c.alone {
		return c.runAlone(ctx, t, dir, environ, args, asked)
	}
	code, ways := runInJob(ctx, t, verbNamed(t, c.verb), dir, environ, args, asked)
	if c.writes != "" {
		ways.Files = append(ways.Files, apptest.File{Name: c.writes, Content: apptest.Read(t, filepath.Join(dir, c.writes))})
	}
	return code, ways
}

// hostileRelease is a cluster that has a release, in whose records and objects others have written commands.
func hostileRelease(t *testing.T) http.Handler {
	t.Helper()
	quoted, err := json.Marshal("x" + hostile)
	if err != nil {
		t.Fatal(err)
	}
	cluster := apptest.NewCluster()
	cluster.Decode = kubetest.Decode
	cluster.PutRevision(t, "staging", "shop", 2, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations: {helm.sh/resource-policy: keep}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\n"+
		"  annotations: {onedigest.dev/actor: %s, onedigest.dev/run: %s}\nspec:\n  template: {spec: {containers: [{name: shop, image: %s}]}}\n", quoted, quoted, quoted))
	cluster.Put(t, "/apis/apps/v1/namespaces/staging/deployments/shop", `{"kind":"Deployment","apiVersion":"apps/v1"}`)
	cluster.Put(t, "/api/v1/namespaces/staging", `{"kind":"Namespace","apiVersion":"v1"}`)
	cluster.Put(t, "/api/v1/namespaces/staging/configmaps/kept", `{"kind":"ConfigMap","apiVersion":"v1"}`)
	cluster.Put(t, "/apis/coordination.k8s.io/v1/namespaces/staging/leases/onedigest-shop", fmt.Sprintf(`{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"annotations":{"onedigest.dev/pin-commit":%q,`+
		`"onedigest.dev/pin-actor":%s,"onedigest.dev/pin-run":%s,"onedigest.dev/pin-at":"2026-03-04T05:06:07Z"}},"spec":{}}`, strings.Repeat("1", 40), quoted, quoted))
	return cluster
}

// runAlone runs the verb as its own program.
func (c canaryVerb) runAlone(ctx context.Context, t *testing.T, dir string, environ, args []string, asked *apptest.Servers) (int, emitted) {
	t.Helper()
	environ, files := apptest.InJob(t, environ)
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, c.verb, args...)
	command.Dir, command.Env, command.Stdout, command.Stderr = dir, environ, &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), emitted{Stdout: stdout.String(), Stderr: stderr.String(), Outputs: apptest.Read(t, files[0]), Summary: apptest.Read(t, files[1]), Sent: asked.Requests()}
}

// workTree makes a work tree, and beside it a kubeconfig, a home directory and a docker client.
func (c canaryVerb) workTree(t *testing.T, cluster *httptest.Server, registry string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	user := "token: canary-kubeconfig-token"
	if c.alone {
		user = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: '" + filepath.Join(dir, "../bin/plugin") + "'}"
	}
	var authority []byte // client-go sends credentials by TLS only
	if certificate := cluster.Certificate(); certificate != nil {
		authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	}
	login, _ := json.Marshal(map[string]any{"auths": map[string]any{registry: map[string]string{"username": "u", "password": "canary-docker-password"}}}) // strings
	files := map[string]string{
		"chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n" + apptest.HostileMetadata(), "chart/templates/NOTES.txt": hostile, "chart/templates/secret.yaml": template, "chart/templates/pod.yaml": "apiVersion: v1\nkind: Pod\n" +
			"metadata: {name: a}\nspec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}', env: [{name: A, value: canary-variable-1}], args: [canary-argument-2]}]}\n",
		"values-staging.yaml": "secret: {PASSWORD: canary-values-4}\n", "values-production.yaml": "secret: {PASSWORD: canary-values-5}\n", "a\n::set-output name=pwned::1": "x",
		"go.mod": "module example.com/shop\n\ngo 1.26\n", "main.go": program,
		"../kubeconfig": strings.NewReplacer("CLUSTER", cluster.URL, "AUTHORITY", base64.StdEncoding.EncodeToString(authority), "USER", user).Replace(kubeconfig), "../bin/plugin": plugin, "../bin/docker": "#!/bin/sh\nexec fake-docker \"$@\"\n",
		"../home/.docker/config.json": string(login),
	}
	if c.verb == "deploy" {
		delete(files, "go.mod")
	} else {
		delete(files, "a\n::set-output name=pwned::1")
	}
	if c.docker != "" {
		files["Dockerfile"] = "FROM scratch\nARG PASSWORD\n"
	}
	maps.Copy(files, c.files)
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil { //nolint:gosec // some are programs
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message", "all"}} {
		command := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x"}, args...)...)
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, said)
		}
	}
	return dir
}

// canaryKey returns a private key that a password with a canary locks.
func canaryKey(t *testing.T) (key, password string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := encrypted.Encrypt(encoded, []byte("canary-password-of-the-key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: locked})), "canary-password-of-the-key"
}

// proved pushes an image and the evidence that staging proved it.
func proved(t *testing.T, aws *localawstest.Server, environ []string) (image string) {
	t.Helper()
	dir := canaryVerb{}.workTree(t, new(httptest.Server), "x")
	var built struct{ Image, Commit string }
	code, ways := runInJob(t.Context(), t, verbNamed(t, "build"), dir, environ, []string{"--repository", aws.Address() + "/shop", "--output", "json"}, nil)
	if err := json.Unmarshal([]byte(ways.Stdout), &built); err != nil || code != 0 {
		t.Fatalf("%v in %s%s", err, ways.Stdout, ways.Stderr)
	}
	subject, err := release.ParseImage(built.Image)
	if err != nil {
		t.Fatal(err)
	}
	content, err := evidence.Encode(release.Evidence{Image: subject, Commit: release.Commit(built.Commit), Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return "AWS", aws.IssueToken(), nil }})
	if _, err := client.Attach(t.Context(), subject, evidence.ArtifactType, evidence.MediaType, content, map[string]string{
		evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(release.Pass), release.AnnotationCreated: time.Now().UTC().Format(time.RFC3339Nano),
	}); err != nil {
		t.Fatal(err)
	}
	return built.Image
}

// echo is a server that refuses everything and says what it got.
func echo(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Said", strings.Join(r.Header.Values("X-Api-Key"), " "))
		w.WriteHeader(status)
		said, _ := json.Marshal(strings.Join(r.Header.Values("Authorization"), " ") + " " + strings.Join(r.Header.Values("X-Api-Key"), " ") + string(body) + hostile) // a string
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%s,"errors":[{"code":"DENIED","message":%s}]}`, said, said)
	})
}

// fakeDocker is a docker client that prints all that it is given, and builds an image with the annotations.
func fakeDocker() {
	if len(os.Args) > 2 && os.Args[2] == "version" {
		return
	}
	for _, out := range []io.Writer{os.Stdout, os.Stderr} {
		fmt.Fprintf(out, "%s\n%s\n%s\n", strings.Join(os.Environ(), "\n"), strings.Join(os.Args, " "), hostile)
	}
	if os.Getenv("FAKE_DOCKER") != "done" {
		fmt.Fprintln(os.Stderr, "ERROR: failed to solve: "+strings.Join(os.Environ(), " ")+hostile)
		os.Exit(1)
	}
	annotations, archive := map[string]string{}, ""
	for _, arg := range os.Args {
		if given, is := strings.CutPrefix(arg, "--annotation=manifest:"); is {
			name, value, _ := strings.Cut(given, "=")
			annotations[name] = value
		}
		if _, dest, is := strings.Cut(arg, "dest="); is {
			archive = strings.Trim(dest, `"`)
		}
	}
	if err := writeImage(archive, annotations); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// writeImage writes an image as an OCI layout in a tar.
func writeImage(archive string, annotations map[string]string) error {
	image, err := random.Image(64, 1)
	if err != nil {
		return err
	}
	annotated, _ := mutate.Annotations(mutate.MediaType(image, types.OCIManifestSchema1), annotations).(v1.Image)
	dir := archive + ".layout"
	to, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = to.AppendImage(annotated)
	}
	if err == nil {
		err = exec.Command("tar", "-C", dir, "-cf", archive, ".").Run()
	}
	return err
}
