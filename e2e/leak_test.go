package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppipeline "github.com/onedigest/onedigest/internal/app/pipeline"
	apppreview "github.com/onedigest/onedigest/internal/app/preview"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/github/githubtest"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// leakRun is a run of a verb with canaries in all that it is given.
type leakRun struct {
	verb     string
	ends     apptest.RunEnd
	args     []string // IMAGE and PLAN are replaced
	want     []string // in its output
	cancelAt string   // a part of the request to the cluster at which it is cancelled
	file     string   // that it writes
}

// What has canaries: "set" is in values that the command line has, "store" in stores of secrets, "live" in Secrets that are in the cluster already.
var (
	leakValues = []string{
		"--set", "secret.PASSWORD=canary-set-password", "--set-json", `extraEnv=[{"name":"API_TOKEN","value":"canary-set-token"}]`, "--set-json", `existingSecrets=[{"name":"live"}]`,
		"--secret-values", "secret.DATABASE_URL=awssm://leaks#url", "--secret-values", "secret.API_KEY=ssm:///leaks/key", "--secret-values", "secret.SIGNING=sops://secrets.enc.yaml#signing",
	}
	leakDeploy = append([]string{"--environment", "leaks", "--image", "IMAGE", "--values", "terraform/staging/values-staging.yaml", "--set", "config.ENVIRONMENT=leaks",
		"--lease-duration", "3s", "--timeout", "1m", "--github-deployment", "--artifact-record", "--comment"}, leakValues...)
	otherPassword = swap(leakDeploy, "secret.PASSWORD=canary-set-password", "secret.PASSWORD=canary-set-other")
	otherSecrets  = swap(leakDeploy, `existingSecrets=[{"name":"live"}]`, `existingSecrets=[{"name":"live-delay"}]`)
	leakSmoke     = []string{"--environment", "leaks", "--image", "IMAGE", "--timeout", "1m", "--patience", "1s", "--consecutive", "1"}
	leakPipeline  = []string{"--context", "app", "--values", "terraform/{environment}/values-{environment}.yaml", "--builder", "go", "--platform", "linux/" + runtime.GOARCH, "--timeout", "1m"}
	leakPreview   = []string{"--github-repository", "octo/shop", "--pull-request", "9", "--release", "leaks", "--timeout", "1m"}
	leakPromote   = []string{"--image", "IMAGE", "--from", "leaks", "--to", "leaks-production"}
)

// leakRuns are in the order in which they run: a promotion needs the evidence of the smoke before it.
var leakRuns = []leakRun{
	{verb: "build", ends: apptest.Ended, args: []string{"--repository", "REGISTRY/shop", "--context", "app", "--builder", "go"}},
	{verb: "deploy", ends: apptest.Planned, args: more(leakDeploy, "--dry-run", "--plan-out", "plan.json"), want: []string{"Secret/shop"}, file: "plan.json"},
	{verb: "deploy", ends: apptest.Ended, args: more(leakDeploy, "--plan", "plan.json", "--plan-digest", "PLAN"), want: []string{"carrying out plan"}},
	{verb: "deploy", ends: apptest.Planned, args: more(otherPassword, "--dry-run"), want: []string{"Secret/shop"}},
	{verb: "deploy", ends: apptest.Ended, args: more(leakDeploy, "--values", "secret.yaml")},
	{verb: "deploy", ends: apptest.Planned, args: more(leakDeploy, "--values", "changed.yaml", "--dry-run"), want: []string{"Secret/shop"}},
	{verb: "deploy", ends: apptest.RefusedInput, args: more(leakDeploy, "--values", "refused.yaml")},
	{verb: "deploy", ends: apptest.Failed, args: more(leakDeploy, "--secret-values", "secret.DRAIN_DELAY=awssm://leaks#delay"), want: []string{"OD-103", "DRAIN_DELAY", "***"}},
	{verb: "deploy", ends: apptest.Failed, args: otherSecrets, want: []string{"OD-103", "DRAIN_DELAY", "***"}},
	{verb: "deploy", ends: apptest.Cancelled, args: otherPassword, cancelAt: "/deployments/shop"},
	{verb: "smoke", ends: apptest.Ended, args: more(leakSmoke, "--checks", "passing.yaml")},
	{verb: "promote", ends: apptest.Ended, args: leakPromote},
	{verb: "smoke", ends: apptest.Failed, args: more(leakSmoke, "--checks", "failing.yaml"), want: []string{"exited with status 1", "***"}},
	{verb: "promote", ends: apptest.Failed, args: leakPromote},
	{verb: "smoke", ends: apptest.Cancelled, args: more(leakSmoke, "--checks", "passing.yaml"), cancelAt: "/pods"},
	{verb: "preview", ends: apptest.Ended, args: more(leakPreview, "--mode", "open", "--image", "IMAGE", "--values", "terraform/staging/values-staging.yaml", "--set", "secret.PASSWORD=canary-set-password"), want: []string{"preview-leaks-9"}},
	{verb: "preview", ends: apptest.Ended, args: more(leakPreview, "--mode", "close"), want: []string{"removed namespace"}},
}

// pipelineRuns deploy to the environments of every pipeline, so that they do not run beside other tests.
var pipelineRuns = []leakRun{
	{verb: "pipeline", ends: apptest.Ended, args: more(leakPipeline, "--checks", "passing.yaml"), want: []string{"One commit, one digest."}},
	{verb: "pipeline", ends: apptest.Failed, args: more(leakPipeline, "--checks", "failing.yaml"), want: []string{"exited with status 1", "***", "rollback staging"}},
	{verb: "pipeline", ends: apptest.Cancelled, args: more(leakPipeline, "--checks", "passing.yaml"), cancelAt: "/deployments"},
}

// swap returns arguments with another value in the place of one.
func swap(args []string, value, other string) []string {
	swapped := slices.Clone(args)
	swapped[slices.Index(swapped, value)] = other
	return swapped
}

func more(args []string, others ...string) []string { return slices.Concat(args, others) }

// TestTheRunsOnAClusterAreComplete: every ending that the suite of canaries leaves to a cluster has a run there.
func TestTheRunsOnAClusterAreComplete(t *testing.T) {
	beside(t)
	var have, want []string
	for _, run := range slices.Concat(leakRuns, pipelineRuns) {
		have = append(have, run.verb+": "+string(run.ends))
	}
	for verb, endings := range apptest.OnCluster {
		for _, ending := range endings {
			want = append(want, verb+": "+string(ending))
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if have = slices.Compact(have); !slices.Equal(have, want) {
		t.Errorf("there are runs of\n%q, want\n%q", have, want)
	}
}

// TestSecretsLeaveByNoWay runs the verbs with canaries in values, secret stores, live Secrets, variables, checks and the kubeconfig: to success, a plan, failure
// and cancellation. No output, summary, kept plan, request, event, Lease, record of Helm or record in the registry contains one, except a Secret,
// and the variable of the Deployment that was given one.
func TestSecretsLeaveByNoWay(t *testing.T) {
	onNode(t)
	beside(t)
	leaks := newLeaks(t, "leaks")
	for _, run := range leakRuns {
		leaks.run(run)
	}
	leaks.searchCluster()
	leaks.searchRegistry()
	leaks.searchGitHub()
}

// TestAPipelinesSecretsLeaveByNoWay is TestSecretsLeaveByNoWay for the pipeline.
func TestAPipelinesSecretsLeaveByNoWay(t *testing.T) {
	onNode(t)
	beside(t, &environments)
	leaks := newLeaks(t, "staging", "production")
	for _, environment := range leaks.namespaces {
		file := fmt.Sprintf("terraform/%s/values-%s.yaml", environment, environment)
		leaks.tree.write(file, apptest.Read(t, filepath.Join(leaks.tree.dir, file))+"\nsecret: {PASSWORD: canary-set-password}\nextraEnv: [{name: API_TOKEN, value: canary-set-token}]\n")
	}
	leaks.tree.recordNamespaces([]string{"--environment", "staging", "--environment", "production"})
	for i, run := range pipelineRuns {
		leaks.tree.commit(fmt.Sprint("run ", i))
		leaks.run(run)
	}
	leaks.searchCluster()
	leaks.searchRegistry()
}

// leaks are the runs of one test, and the proxy in front of the cluster.
type leaks struct {
	t          *testing.T
	tree       checkout
	namespaces []string
	asked      *apptest.Servers
	github     *githubtest.Server
	image      string
	plan       string // digest of the plan that was kept
}

// hostileProgram is a check that prints all that it has, and what would command the runner and the terminal.
const hostileProgram = `[sh, -c, 'env; printf "\n::set-output name=pwned::1\n##[add-mask]x\r::add-mask::x\n\033[2J" >&2; exit STATUS']`

func newLeaks(t *testing.T, namespaces ...string) *leaks {
	t.Helper()
	l := &leaks{t: t, tree: newCheckout(t), namespaces: namespaces, asked: new(apptest.Servers), github: githubtest.Start(t)}
	for _, namespace := range namespaces {
		l.putLiveSecrets(namespace)
	}
	const checks = "checks:\n- path: /\n  headers: {Authorization: Bearer canary-header-1, X-Api-Key: canary-header-2}\n" +
		"- name: prints\n  command: " + hostileProgram + "\n  pass-env: [CHECK_INPUT]\n  env: {PASSWORD: canary-check-password}\n"
	for file, status := range map[string]string{"passing.yaml": "0", "failing.yaml": "1"} {
		l.tree.write(file, strings.Replace(checks, "STATUS", status, 1))
	}
	for file, plain := range map[string]string{"secret.yaml": "canary-set-1", "changed.yaml": "canary-set-2", "refused.yaml": "[canary-set-3]"} {
		l.tree.write(file, "secret: {PLAIN: "+plain+", WHERE: 'postgres://u:canary-set-in-a-url@db/x'}\n")
	}
	l.plantHostileText()
	l.tree.write("secrets.enc.yaml", "signing: ENC[AES256_GCM]\n")
	l.tree.commit("checks")

	stores := localawstest.Start(t)
	stores.PutSecret("leaks", `{"url": "postgres://shop:canary-store-password@db/shop", "delay": "canary-store-delay"}`)
	stores.PutParameter("/leaks/key", "canary-store-key")
	bin := t.TempDir()
	const sops = "#!/bin/sh\n[ \"$1 $2 $3\" = '--decrypt --output-type json' ] || exit 2\necho '{\"signing\": \"canary-store-signing\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "sops"), []byte(sops), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	l.tree.environ = []string{"KUBECONFIG=" + clusterProxy(t, l.asked), "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + stores.URL(), "AWS_ENDPOINT_URL_SSM=" + stores.URL(),
		"PATH=" + bin + ":" + os.Getenv("PATH"), "DB_PASSWORD=canary-environment", "CHECK_INPUT=canary-check-input"}
	l.tree.environ = append(l.tree.environ, l.onGitHub()...)
	return l
}

// onGitHub returns the variables of a job of a pull request, whose requests to GitHub are recorded.
func (l *leaks) onGitHub() []string {
	l.t.Helper()
	address, err := url.Parse(l.github.URL)
	if err != nil {
		l.t.Fatal(err)
	}
	recording := httptest.NewServer(l.asked.Record("github", httputil.NewSingleHostReverseProxy(address)))
	l.t.Cleanup(recording.Close)
	event := filepath.Join(l.t.TempDir(), "event.json")
	if err := os.WriteFile(event, []byte(`{"number": 7, "pull_request": {}}`), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return append(l.github.Environ(), "GITHUB_API_URL="+recording.URL, "GITHUB_EVENT_PATH="+event)
}

// searchGitHub searches the requests to GitHub. Comments and deployments are among them.
func (l *leaks) searchGitHub() {
	l.t.Helper()
	var sent []apptest.Sent
	for _, one := range l.asked.Requests() {
		if one.To == "github" {
			sent = append(sent, one)
		}
	}
	apptest.Emitted{Sent: sent}.Search(l.t)
	states := map[any]bool{}
	for _, deployment := range l.github.Deployments() {
		for _, status := range deployment.Statuses {
			states[status["state"]] = true
		}
	}
	if len(l.github.Comments()) == 0 || !states["success"] || !states["failure"] {
		l.t.Errorf("GitHub has %d comments, and deployments in the states %v", len(l.github.Comments()), states)
	}
}

// plantHostileText has the chart's metadata and notes, and the log of a pod that does not start, say what would command the runner and the terminal.
func (l *leaks) plantHostileText() {
	l.t.Helper()
	const metadata, notes = "charts/service/Chart.yaml", "charts/service/templates/NOTES.txt"
	l.tree.edit(metadata, "description: The common chart of every service and every environment, pinned to an image by digest\n", apptest.HostileMetadata())
	l.tree.write(notes, apptest.Read(l.t, filepath.Join(l.tree.dir, notes))+apptest.Hostile+"\n")
	const failure = "	fmt.Fprintln(os.Stderr, err)\n"
	l.tree.edit("app/main.go", failure, "	fmt.Fprintln(os.Stderr, "+strconv.Quote(apptest.Hostile)+")\n"+failure)
}

// plantEvents records an event with hostile text about every pod that appears in the namespaces, until stop is called.
func (l *leaks) plantEvents(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	cluster, done, planted := client(l.t), make(chan struct{}), map[types.UID]bool{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, namespace := range l.namespaces {
				pods, err := cluster.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{})
				if err != nil {
					continue // the next round tries again
				}
				for _, pod := range pods.Items {
					about := core.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: pod.Name, UID: pod.UID}
					event := &core.Event{ObjectMeta: meta.ObjectMeta{GenerateName: "hostile-"}, InvolvedObject: about, Type: core.EventTypeWarning, Reason: "Hostile", Message: apptest.Hostile,
						FirstTimestamp: meta.Now(), LastTimestamp: meta.Now(), Count: 1}
					if planted[pod.UID] {
						continue
					}
					if _, err := cluster.CoreV1().Events(namespace).Create(ctx, event, meta.CreateOptions{}); err == nil {
						planted[pod.UID] = true
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() {
		cancel()
		if <-done; len(planted) == 0 {
			l.t.Error("no hostile event was recorded")
		}
	}
}

// putLiveSecrets makes a namespace with Secrets that are not the chart's.
func (l *leaks) putLiveSecrets(namespace string) {
	l.t.Helper()
	l.tree.own(namespace)
	_, err := client(l.t).CoreV1().Namespaces().Create(l.t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, meta.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	for name, data := range map[string]map[string]string{"live": {"LIVE_TOKEN": "canary-live-token"}, "live-delay": {"DRAIN_DELAY": "canary-live-delay"}} {
		secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name}, StringData: data}
		if _, err := client(l.t).CoreV1().Secrets(namespace).Create(l.t.Context(), secret, meta.CreateOptions{}); err != nil {
			l.t.Fatal(err)
		}
	}
}

// clusterProxy serves the site's cluster to those who have a token, records the requests, and returns the path of a kubeconfig with the token.
func clusterProxy(t *testing.T, asked *apptest.Servers) (kubeconfig string) {
	t.Helper()
	const token = "canary-kubeconfig-token"
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: &http.Transport{TLSClientConfig: admin, MaxIdleConnsPerHost: 100}, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Authorization")
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	recording := asked.Record("cluster", proxy)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		recording.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	content := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: '%s', certificate-authority-data: %s}}]\n"+
		"contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: %s}}]\n", server.URL, authority, token)
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// run runs a verb in a job, and searches all that leaves it but the requests.
func (l *leaks) run(run leakRun) {
	l.t.Helper()
	commands := map[string]app.Command{"build": appbuild.Command(), "deploy": appdeploy.Command(), "smoke": appsmoke.Command(), "promote": apppromote.Command(), "preview": apppreview.Command(), "pipeline": apppipeline.Command()}
	output := map[bool]string{true: "json", false: "text"}[run.ends == apptest.Failed || run.ends == apptest.Planned || run.verb == "build"]
	args := []string{"--output", output}
	if run.verb == "pipeline" {
		args = append(args, "--repository", site.registry+"/shop")
	}
	for _, arg := range run.args {
		args = append(args, strings.NewReplacer("IMAGE", l.image, "PLAN", l.plan, "REGISTRY", site.registry).Replace(arg))
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	l.asked.OnSent = func(to, text string) {
		if to == "cluster" && run.cancelAt != "" && !strings.HasPrefix(text, "GET") && strings.Contains(text, run.cancelAt) {
			cancel()
		}
	}
	tree := l.tree
	environ, files := apptest.InJob(l.t, tree.environ)
	tree.environ = environ
	stop := func() {}
	if run.verb == "deploy" && run.ends == apptest.Failed {
		stop = l.plantEvents(ctx)
	}
	got := tree.verb(ctx, commands[run.verb], args...)
	stop()
	ways := apptest.Emitted{Stdout: got.stdout, Stderr: got.stderr, Outputs: apptest.Read(l.t, files[0]), Summary: apptest.Read(l.t, files[1])}
	if run.file != "" {
		ways.Files = append(ways.Files, apptest.File{Name: run.file, Content: apptest.Read(l.t, filepath.Join(tree.dir, run.file))})
	}
	ways.Search(l.t)
	want := map[apptest.RunEnd][]int{apptest.Ended: {0}, apptest.Planned: {0}, apptest.Failed: {1}, apptest.RefusedInput: {2}, apptest.Cancelled: {1, 3}}[run.ends]
	if !slices.Contains(want, got.code) || run.cancelAt != "" && ctx.Err() == nil {
		l.t.Errorf("%s to %s: exit %d (%v):\n%s%s", run.verb, run.ends, got.code, ctx.Err(), got.stdout, got.stderr)
	}
	for _, text := range run.want {
		if !strings.Contains(got.stdout+got.stderr, text) {
			l.t.Errorf("%s to %s: no %q in:\n%s%s", run.verb, run.ends, text, got.stdout, got.stderr)
		}
	}
	if run.verb == "build" {
		l.image = field(l.t, got, "image")
	}
	if run.file == "plan.json" {
		l.plan = field(l.t, got, "planDigest")
	}
}

// searchCluster searches the requests to the cluster, and what it has of a release besides Secrets.
func (l *leaks) searchCluster() {
	l.t.Helper()
	records := 0
	for _, sent := range l.asked.Requests() {
		if sent.To != "cluster" {
			continue
		}
		head, body := sent.Text, ""
		if at := slices.Max([]int{strings.Index(head, "{\""), strings.Index(head, protobuf)}); at >= 0 {
			head, body = head[:at], head[at:]
		}
		object, _, _ := scheme.Codecs.UniversalDeserializer().Decode([]byte(body), nil, nil) // nil for a patch
		secret, isSecret := object.(*core.Secret)
		switch {
		case isSecret && secret.Type == "helm.sh/release.v1":
			records++
			head += l.recordWithoutObjects(secret)
		case strings.Contains(head, "/secrets"):
		case strings.Contains(head, "/deployments"):
			head += strings.ReplaceAll(body, "canary-set-token", "")
		default:
			head += body
		}
		if apptest.HasCanary(head) {
			l.t.Errorf("the cluster was sent %.3000q", head)
		}
	}
	if records == 0 {
		l.t.Error("no record of Helm was sent")
	}
	cluster := client(l.t)
	for _, namespace := range l.namespaces {
		var lists []any
		for _, list := range []func() (any, error){
			func() (any, error) { return cluster.CoreV1().Events(namespace).List(l.t.Context(), meta.ListOptions{}) },
			func() (any, error) {
				return cluster.CoordinationV1().Leases(namespace).List(l.t.Context(), meta.ListOptions{})
			},
			func() (any, error) {
				return cluster.CoreV1().ConfigMaps(namespace).List(l.t.Context(), meta.ListOptions{})
			},
		} {
			found, err := list()
			if err != nil {
				l.t.Fatal(err)
			}
			lists = append(lists, found)
		}
		text, err := json.Marshal(lists)
		if err != nil || apptest.HasCanary(string(text)) {
			l.t.Errorf("an event, a Lease or a ConfigMap has a canary: %v\n%s", err, text)
		}
	}
}

// protobuf is how an object in the encoding of Protocol Buffers begins. Source: kubernetes.io, "Kubernetes API Concepts", "Protobuf encoding".
const protobuf = "k8s\x00"

// recordWithoutObjects returns Helm's record in a Secret, without the objects, which a rollback applies again, and without values that the command
// line gave, which Helm records.
func (l *leaks) recordWithoutObjects(secret *core.Secret) string {
	l.t.Helper()
	packed, err := base64.StdEncoding.DecodeString(string(secret.Data["release"]))
	if err != nil {
		l.t.Fatal(err)
	}
	var record map[string]any
	if err := json.NewDecoder(bytes.NewReader(apptest.Unpacked(packed))).Decode(&record); err != nil {
		l.t.Fatal(err)
	}
	if info, _ := record["info"].(map[string]any); info["description"] == "" {
		l.t.Errorf("the record has no description: %v", info)
	}
	delete(record, "manifest")
	delete(record, "hooks")
	delete(secret.Data, "release")
	config, err := json.Marshal(record["config"])
	if err != nil {
		l.t.Fatal(err)
	}
	delete(record, "config")
	rest, err := json.Marshal([]any{record, secret})
	if err != nil {
		l.t.Fatal(err)
	}
	return string(rest) + strings.ReplaceAll(string(config), "canary-set", "")
}

// searchRegistry searches all that the registry has been sent.
func (l *leaks) searchRegistry() {
	l.t.Helper()
	searched := 0
	err := filepath.WalkDir(filepath.Join(site.dir, "aws"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		if bytes.Contains(apptest.Unpacked(content), []byte("canary-")) {
			l.t.Errorf("the registry has a canary in %s: %.500q", path, content)
		}
		return nil
	})
	if err != nil || searched < 3 {
		l.t.Errorf("%d files were searched, %v", searched, err)
	}
}
