package deploy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/deploy/via"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// Settings are the settings of one deploy, or of a matrix of deploys.
type Settings struct {
	PlainHTTP    []string // registries
	Environment  release.Environment
	Image        release.Image        // the main one
	Images       []release.BuiltImage // all, the main one first
	PinText      bool
	Values       []string
	Set          []string
	SetJSON      []string
	SecretValues []release.SecretValue
	ApplyCRDs    bool
	Release      string
	Namespace    string
	Commit       release.Commit
	ChartSource
	GitOps via.Settings
	setting.ClusterRef
	Timeout             time.Duration
	JobTimeout          time.Duration // 0: unknown
	CreateNamespace     bool
	PodSecurity         release.PodSecurity
	Rollback            string
	FailedInstall       string
	Address             release.Address
	SmokeChecks         string // file; "": no smoke checks; setting.ChecksByDefault, setting.ChecksByProbe
	SmokeSoak           time.Duration
	SmokeMaxErrors      setting.Share
	AllowRollback       bool
	AllowDiverged       bool
	AllowEmulation      bool
	ProvedIn            release.Environment // "": evidence is not asked for
	VerifyKeys          []setting.KeyRef
	SignKey             setting.KeyRef
	LegacySignatures    string        // of cosign 2: warn or refuse
	Policy              string        // file of rules; "": the default one, if it exists
	OverrideReason      string        // "": the rules are not overridden
	MaxAge              time.Duration // of that evidence
	Unpin               bool
	DryRun              bool
	PlanOut             string // file; "": the plan is not kept
	Plan                string // file; "": none
	PlanDigest          release.Digest
	PlanMaxAge          time.Duration
	LookupSecrets       bool
	CompareValues       []string
	Heal                bool
	RollbackFailedSmoke bool
	LeaseDuration       time.Duration
	GitHubToken         string // "": none
	Comment             bool
	GitHubDeployment    bool
	ArtifactRecord      bool
	matrix.Options
}

// ChartSource says where a release's chart is from.
type ChartSource struct {
	Chart        string // "": the default one
	ChartRepo    string
	ChartVersion string
	ChartHosts   []string
	SchemaHosts  []string
	ChartLogins  []release.ChartLogin
	ChartCache   string // directory; "": none
}

// Declare binds the settings to their declarations.
func (s *ChartSource) Declare(set *setting.Set) {
	setting.Var(set, &s.Chart, setting.Setting{Name: "chart", Value: "DIR|TGZ|oci://…|https://…|NAME",
		Help: "Helm chart: a path in the work tree, oci://host/repository with :version or @sha256:…, the address of a .tgz, or a name in chart-repo; default: charts/service, or the common chart of the action or program that runs if that does not exist (docs/charts.md)"}, setting.Text)
	setting.Var(set, &s.ChartRepo, setting.Setting{Name: "chart-repo", Value: "URL",
		Help: "Chart repository that has the chart"}, setting.Text)
	setting.Var(set, &s.ChartVersion, setting.Setting{Name: "chart-version", Value: "VERSION",
		Help: "Version of the chart in chart-repo or at its oci:// address"}, setting.Text)
	setting.List(set, &s.ChartHosts, setting.Setting{Name: "chart-host", Commas: true, Value: "HOST[:PORT]",
		Help: "Host that charts and their dependencies may come from although it is inside a private network or speaks plain HTTP"}, setting.Text)
	setting.List(set, &s.SchemaHosts, setting.Setting{Name: "schema-host", Commas: true, Value: "HOST[:PORT]",
		Help: "Host to which the values.schema.json of a chart may refer for other schemas; without it, a schema may refer to itself only"}, setting.Text)
	setting.Map(set, &s.ChartLogins, setting.Setting{Name: "chart-login", Secret: true, Value: "HOST=USER:PASSWORD",
		Help: "Credentials for a chart repository: sent to that host alone, over TLS, for the dependencies of charts too; those of OCI registries come from the docker configuration"}, parseChartLogin, func(login release.ChartLogin) string { return login.Host })
	setting.Var(set, &s.ChartCache, setting.Setting{Name: "chart-cache", Value: "DIR",
		Help: "Cache directory for fetched charts, by digest; a later run uses it if the chart server does not answer"}, setting.Text)
}

// parseChartLogin parses HOST=USER:PASSWORD. Its error contains nothing of the text, which has a password.
func parseChartLogin(text string) (login release.ChartLogin, err error) {
	host, rest, hasUser := strings.Cut(text, "=")
	user, password, hasPassword := strings.Cut(rest, ":")
	if !hasUser || !hasPassword || host == "" || user == "" || password == "" || strings.ContainsAny(host, "/@ ") {
		return login, errors.New("is not written as HOST=USER:PASSWORD, where HOST has no https:// and no path")
	}
	return release.ChartLogin{Host: host, User: user, Password: password}, nil
}

// Values of rollback and of failed-install.
const (
	rollbackAuto    = "auto"
	rollbackOff     = "off"
	keepFailed      = "keep"
	uninstallFailed = "uninstall"
)

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Required: true, Unless: []string{"matrix"}, Value: "NAME",
		Help: "Environment to deploy to"}, release.ParseEnvironment)
	s.declareImages(set)
	s.ChartSource.Declare(set)
	setting.List(set, &s.Values, setting.Setting{Name: "values", Commas: true, Value: "FILE",
		Help: "Values file, inside the work tree; a later file overrides an earlier one"}, setting.Text)
	DeclareSet(set, &s.Set)
	setting.Map(set, &s.SetJSON, setting.Setting{Name: "set-json", Value: "PATH=JSON", Secret: true,
		Help: "Value to set, as JSON: a number, true, null, a list, a map; overrides the values files"}, assignment, assignedPath)
	setting.Map(set, &s.SecretValues, setting.Setting{Name: "secret-values", Value: "PATH=STORE://NAME#KEY",
		Help: "Value to read from awssm:// (AWS Secrets Manager), ssm:// (AWS parameter store) or sops:// (file); overrides all others, is printed nowhere, and Helm records only its reference (docs/secrets.md)"}, release.ParseSecretValue, func(value release.SecretValue) string { return value.Path })
	setting.Bool(set, &s.ApplyCRDs, setting.Setting{Name: "apply-crds",
		Help: "Update CustomResourceDefinitions that differ from the chart's crds directory, which Helm never updates; refused if something would be removed"})
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release; by default the last part of the image's repository"}, ParseReleaseName)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace; by default the environment's name"}, release.ParseLabel)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA", Commit: true,
		Help: "Commit to deploy, full or short: the image's, or a later one whose tag the image has; default: the one that chart and values are of if the image has its tag, otherwise the image's"}, release.ParseCommit)
	s.ClusterRef.Declare(set)
	s.GitOps.Declare(set, ParseValuesPath)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "10m", Value: "DURATION",
		Help: "Time limit of the whole deploy; it is split over hooks, rollout, address, smoke and rollback"}, setting.Duration)
	setting.Var(set, &s.JobTimeout, setting.Setting{Name: "job-timeout", Value: "DURATION",
		Help: "Time limit of the job that this runs in (timeout-minutes); refused if it is too short for timeout"}, setting.Duration)
	setting.Bool(set, &s.CreateNamespace, setting.Setting{Name: "create-namespace",
		Help: "Create the namespace if it does not exist"})
	DeclarePodSecurity(set, &s.PodSecurity)
	setting.Var(set, &s.Rollback, setting.Setting{Name: "rollback", Default: rollbackAuto, Value: "auto|off",
		Help: "Whether a failed rollout, hook or smoke check is rolled back to the last verified revision"}, setting.OneOf(rollbackAuto, rollbackOff))
	setting.Var(set, &s.FailedInstall, setting.Setting{Name: "failed-install", Default: keepFailed, Value: "keep|uninstall",
		Help: "What to do with a first install that fails"}, setting.OneOf(keepFailed, uninstallFailed))
	setting.Var(set, &s.Address, setting.Setting{Name: "address", Default: string(release.AddressAuto), Value: "auto|none|service/NAME|ingress/NAME|URL",
		Help: "Where the release is served; auto: by its load balancer, or else its Ingress"}, release.ParseAddress)
	setting.Var(set, &s.SmokeChecks, setting.Setting{Name: "smoke-checks", Value: "FILE|default|probe",
		Help: "Smoke checks that the release must pass, or it is rolled back. default: " + setting.DefaultChecks + " if it exists, except for a matrix, and else as probe. probe: the request of each pod's readiness probe. Without the setting nothing is checked"}, setting.Text)
	setting.Var(set, &s.SmokeSoak, setting.Setting{Name: "smoke-soak", Value: "DURATION",
		Help: "How long the smoke checks must pass; default: three rounds in a row"}, setting.Duration)
	setting.Var(set, &s.SmokeMaxErrors, setting.Setting{Name: "smoke-max-errors", Value: "PERCENT",
		Help: "Share of the soak's requests that may fail, such as 0.1%; an answer of another commit is never allowed; default: none"}, setting.ParseShare)
	setting.Var(set, &s.ProvedIn, setting.Setting{Name: "proved-in", Value: "NAME",
		Help: "Environment in which smoke must have proved every image, by evidence in the registry; default: what the policy says, and without a policy, evidence is not asked for"}, release.ParseEnvironment)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareVerifyKeys(set, &s.VerifyKeys)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	setting.DeclarePolicy(set, &s.Policy)
	setting.DeclareOverride(set, &s.OverrideReason)
	setting.DeclareMaxAge(set, &s.MaxAge)
	setting.Bool(set, &s.AllowRollback, setting.Setting{Name: "allow-rollback",
		Help: "Deploy a commit older than the live one, and pin the release there"})
	setting.Bool(set, &s.AllowDiverged, setting.Setting{Name: "allow-diverged",
		Help: "Deploy although the live commit is not in the history of the new one, or if that cannot be determined"})
	setting.Bool(set, &s.AllowEmulation, setting.Setting{Name: "allow-emulation",
		Help: "Deploy an image of one platform although no node has it: the nodes emulate the architecture; nodes never pull an index that lacks theirs"})
	setting.Bool(set, &s.Unpin, setting.Setting{Name: "unpin",
		Help: "Remove the pin of a deliberate rollback"})
	setting.Bool(set, &s.DryRun, setting.Setting{Name: "dry-run",
		Help: "Show what would change and what would fail, and change nothing"})
	setting.Var(set, &s.PlanOut, setting.Setting{Name: "plan-out", Value: "FILE",
		Help: "File of the work tree in which a dry run keeps its plan, without secret values, for plan to carry out (docs/charts.md)"}, setting.Text)
	setting.Var(set, &s.Plan, setting.Setting{Name: "plan", Value: "FILE",
		Help: "Plan that a dry run has kept with the same settings: deploy exactly that, and refuse if chart, values, images, release, cluster or live objects have changed since"}, setting.Text)
	setting.Var(set, &s.PlanDigest, setting.Setting{Name: "plan-digest", Value: "sha256:…",
		Help: "Digest of the plan that was approved, as the dry run printed it; another plan is refused"}, release.ParseDigest)
	setting.Var(set, &s.PlanMaxAge, setting.Setting{Name: "plan-max-age", Default: "24h", Value: "DURATION",
		Help: "Age above which a plan is refused"}, setting.Duration)
	setting.Bool(set, &s.LookupSecrets, setting.Setting{Name: "lookup-secrets",
		Help: "Let the chart's lookup read Secrets of the cluster in a dry run too; without it, lookup finds none there"})
	setting.List(set, &s.CompareValues, setting.Setting{Name: "compare-values", Commas: true, Value: "FILE",
		Help: "Values file of another environment: a dry run lists the keys that it sets and this environment does not"}, setting.Text)
	setting.Bool(set, &s.Heal, setting.Setting{Name: "heal",
		Help: "Only heal a release that a killed run left pending; for a step that always runs"})
	setting.Bool(set, &s.RollbackFailedSmoke, setting.Setting{Name: "rollback-failed-smoke",
		Help: "Only roll back to the last verified revision if a smoke has failed the live one; for a step after smoke"})
	setting.Var(set, &s.LeaseDuration, setting.Setting{Name: "lease-duration", Default: "15s", Value: "DURATION",
		Help: "How long a killed run still holds the release after its last heartbeat"}, ParseLeaseDuration)
	setting.Var(set, &s.GitHubToken, setting.Setting{Name: "github-token", Secret: true, Fallback: "GITHUB_TOKEN", Value: "TOKEN", Action: "${{ github.token }}",
		Help: "Token to compare commits by GitHub's API where the checkout's history ends too soon, for which it needs contents: read, and for comment, github-deployment and artifact-record"}, setting.Text)
	setting.Bool(set, &s.Comment, setting.Setting{Name: "comment",
		Help: "Show the summary, such as a plan, in a comment of the run's pull request too, or of the one by which the commit was merged: one comment for each release, with a part for each environment, which later runs edit in place. The job needs pull-requests: write"})
	setting.Bool(set, &s.GitHubDeployment, setting.Setting{Name: "github-deployment",
		Help: "Record the deploy as a deployment on GitHub, with its outcome, the service's address and the run. Use it in a job without environment, or with environment: {deployment: false}; GitHub records any other job with an environment as a deployment itself. With rollback-failed-smoke, the deployment that smoke has failed is a failure, and what runs again is one of its own. The job needs deployments: write"})
	setting.Bool(set, &s.ArtifactRecord, setting.Setting{Name: "artifact-record",
		Help: "Record after a deploy that went well, for the organization that owns the repository, which digest runs in which environment and cluster (artifact deployment record of GitHub's linked artifacts). The job needs artifact-metadata: write"})
	s.Options.Declare(set, true)
	set.Check(s.setDefaults)
	set.Check(s.checkJobTimeout)
	set.Check(s.checkConflicts)
	return set
}

// DeclareSet adds the setting of single values.
func DeclareSet(set *setting.Set, target *[]string) {
	setting.Map(set, target, setting.Setting{Name: "set", Value: "PATH=VALUE", Secret: true,
		Help: "Value to set, as a literal string without escapes or separators; overrides the values files and set-json (docs/cli.md)"}, assignment, assignedPath)
}

// DeclarePodSecurity adds the setting of the Pod Security Standard that a created namespace enforces.
func DeclarePodSecurity(set *setting.Set, target *release.PodSecurity) {
	setting.Var(set, target, setting.Setting{Name: "pod-security", Default: string(release.PodSecurityBaseline), Value: "restricted|baseline|privileged|none",
		Help: "Pod Security Standard of a namespace that the deploy creates; none sets no label, so that the cluster's default applies. A namespace that exists keeps its own"},
		func(text string) (release.PodSecurity, error) {
			text, err := setting.OneOf(string(release.PodSecurityRestricted), string(release.PodSecurityBaseline), string(release.PodSecurityPrivileged), string(release.PodSecurityNone))(text)
			return release.PodSecurity(text), err
		})
}

// setDefaults derives the release and the namespace if they are not given.
func (s *Settings) setDefaults() error {
	if s.Matrix != "" {
		return nil
	}
	if s.Release == "" && s.Image.IsZero() {
		return release.BadSetting("release", "is missing", "name the release")
	}
	if s.Release == "" {
		name, err := ParseReleaseName(path.Base(s.Image.Repository.Path()))
		if err != nil {
			return release.BadSetting("release", "cannot be derived from the image: "+err.Error(), "give a release name")
		}
		s.Release = name
	}
	if s.Namespace == "" {
		s.Namespace = s.Environment.String()
	}
	return nil
}

// checkConflicts refuses settings that contradict each other.
func (s *Settings) checkConflicts() error {
	var problems []release.Problem
	conflict := func(bad bool, setting, what string) {
		if bad {
			problems = append(problems, release.Problem{Setting: setting, What: what, Do: "give one of them"})
		}
	}
	conflict(s.Heal && s.DryRun, "heal", "is given together with --dry-run")
	conflict(s.AllowRollback && s.Unpin, "unpin", "is given together with --allow-rollback, which pins")
	conflict(s.Heal && s.Matrix != "", "heal", "is given together with a matrix")
	conflict(s.RollbackFailedSmoke && (s.Heal || s.DryRun || s.Matrix != ""), "rollback-failed-smoke", "is given together with --heal, --dry-run or a matrix")
	conflict(s.Plan != "" && (s.Heal || s.DryRun || s.RollbackFailedSmoke || s.Matrix != ""), "plan", "is given together with --dry-run, --heal, --rollback-failed-smoke or a matrix")
	conflict(s.PlanOut != "" && s.Matrix != "", "plan-out", "is given together with a matrix")
	if s.PlanOut != "" && !s.DryRun {
		problems = append(problems, release.Problem{Setting: "plan-out", What: "is used by a dry run only", Do: "give --dry-run too"})
	}
	if !s.PlanDigest.IsZero() && s.Plan == "" {
		problems = append(problems, release.Problem{Setting: "plan-digest", What: "is given without --plan", Do: "give --plan too"})
	}
	if s.SmokeSoak > 0 && s.SmokeChecks == "" {
		problems = append(problems, release.Problem{Setting: "smoke-soak", What: "is given without --smoke-checks", Do: "give --smoke-checks too"})
	}
	if s.SmokeMaxErrors > 0 && s.SmokeSoak == 0 {
		problems = append(problems, release.Problem{Setting: "smoke-max-errors", What: "is given without --smoke-soak, over which it is counted", Do: "give --smoke-soak"})
	}
	if limit := s.Timeout * soakPercent / 100; s.SmokeSoak > limit && s.Matrix == "" {
		problems = append(problems, release.Problem{Setting: "smoke-soak", What: fmt.Sprintf("takes more than %d%% of a --timeout of %s (%s)", soakPercent, text.Duration(s.Timeout), text.Duration(limit.Round(time.Second))),
			Do: "give a longer --timeout"})
	}
	if s.Matrix == "" {
		problems = append(problems, s.GitOps.Problems(s.Chart != "", s.Values, s.unknownToGitOps(), s.Images)...)
	}
	if s.ProvedIn != "" && s.ProvedIn == s.Environment {
		problems = append(problems, release.Problem{Setting: "proved-in", What: fmt.Sprintf("%q cannot prove an image for itself", s.ProvedIn), Do: "name the previous environment"})
	}
	if s.LookupSecrets && !s.DryRun && s.Plan == "" && s.Matrix == "" { // with a kept plan, the settings are those of its dry run
		problems = append(problems, release.Problem{Setting: "lookup-secrets", What: "is used by a dry run only", Do: "give --dry-run too"})
	}
	if len(s.CompareValues) > 0 && !s.DryRun {
		problems = append(problems, release.Problem{Setting: "compare-values", What: "is used by a dry run only", Do: "give --dry-run too"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// unknownToGitOps lists the given settings of which a GitOps controller would not know.
func (s *Settings) unknownToGitOps() (names []string) {
	for _, each := range []struct {
		name  string
		given bool
	}{
		{"set", len(s.Set) > 0}, {"set-json", len(s.SetJSON) > 0}, {"secret-values", len(s.SecretValues) > 0}, {"pin-text", s.PinText}, {"apply-crds", s.ApplyCRDs},
		{"image-alias", slices.ContainsFunc(s.Images, func(image release.BuiltImage) bool { return len(image.Aliases) > 0 })},
		{"image-values", slices.ContainsFunc(s.Images, func(image release.BuiltImage) bool { return len(image.Values) > 0 })},
		{"failed-install", s.FailedInstall == uninstallFailed}, {"plan", s.Plan != ""}, {"plan-out", s.PlanOut != ""}, {"heal", s.Heal}, {"rollback-failed-smoke", s.RollbackFailedSmoke},
	} {
		if each.given {
			names = append(names, each.name)
		}
	}
	return names
}

// ParseLeaseDuration accepts whole seconds, the unit of a Lease (coordination.k8s.io/v1, leaseDurationSeconds).
func ParseLeaseDuration(text string) (time.Duration, error) {
	duration, err := setting.Duration(text)
	if err == nil && (duration < time.Second || duration > 10*time.Minute || duration%time.Second != 0) {
		err = fmt.Errorf("%q is not a number of whole seconds from 1s to 10m", text)
	}
	return duration, err
}

// ParseReleaseName accepts a DNS label of at most 53 characters, Helm's limit for a release's name.
func ParseReleaseName(text string) (string, error) {
	if len(text) > 53 {
		return "", fmt.Errorf("%q has %d characters; a release name has at most 53", text, len(text))
	}
	return release.ParseLabel(text)
}

// assignment accepts path=value, except for paths that would replace the pinned image. Errors do not contain the value, which may
// be a secret.
func assignment(text string) (string, error) {
	if _, err := release.ParseAssignment(text); err != nil {
		return "", fmt.Errorf("%w; write it as path=value, and a value of several lines as set-json or in a values file", err)
	}
	return text, nil
}

// assignedPath returns the path of what assignment accepts.
func assignedPath(text string) string {
	parsed, err := release.ParseAssignment(text)
	if err != nil {
		return text
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, parsed.Text), "=")
}

// checksFile returns the file of the smoke checks, "" for the default checks.
func (s Settings) checksFile() string {
	if !setting.IsChecksFile(s.SmokeChecks) {
		return ""
	}
	return s.SmokeChecks
}
