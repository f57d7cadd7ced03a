// Package deploy wires the deploy verb: Helm, the cluster, the registry, git and the smoke checks.
package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	commonchart "github.com/onedigest/onedigest/charts"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/app/roles"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/deploy/planfile"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/helm/renderer"
	"github.com/onedigest/onedigest/internal/helm/source"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/secretstore"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Command is the deploy verb as a program.
func Command() app.Command {
	command := app.NewCommand(app.Wiring[deploy.Settings, deploy.Result]{
		Verb: deploy.Verb, Declare: (*deploy.Settings).Declare, ResolveCommit: git.ResolveCommit, Page: Page,
		Run: func(ctx context.Context, settings *deploy.Settings, run *app.RunContext) (deploy.Result, error) {
			if settings.Matrix == "" { // whose deploys name their own
				settings.SmokeChecks = SmokeChecksOf(run, settings.SmokeChecks)
			}
			return Run(ctx, settings, run)
		},
		Comment: func(s *deploy.Settings, r deploy.Result) app.Comment {
			return app.Comment{Wanted: s.Comment, Token: s.GitHubToken, Of: []string{cmp.Or(s.Matrix, s.Release)}, Part: []string{s.Environment.String(), s.Cluster, s.Namespace}, Commit: cmp.Or(s.Commit, r.Commit)}
		},
		Outputs: func(r deploy.Result) map[string]string {
			return map[string]string{"url": r.URL, "revision": strconv.Itoa(r.Revision), "outcome": string(r.Outcome), "digest": r.Digest.String(),
				"code": string(r.Code), "newer-run": r.NewerRun, "deploys": app.JSONOf(r.Deploys), "plan-digest": r.PlanDigest.String(), "config-commit": r.ConfigCommit.String(), "pull-request": pullRequest(r)}
		},
	})
	command.Child = renderer.Serve
	return command
}

// SmokeChecksOf returns what a deploy's setting for smoke checks means: the default file in the place of setting.ChecksByDefault, if it exists.
func SmokeChecksOf(run *app.RunContext, given string) string {
	if given != setting.ChecksByDefault {
		return given
	}
	return cmp.Or(appsmoke.FileOf(run, given), given)
}

// pullRequest is the page of the pull request, "" if there is none.
func pullRequest(r deploy.Result) string {
	if r.Proposal == nil {
		return ""
	}
	return r.Proposal.URL
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *deploy.Settings, run *app.RunContext) (deploy.Result, error) {
	connections := newConnections(run)
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return deploy.Result{}, err
	}
	charts, removeCharts, err := newCharts(run, settings, registry, run.Workspace(), run.Reporter)
	if err != nil {
		return deploy.Result{}, err
	}
	defer removeCharts()
	repositories := &configRepositories{run: run, registry: registry}
	defer repositories.remove()
	secrets, err := newSecrets(ctx, run)
	if err != nil {
		return deploy.Result{}, err
	}
	commits := newCommits(run, settings.GitHubToken)
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return deploy.Result{}, err
	}
	if settings.Plan != "" && settings.PlanDigest.IsZero() && github.On(run.Process.Getenv) {
		return deploy.Result{}, release.BadSetting("plan-digest", "is missing: on GitHub, the plan comes as an artifact, which other jobs of the run can replace",
			"give the output plan-digest of the dry run whose plan was approved")
	}
	isMatrix := settings.Matrix != ""
	warnings := new(gates.Warnings)
	newDeps := func(settings deploy.Settings, reporter release.Reporter) (deploy.Deps, error) {
		run.CollectAssignments(append(settings.Set[:len(settings.Set):len(settings.Set)], settings.SetJSON...)...)
		connection, err := connections.connect(ctx, settings)
		if err != nil {
			return deploy.Deps{}, err
		}
		signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
		if err != nil {
			return deploy.Deps{}, err
		}
		signing := registry.Signing(signer)
		signing.RefuseLegacy(settings.LegacySignatures == setting.LegacyRefuse)
		gate, err := newGate(run, signing, signer, settings, rules)
		if err != nil {
			return deploy.Deps{}, err
		}
		gate.Sharing(warnings)
		if !settings.DryRun && !settings.Heal {
			gate.WarnUnsigned(ctx, settings.Environment)
		}
		var facts deploy.Facts
		verdicts, verdictSigner := signing, ""
		if signer != nil {
			facts = recorder{signing}
			verdicts, verdictSigner = signing.Trusting([]signed.Verifier{signer.Verifier()}), signer.ID()
		}
		target := clusters.Target(run, settings.ClusterRef, connection.cluster.Host, settings.Namespace, settings.Release)
		deps := deploy.Deps{
			Facts: facts, Target: target, Origin: run.Origin(),
			Workspace: run.Workspace(), Charts: charts, Plans: plans{run}, Registry: registry, Gate: gate, Policy: rules, Chart: loadingSchemas(ctx, connection.helm.In(settings.Namespace), charts), Cluster: connection.cluster,
			Reporter: reporter, Commits: commits, SmokeRunner: smokeRunner{run, connection.cluster.Client, target, verdicts, verdictSigner, smokePatience}, Holder: run.Holder(), Secrets: secrets,
			Announcer: newAnnouncer(run, reporter, settings, clusters.Name(settings.ClusterRef, connection.cluster.Host), isMatrix),
		}
		if settings.GitOps.GitOps() {
			return repositories.through(ctx, settings, deps, connection, charts)
		}
		return deps, nil
	}
	if settings.Matrix != "" {
		return runMatrix(ctx, settings, run, newDeps)
	}
	deps, err := newDeps(*settings, run.Reporter)
	if err != nil {
		return deploy.Result{}, err
	}
	return deploy.Run(ctx, *settings, deps)
}

// newCharts returns what finds the charts, those of paths in a work tree; remove removes those that were fetched. It is logged if the
// common chart of the program is used; a nil reporter logs nothing, as only a deploy says it.
func newCharts(run *app.RunContext, settings *deploy.Settings, registry *images.Images, tree app.Workspace, reporter release.Reporter) (charts *source.Finder, remove func(), err error) {
	removeScratch := func() {}
	scratch := sync.OnceValues(func() (dir string, err error) { // only for charts that are fetched: a run that is killed leaves it
		dir, removeDir, err := run.Workspace().Scratch()
		if err == nil {
			removeScratch = removeDir
		}
		return dir, err
	})
	cache, err := cacheDir(run, settings.ChartCache)
	if err != nil {
		return nil, nil, err
	}
	for _, login := range settings.ChartLogins {
		run.Mask(login.Password)
	}
	notice := func(line string) {
		if reporter != nil {
			reporter.Infof("%s", line)
		}
	}
	charts = source.New(source.Options{Logins: settings.ChartLogins, Cache: cache, Log: run.Reporter.Raw, Registry: registry, Inside: tree.Inside, Scratch: scratch, Hosts: settings.ChartHosts, Schemas: settings.SchemaHosts,
		Common: commonChart(run.Process.Getenv("GITHUB_ACTION_PATH")), Embedded: commonchart.Service(), Notice: notice})
	return charts, func() { removeScratch() }, nil
}

// CheckFiles checks the charts, the values and the files of smoke checks that deploys of one command will read, and the rules, which list
// their environments. It changes nothing, and connects to no cluster. The errors are those of deploy.CheckFiles.
func CheckFiles(ctx context.Context, deploys []deploy.Settings, run *app.RunContext) error {
	if len(deploys) == 0 {
		return nil
	}
	registry, err := images.New(ctx, run, deploys[0].PlainHTTP...)
	if err != nil {
		return err
	}
	charts, removeCharts, err := newCharts(run, &deploys[0], registry, run.Workspace(), nil)
	if err != nil {
		return err
	}
	defer removeCharts()
	rules, err := gates.Load(run, deploys[0].Policy)
	if err != nil {
		return err
	}
	for _, each := range deploys {
		run.CollectAssignments(slices.Concat(each.Set, each.SetJSON)...)
	}
	secrets, err := newSecrets(ctx, run)
	if err != nil {
		return err
	}
	return deploy.CheckFiles(ctx, deploys, deploy.Deps{Workspace: run.Workspace(), Charts: charts, Chart: loadingSchemas(ctx, helm.Offline().Collecting(run.Secrets), charts), Secrets: secrets, Reporter: run.Reporter,
		SmokeRunner: smokeRunner{run: run}, Policy: rules})
}

// AppliedKinds returns the kinds of the objects that a deploy would apply to its cluster, and changes nothing. The images need not exist.
func AppliedKinds(ctx context.Context, settings deploy.Settings, run *app.RunContext) ([]release.AppliedKind, error) {
	connection, err := newConnections(run).connect(ctx, settings)
	if err != nil {
		return nil, err
	}
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return nil, err
	}
	charts, removeCharts, err := newCharts(run, &settings, registry, run.Workspace(), nil)
	if err != nil {
		return nil, err
	}
	defer removeCharts()
	secrets, err := newSecrets(ctx, run)
	if err != nil {
		return nil, err
	}
	return deploy.AppliedKinds(ctx, settings, deploy.Deps{Workspace: run.Workspace(), Charts: charts, Chart: loadingSchemas(ctx, connection.helm.In(settings.Namespace), charts), Secrets: secrets, Reporter: run.Reporter})
}

// loadingSchemas returns a client that reads with charts what charts' schemas refer to.
func loadingSchemas(ctx context.Context, client *helm.Client, charts *source.Finder) *helm.Client {
	return client.LoadingSchemas(func(address string) ([]byte, error) { return charts.Schema(ctx, address) })
}

// newSecrets returns what reads stores of secrets.
func newSecrets(ctx context.Context, run *app.RunContext) (*secretstore.Store, error) {
	role, err := roles.Credentials(ctx, run)
	if err != nil {
		return nil, err
	}
	return secretstore.New(secretstore.Options{Credentials: role, Environ: run.Process.Environ, Getenv: run.Process.Getenv, Inside: run.Workspace().Inside,
		Secrets: run.Secrets, Add: func(secret string) { run.Secrets.Add(secret) }, Tree: run.WorkTree()}), nil
}

// recorder records facts, and reads the values files of the work tree.
type recorder struct{ *images.Images }

// maxValues bounds a values file, in bytes. Source: Helm's limit for what it reads.
const maxValues = 5 << 20

// ValuesDigest returns the SHA-256 of the files' own SHA-256 digests, written as sha256:HEX, one a line in their order.
func (recorder) ValuesDigest(files []string) (release.Digest, error) {
	all := sha256.New()
	for _, name := range files {
		file, err := os.Open(name) // #nosec G304 -- inside the work tree, as Workspace.Inside says
		if err != nil {
			return release.Digest{}, release.BadSetting("values", err.Error(), "name a values file of the work tree")
		}
		one := sha256.New()
		read, err := io.Copy(one, io.LimitReader(file, maxValues+1))
		_ = file.Close()
		switch {
		case err != nil:
			return release.Digest{}, release.BadSetting("values", err.Error(), "name a values file of the work tree")
		case read > maxValues:
			return release.Digest{}, release.BadSetting("values", fmt.Sprintf("%q is larger than %d bytes", name, maxValues), "shorten it")
		}
		fmt.Fprintln(all, release.DigestOfSum(one))
	}
	return release.DigestOfSum(all), nil
}

// newGate returns the gate of the rules with the keys in the settings.
func newGate(run *app.RunContext, signing *images.Images, signer signed.Signer, settings deploy.Settings, rules policy.Policy) (*gates.Gate, error) {
	if len(settings.VerifyKeys) > 0 && settings.ProvedIn == "" && rules.Source.File == "" {
		return nil, release.BadSetting("verify-key", "is given without --proved-in and without a policy, for whose evidence it is", "give --proved-in too")
	}
	return gates.New(run, signing, rules, settings.VerifyKeys, signer)
}

// cacheDir makes the directory of the chart cache absolute; "" stays "". It refuses one in the work tree, where a commit could put charts.
func cacheDir(run *app.RunContext, dir string) (string, error) {
	if run.WorkTree().Contains(dir) {
		return "", release.BadSetting("chart-cache", fmt.Sprintf("%q is in the work tree, so a commit could replace the cached charts", dir), "keep it outside of the work tree")
	}
	if dir == "" || filepath.IsAbs(dir) {
		return dir, nil
	}
	return filepath.Join(run.Process.Dir, dir), nil
}

// commonChart returns the path of the common chart in the repository of the running action, "" outside of an action. An action of
// this repository is at most two directories below the repository's root.
func commonChart(action string) string {
	for range 3 {
		chart := filepath.Join(action, "charts", "service")
		if _, err := os.Stat(filepath.Join(chart, "Chart.yaml")); err == nil && filepath.IsAbs(action) {
			return chart
		}
		action = filepath.Dir(action)
	}
	return ""
}

// plans keeps plans in files of the work tree.
type plans struct{ run *app.RunContext }

func (p plans) Read(path string) ([]byte, error) {
	return p.run.Workspace().ReadUpTo(planfile.MaxBytes, "plan", path, "name the file that deploy --dry-run --plan-out has written")
}

func (p plans) CheckWritable(path string) error {
	return p.run.Workspace().CheckWritable("plan-out", path)
}

func (p plans) Write(path string, content []byte) error {
	return p.run.Workspace().Write("plan-out", path, content)
}

func (p plans) Redact(json string) string { return p.run.Secrets.RedactJSON(json) }

func (p plans) Now() time.Time { return p.run.Process.Now() }

// runMatrix runs the deploys of a matrix file.
func runMatrix(ctx context.Context, settings *deploy.Settings, run *app.RunContext, newDeps func(deploy.Settings, release.Reporter) (deploy.Deps, error)) (deploy.Result, error) {
	content, err := run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)")
	if err != nil {
		return deploy.Result{}, err
	}
	waves, err := deploy.ParseMatrix(settings.Matrix, content, settings.Options)
	if err != nil {
		return deploy.Result{}, err
	}
	return deploy.RunWaves(ctx, *settings, waves, run.Reporter, newDeps)
}

// smokeRunner runs smoke's rounds inside a deploy.
type smokeRunner struct {
	run      *app.RunContext
	cluster  *kube.Client
	target   release.Target // of the release
	registry smoke.Registry // that keeps a failed verdict
	signer   string         // ID of the key that signs it; "" if none does
	patience time.Duration
}

// Rounds of a smoke that runs inside a deploy, and how long wrong answers are tolerated.
const (
	smokeRounds   = 3
	smokePatience = 15 * time.Second
)

func (s smokeRunner) Check(file string) error {
	_, err := appsmoke.NewChecks(s.run, "smoke-checks").Load(file)
	return err
}

// Smoke sends the checks to the release. A failed verdict is also recorded as evidence against the image, unless the answers may be those of another image.
func (s smokeRunner) Smoke(ctx context.Context, request deploy.SmokeRequest) error {
	settings := &smoke.Settings{ExpectCommit: request.Commit, Consecutive: smokeRounds, Pause: smoke.DefaultPause, Patience: s.patience,
		Soak: request.Soak, MaxErrors: request.MaxErrors}
	deps, err := appsmoke.NewDeps(settings, s.run, s.cluster, "smoke-checks")
	if err != nil {
		return err
	}
	checks, err := deps.Checks.Load(request.Checks)
	if err != nil {
		return err
	}
	subject := smoke.Subject{URL: request.URL, Checks: checks, Release: request.Release, Namespace: request.Namespace, Address: request.Address,
		Image: request.Image, Others: request.Others, Proved: true, HeldBack: request.AnyCommit, AnyCommit: request.AnyCommit, Ended: request.Ended}
	report, err := smoke.CheckSubject(ctx, subject, *settings, deps)
	if err == nil || len(request.Pods) == 0 || request.AnyCommit || len(request.Others) > 0 { // the answers may be those of another image
		return err
	}
	settings.Image, settings.Environment, deps.Registry, deps.Signer, deps.Target = request.Image, request.Environment, s.registry, s.signer, s.target
	if recordErr := smoke.RecordFailure(ctx, subject, report, request.Pods, *settings, deps); recordErr != nil {
		s.run.Reporter.Warnf("the failed verdict about %s is not recorded: %v", request.Image.Digest.Short(), recordErr)
	}
	return err
}
