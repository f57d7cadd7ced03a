package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
)

// world is everything that is looked at, as it must be unless a test changes it.
type world struct {
	tree             fstest.MapFS
	programs         []string // that are missing
	shallow, outside bool     // of a job
	kubeconfig       string   // of the environment
	subject          string
	subjectErr       error
	role             string
	assumeErr        error
	caller           release.Caller
	callerErr        error
	elsewhere        bool // the registry is not ECR's
	settings         release.RepositorySettings
	settingsErr      error
	rule             int
	policy           bool
	ruleErr          error
	noReferrers      bool
	registryErr      error
	connectErr       error
	hidden, absent   bool // the namespace
	ends             bool
	missing          []release.Permission
	noReviews        bool
	namespaceDenied  bool
	checkErr         error
	kindsErr         error
	signers          []Signer
	rulesErr         error
}

const workflow = `on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write}
jobs:
  pipeline:
    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@v1.0.0
    with:
      repository: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop
      region: eu-central-1
      checks: deploy/checks.yaml
      environments: |
        [{"name": "staging", "cluster": "shop", "values": "deploy/staging.yaml"}, {"name": "production", "namespace": "live", "values": "deploy/staging.yaml"}]
`

func newWorld() *world {
	return &world{
		tree: fstest.MapFS{".github/workflows/delivery.yaml": {Data: []byte(workflow)}, "deploy/staging.yaml": {}, "deploy/checks.yaml": {}, "Dockerfile": {Data: []byte("FROM scratch\n")}},
		role: "arn:aws:iam::123456789012:role/shop", subject: "repo:octo/shop:environment:staging", caller: release.Caller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/shop/x"},
		settings: release.RepositorySettings{Exists: true, Immutable: true}, policy: true,
	}
}

func (w *world) Find(program string) error {
	for _, missing := range w.programs {
		if missing == program {
			return errors.New("not on the PATH")
		}
	}
	return nil
}
func (w *world) IsShallow(context.Context) (bool, error) { return w.shallow, nil }
func (w *world) InJob() bool                             { return !w.outside }
func (w *world) Subject() (string, error)                { return w.subject, w.subjectErr }
func (w *world) Role() string                            { return w.role }
func (w *world) Assume(context.Context) error            { return w.assumeErr }
func (w *world) Caller(context.Context, string) (release.Caller, error) {
	return w.caller, w.callerErr
}
func (w *world) IsECR(context.Context, release.Repository) (bool, error) {
	return !w.elsewhere, w.registryErr
}
func (w *world) Settings(context.Context, release.Repository) (release.RepositorySettings, error) {
	return w.settings, w.settingsErr
}
func (w *world) ExpiryRule(context.Context, release.Repository, release.Tag) (int, bool, error) {
	return w.rule, w.policy, w.ruleErr
}
func (w *world) HasReferrersAPI(context.Context, release.Repository) (bool, error) {
	return !w.noReferrers, nil
}
func (w *world) Kubeconfig() string { return w.kubeconfig }
func (w *world) Address() string    { return "https://k.example.com" }
func (w *world) NamespacePhase(context.Context, string) (phase string, known bool, err error) {
	switch {
	case w.absent || w.hidden:
		return "", !w.hidden, nil
	case w.ends:
		return "Terminating", true, nil
	}
	return "Active", true, nil
}
func (w *world) Rules() []release.Permission { return make([]release.Permission, 3) }
func (w *world) NamespaceRule() release.Permission {
	return release.Permission{Resource: "namespaces", Cluster: true, Verbs: []string{"create"}}
}
func (w *world) RulesOf(_ string, kinds []release.AppliedKind) []release.Permission {
	return make([]release.Permission, len(kinds))
}
func (w *world) Missing(_ context.Context, _ string, rules []release.Permission) ([]release.Permission, bool, error) {
	if len(rules) == 1 && rules[0].Resource == "namespaces" {
		if w.namespaceDenied {
			return rules, !w.noReviews, nil
		}
		return nil, !w.noReviews, nil
	}
	return w.missing, !w.noReviews, nil
}
func (w *world) Check(context.Context, Target) error { return w.checkErr }
func (w *world) Kinds(context.Context, Target) ([]release.AppliedKind, error) {
	if w.kindsErr != nil {
		return nil, w.kindsErr
	}
	return make([]release.AppliedKind, 2), nil
}

// examine runs the verb with settings.
func (w *world) examine(t *testing.T, values setting.Values) (Result, error) {
	t.Helper()
	var settings Settings
	if err := settings.Declare().Apply(values); err != nil {
		t.Fatal(err)
	}
	deps := Deps{Machine: w, Cloud: w, Chart: w, Reporter: releasetest.DiscardReporter{}, Signers: func(context.Context, release.Environment) ([]Signer, error) { return w.signers, w.rulesErr },
		Registry: func(context.Context, Target) (Registry, error) { return w, nil },
		Cluster:  func(context.Context, Target) (Cluster, error) { return w, w.connectErr }}
	if w.tree != nil {
		deps.Tree = w.tree
	}
	return Run(t.Context(), settings, deps)
}

// TestAllIsWell: every check is ok, except that no request is sent to the service.
func TestAllIsWell(t *testing.T) {
	t.Parallel()
	result, err := newWorld().examine(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	var checks []string
	for _, found := range result.Findings {
		if found.State != OK && found.Check != "smoke" {
			t.Errorf("got %+v", found)
		}
		checks = append(checks, found.Check)
	}
	want := []string{"tools", "tools", "workflow", "history", "identity token", "role", "account", "repository", "immutable tags", "lifecycle", "referrers API", "chart", "values", "smoke checks",
		"cluster", "namespace", "RBAC", "smoke"}
	if diff := cmp.Diff(want, checks); diff != "" || result.Environment != "staging" {
		t.Errorf("%s (-want +got):\n%s", result.Environment, diff)
	}
}

// TestFindings: each thing that is not as it must be is one finding with what mends it; only what fails decides about the exit code; what could not be looked at is
// never ok.
func TestFindings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(w *world)
		want   []string // "check: state: part of what: part of the fix"
	}{
		"no git, no docker": {func(w *world) { w.programs = []string{"git", "docker"} }, []string{"tools: fails: git is missing: install git", "tools: fails: docker is missing: install docker"}},
		"no builder is known": {func(w *world) {
			w.tree["main.go"], w.tree["go.mod"] = &fstest.MapFile{Data: []byte("package main\n")}, &fstest.MapFile{Data: []byte("module m\n")}
		},
			[]string{"tools: not checked: which builder: "}},
		"signers": {func(w *world) {
			w.signers = []Signer{{Name: "a.pub"}, {Name: "b.pub"}, {Name: "c.pub", Err: release.BadSetting("policy", "c.pub is no key", "name one")}}
		},
			[]string{"signers: ok: a.pub, b.pub: ", "signers: fails: c.pub is no key: name one"}},
		"a signer of the job": {func(w *world) {
			w.outside, w.signers = true, []Signer{{Name: "env://KEY", OfJob: true, Err: errors.New("is not set")}}
		}, []string{"signers: not checked: env://KEY: in the job"}},
		"a job's signer":   {func(w *world) { w.signers = []Signer{{Name: "env://KEY", OfJob: true, Err: errors.New("is not set")}} }, []string{"signers: fails: is not set: "}},
		"no rules":         {func(w *world) { w.rulesErr = errors.New("no YAML") }, []string{"signers: fails: no YAML: "}},
		"no tree":          {func(w *world) { w.tree = nil }, []string{"tools: not checked: : ", "workflow: not checked: : ", "history: not checked: : ", "account: ok: : "}},
		"a moving pin":     {func(w *world) { w.replace("@v1.0.0", "@v1") }, []string{"workflow: limited: pipeline.yaml@v1: full commit"}},
		"no permission":    {func(w *world) { w.replace("id-token: write", "id-token: none") }, []string{"workflow: fails: not granted id-token: `id-token: write`"}},
		"read-all":         {func(w *world) { w.replace("permissions: {contents: read, id-token: write}", "permissions: read-all") }, []string{"workflow: fails: not granted id-token: add"}},
		"no comment":       {func(w *world) { w.replace("      checks:", "      comment: true\n      checks:") }, []string{"workflow: limited: not granted pull-requests: write: add `pull-requests: write`"}},
		"no deployment":    {func(w *world) { w.replace("      checks:", "      github-deployment: true\n      checks:") }, []string{"workflow: limited: not granted deployments: write: add `deployments: write`"}},
		"no record":        {func(w *world) { w.replace("      checks:", "      artifact-record: true\n      checks:") }, []string{"workflow: limited: not granted artifact-metadata: write: add `artifact-metadata: write`"}},
		"a group":          {func(w *world) { w.replace("jobs:", "concurrency: x\njobs:") }, []string{"workflow: limited: concurrency group: remove it"}},
		"services":         {func(w *world) { w.replace("      checks:", "      services: ${{ vars.X }}\n      checks:") }, []string{"workflow: fails: not granted actions: add"}},
		"an expression":    {func(w *world) { w.replace(`[{"name": "staging"`, `[${{ vars.X }}, {"name": "staging"`) }, []string{"workflow: not checked: by an expression: "}},
		"the build's name": {func(w *world) { w.replace(`{"name": "production"`, `{"name": "build"`) }, []string{`workflow: fails: "build": `}},
		"no values":        {func(w *world) { delete(w.tree, "deploy/staging.yaml") }, []string{`workflow: fails: "deploy/staging.yaml": write it`}},
		"no values of all": {func(w *world) { w.replace("      checks:", "      values: deploy/all.yaml\n      checks:") }, []string{`workflow: fails: "deploy/all.yaml": write it`}},
		"no checks":        {func(w *world) { delete(w.tree, "deploy/checks.yaml") }, []string{`workflow: fails: "deploy/checks.yaml": write it`}},
		"a shallow clone":  {func(w *world) { w.shallow = true }, []string{"history: limited: fetches the commits: fetch-depth: 0"}},
		"a build elsewhere": {func(w *world) {
			w.programs = []string{"docker"}
			w.replace("      checks:", "      runner: self-hosted\n      checks:")
		}, []string{"tools: not checked: docker is missing here: "}},
		"by Argo CD": {func(w *world) {
			w.replace(`"cluster": "shop", "values": "deploy/staging.yaml"`, `"cluster": "shop", "via": "argo-cd", "values": "config/staging.yaml"`)
		}, []string{"workflow: ok: : ", "chart, values and smoke checks: not checked: configuration repository: ", "RBAC: not checked: docs/rbac/role-gitops.yaml: "}},
		"outside of a job":  {func(w *world) { w.outside = true }, []string{"identity token: not checked: no job: in a job", "role: not checked: only a job: ", "account: not checked: : ", "repository: not checked: : ", "cluster: not checked: : "}},
		"another job":       {func(w *world) { w.subject = "repo:octo/shop:environment:production" }, []string{"identity token: fails: environment:production: environment: staging"}},
		"a job of a branch": {func(w *world) { w.subject = "repo:octo/shop:ref:refs/heads/main" }, []string{"identity token: limited: refs/heads/main: environment: staging"}},
		"no token":          {func(w *world) { w.subjectErr = release.BadInput("the job", "it may not ask", "add x") }, []string{"identity token: fails: may not ask: add x"}},
		"no token and no role": {func(w *world) { w.subjectErr, w.role = release.BadInput("the job", "it may not ask", "add x"), "" },
			[]string{"identity token: not checked: no role is given: id-token", "role: not checked: none is given: --role"}},
		"a role that refuses": {func(w *world) {
			w.assumeErr = &release.Refusal{Why: "AWS refused the role", Do: "{\"Effect\": \"Allow\"}\nor the other form"}
		},
			[]string{"role: fails: AWS refused: Effect", "account: not checked: : ", "repository: not checked: : ", "chart, values and smoke checks: not checked: : ", "cluster: not checked: : "}},
		"no credentials": {func(w *world) {
			w.callerErr = &release.Fault{Side: "AWS", Err: errors.New("ExpiredToken"), Do: "sign in"}
		}, []string{"account: fails: ExpiredToken: sign in"}},
		"no repository":         {func(w *world) { w.settings = release.RepositorySettings{} }, []string{"repository: fails: does not exist: --create-repository"}},
		"tags that move":        {func(w *world) { w.settings.Immutable = false }, []string{"immutable tags: limited: can move: put-image-tag-mutability"}},
		"tags of commits move":  {func(w *world) { w.settings.Except = []string{"*-dirty*", "0*"} }, []string{"immutable tags: limited: *-dirty*, 0*: exclude"}},
		"all tags move":         {func(w *world) { w.settings.Except = []string{"*"} }, []string{"immutable tags: limited: can move: exclude"}},
		"other tags move":       {func(w *world) { w.settings.Except = []string{"sha256-*", "*-dirty*", "abc", "latest"} }, []string{"immutable tags: ok: sha256-*, *-dirty*, abc, latest: "}},
		"may not describe":      {func(w *world) { w.settingsErr = errors.New("AccessDeniedException: no") }, []string{"repository: not checked: may not describe: ecr:DescribeRepositories", "immutable tags: not checked: : ", "lifecycle: ok: : "}},
		"images expire":         {func(w *world) { w.rule = 7 }, []string{"lifecycle: limited: rule 7: dirty"}},
		"may not read it":       {func(w *world) { w.ruleErr = errors.New("AccessDeniedException: no") }, []string{"lifecycle: not checked: : ecr:GetLifecyclePolicy"}},
		"another registry":      {func(w *world) { w.elsewhere = true }, []string{"repository: not checked: only ECR tells: ", "referrers API: ok: : "}},
		"no referrers":          {func(w *world) { w.noReferrers = true }, []string{"referrers API: limited: sha256-: let tags"}},
		"a registry that hangs": {func(w *world) { w.registryErr = &release.Fault{Side: "registry", Err: errors.New("timeout")} }, []string{"repository: fails: timeout: "}},
		"a wrong chart": {func(w *world) {
			w.checkErr = &release.InputError{Problems: []release.Problem{{Where: "a.yaml:1", What: "no", Do: "x"}, {Where: "b.yaml", What: "neither"}}}
		},
			[]string{"chart, values and smoke checks: fails: a.yaml:1: no: x", "chart, values and smoke checks: fails: b.yaml: neither: "}},
		"no cluster": {func(w *world) {
			w.connectErr = &release.Fault{Side: "AWS", Err: errors.New("no cluster"), Do: "correct it"}
		}, []string{"cluster: fails: no cluster: correct it", "RBAC: not checked: : "}},
		"no namespace":          {func(w *world) { w.absent, w.namespaceDenied = true, true }, []string{`namespace: fails: "staging" does not exist: kubectl create namespace staging`}},
		"made by deploy":        {func(w *world) { w.absent = true }, []string{"namespace: ok: creates it: "}},
		"not made by deploy":    {func(w *world) { w.absent, w.tree = true, nil }, []string{"namespace: limited: only with create-namespace: give create-namespace"}},
		"a namespace that ends": {func(w *world) { w.ends = true }, []string{`namespace: fails: "staging" is being deleted: wait`}},
		"a named cluster":       {func(*world) {}, []string{`cluster: ok: cluster "shop" at https://k.example.com: `}},
		"no named cluster":      {func(w *world) { w.outside = true; w.replace(`"cluster": "shop", `, "") }, []string{"cluster: not checked: current context: --kube-context", "RBAC: not checked: : "}},
		"hidden":                {func(w *world) { w.hidden = true }, []string{"namespace: not checked: may not read namespaces: "}},
		"no questions":          {func(w *world) { w.noReviews = true }, []string{"RBAC: not checked: ask: selfsubjectaccessreviews"}},
		"rules are missing": {func(w *world) {
			w.missing = []release.Permission{{Group: "apps", Resource: "deployments", Verbs: []string{"create", "patch"}, For: "the chart's objects"}, {Resource: "pods/log", Verbs: []string{"get"}, For: "logs", Without: "no lines"},
				{Resource: "clusterroles", Group: "rbac.authorization.k8s.io", Cluster: true, Verbs: []string{"get"}, For: "x"}}
		}, []string{`RBAC: fails: create, patch deployments.apps: add to the Role: {apiGroups: ["apps"], resources: ["deployments"], verbs: [create, patch]}`, "RBAC: limited: get pods/log, for logs: no lines: verbs: [get]", "RBAC: fails: clusterroles: a ClusterRole"}},
		"a chart that does not render": {func(w *world) { w.kindsErr = release.BadInput("templates/a.yaml", "nil", "") }, []string{"chart: fails: templates/a.yaml: nil: ", "RBAC: not checked: does not render: "}},
		"a cluster without discovery":  {func(w *world) { w.kindsErr = &release.Fault{Side: "cluster", Err: errors.New("403"), Do: "x"} }, []string{"cluster: fails: 403: x", "RBAC: not checked: cannot be rendered: ", "RBAC: ok: all 3 rules"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			test.change(w)
			values := setting.Values{}
			if w.tree == nil || name == "an expression" {
				values = setting.Values{"environment": {Texts: []string{"staging"}}}
			}
			result, err := w.examine(t, values)
			failing := 0
			for _, want := range test.want {
				found := false
				for _, finding := range result.Findings {
					found = found || matches(finding, want)
				}
				if !found {
					t.Errorf("nothing is %q in %+v", want, result.Findings)
				}
			}
			for _, finding := range result.Findings {
				if finding.State == Fails {
					failing++
				}
			}
			if want := map[bool]int{true: release.ExitFailed, false: release.ExitDone}[failing > 0]; release.ExitCode(err) != want {
				t.Errorf("%d findings fail, and the error is %v", failing, err)
			}
		})
	}
}

// TestAKubeconfigThatIsGiven is looked at from a terminal, also if it is that of KUBECONFIG; that of KUBECONFIG alone is not.
func TestAKubeconfigThatIsGiven(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{"KUBECONFIG": "cluster: not checked: none is named: --kubeconfig", "--kubeconfig": "cluster: ok: answers", "INPUT_KUBECONFIG": "cluster: ok: answers"} {
		w := newWorld()
		w.outside, w.kubeconfig = true, "/home/ops/kubeconfig"
		w.replace(`"cluster": "shop", `, "")
		result, err := w.examine(t, setting.Values{"kubeconfig": {Texts: []string{w.kubeconfig}, Origin: origin}})
		if err != nil || !slices.ContainsFunc(result.Findings, func(f Finding) bool { return matches(f, want) }) {
			t.Errorf("%s: nothing is %q in %+v, %v", origin, want, result.Findings, err)
		}
	}
}

// replace changes the workflow.
func (w *world) replace(before, after string) {
	w.tree[".github/workflows/delivery.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(workflow, before, after, 1))}
}

// matches reports whether a finding is that of a test: its check and its state, and somewhere in its texts the rest.
func matches(finding Finding, want string) bool {
	rest, is := strings.CutPrefix(want, finding.Check+": "+string(finding.State)+": ")
	if !is {
		return false
	}
	all := finding.What + ": " + finding.Fix
	for part := range strings.SplitSeq(rest, ": ") {
		if !strings.Contains(all, part) {
			return false
		}
	}
	return true
}

// TestTarget: what the workflow gives completes the settings, and what decides what is looked at is bad input.
func TestTarget(t *testing.T) {
	t.Parallel()
	w := newWorld()
	result, err := w.examine(t, setting.Values{"environment": {Texts: []string{"production"}}})
	if err == nil || result.Environment != "production" { // its job has another subject
		t.Errorf("got %v, %v", result, err)
	}
	w.tree = nil
	for name, values := range map[string]setting.Values{"no environment": nil, "a service": {"environment": {Texts: []string{"staging"}}, "service": {Texts: []string{"cart"}}}} {
		if _, err := w.examine(t, values); release.ExitCode(err) != release.ExitInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	w = newWorld()
	if _, err := w.examine(t, setting.Values{"service": {Texts: []string{"cart"}}}); release.ExitCode(err) != release.ExitInput {
		t.Errorf("a service of one repository: %v", err)
	}
	w.replace("      checks:", "      services: '{\"cart\": {}, \"web\": {}}'\n      checks:")
	if _, err := w.examine(t, nil); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "cart, web") {
		t.Errorf("no service of several: %v", err)
	}
}

// TestExpressions: what the workflow gives by an expression is one text, whatever white space it has, and is not looked at: neither split into files, nor taken for
// a name or for a setting that was left out. What flags give is.
func TestExpressions(t *testing.T) {
	t.Parallel()
	const byVars, byRun = "${{ vars.X }}", "by an expression, whose value only a run knows"
	for name, test := range map[string]struct {
		before, after string
		values        setting.Values
		want          []string
		not           []string // "check: state" that no finding has
	}{
		"part of a file": {`"values": "deploy/staging.yaml"}, {`, `"values": "deploy/${{ vars.X || 'a.yaml' }}.yaml"}, {`, nil,
			[]string{"workflow: not checked: by an expression: ", "chart, values and smoke checks: not checked: values " + byRun + ": give --values", "RBAC: not checked: values by an expression: "},
			[]string{"workflow: fails", "chart: ok", "values: ok"}},
		"an expression of several lines": {`"values": "deploy/staging.yaml"}, {`, `"values": "${{ vars.X &&\n 'deploy/a.yaml' ||\n 'deploy/b.yaml' }}"}, {`, nil,
			[]string{"workflow: not checked: by an expression: "}, []string{"workflow: fails", "values: ok"}},
		"beside another file": {`"values": "deploy/staging.yaml"}, {`, `"values": "deploy/staging.yaml\n${{ vars.X }}\ndeploy/gone.yaml"}, {`, nil,
			[]string{`workflow: fails: "deploy/gone.yaml": write it`, "chart, values and smoke checks: not checked: values"}, []string{"values: ok"}},
		"values of all": {"      checks:", "      values: |\n        deploy/${{ vars.X }}.yaml\n        ${{ vars.Y }}\n      checks:", nil,
			[]string{"chart, values and smoke checks: not checked: values: give --values"}, []string{"workflow: fails"}},
		"values by a flag": {`"values": "deploy/staging.yaml"}, {`, `"values": "${{ vars.X }}"}, {`, setting.Values{"values": {Texts: []string{"deploy/staging.yaml"}}},
			[]string{"values: ok: deploy/staging.yaml", "chart: ok: "}, []string{"RBAC: not checked"}},
		"the chart": {"      checks:", "      chart: " + byVars + "\n      checks:", nil, []string{"chart, values and smoke checks: not checked: chart " + byRun + ": give --chart"}, []string{"chart: ok"}},
		"the checks": {"checks: deploy/checks.yaml", "checks: " + byVars, nil, []string{"chart: ok: ", "smoke checks: not checked: checks " + byRun + ": give --checks"},
			[]string{"smoke checks: ok", "workflow: fails"}},
		"the cluster": {`"cluster": "shop"`, `"cluster": "` + byVars + `"`, nil, []string{"cluster: not checked: cluster " + byRun + ": give --cluster", "RBAC: not checked: "}, []string{"cluster: ok", "namespace: ok"}},
		"cluster by a flag": {`"cluster": "shop"`, `"cluster": "` + byVars + `"`, setting.Values{"cluster": {Texts: []string{"other"}}},
			[]string{`cluster: ok: cluster "other"`}, []string{"cluster: not checked"}},
		"the region": {"region: eu-central-1", "region: " + byVars, nil, []string{"cluster: not checked: region " + byRun + ": give --region"}, []string{"cluster: ok"}},
		"the namespace": {`"cluster": "shop"`, `"cluster": "shop", "namespace": "` + byVars + `"`, nil,
			[]string{"cluster: not checked: namespace " + byRun + ": give --namespace"}, []string{"namespace: ok"}},
		"two of them": {`"cluster": "shop"`, `"cluster": "` + byVars + `", "namespace": "` + byVars + `"`, nil,
			[]string{"cluster: not checked: cluster and namespace " + byRun + ": give --cluster and --namespace"}, nil},
		"a file with a space": {`"values": "deploy/staging.yaml"}, {`, `"values": "deploy/my staging.yaml"}, {`, nil, []string{`workflow: fails: "deploy/my staging.yaml": write it`, "values: ok: deploy/my staging.yaml"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.replace(test.before, test.after)
			result, _ := w.examine(t, test.values)
			for _, want := range test.want {
				if !slices.ContainsFunc(result.Findings, func(found Finding) bool { return matches(found, want) }) {
					t.Errorf("nothing is %q in %+v", want, result.Findings)
				}
			}
			for _, found := range result.Findings {
				if slices.Contains(test.not, found.Check+": "+string(found.State)) {
					t.Errorf("got %+v", found)
				}
			}
		})
	}
}

// TestFilesOfServices: an input names several files, {0} among them, and each is looked at.
func TestFilesOfServices(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.replace("      checks:", "      services: '{\"cart\": {\"values\": \"deploy/{0}/own.yaml\"}, \"web\": {}}'\n      values: deploy/all.yaml\n      checks:")
	changed := strings.ReplaceAll(string(w.tree[".github/workflows/delivery.yaml"].Data), `"values": "deploy/staging.yaml"`, `"values": "deploy/staging.yaml\ndeploy/{0}-staging.yaml"`)
	changed = strings.Replace(changed, "id-token: write}", "id-token: write, actions: read}", 1)
	w.tree[".github/workflows/delivery.yaml"] = &fstest.MapFile{Data: []byte(changed)}
	files := []string{"deploy/all.yaml", "deploy/cart-staging.yaml", "deploy/web-staging.yaml", "deploy/cart/own.yaml"}
	for _, name := range files {
		w.tree[name] = &fstest.MapFile{}
	}
	if result, err := w.examine(t, setting.Values{"service": {Texts: []string{"cart"}}}); err != nil {
		t.Errorf("got %v: %+v", err, result.Findings)
	}
	for _, name := range files {
		delete(w.tree, name)
		result, _ := w.examine(t, setting.Values{"service": {Texts: []string{"cart"}}})
		if !slices.ContainsFunc(result.Findings, func(found Finding) bool { return matches(found, `workflow: fails: "`+name+`": write it`) }) {
			t.Errorf("%s: got %+v", name, result.Findings)
		}
		w.tree[name] = &fstest.MapFile{}
	}
}
