package deploy

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb is what deploy says of itself.
var Verb = setting.Verb{
	Name:    "deploy",
	Summary: "install or upgrade a release, pinned to one digest, and watch it become ready",
	About: "Renders the chart with the environment's values, pins image.repository and image.digest, installs or upgrades, and " +
		"watches the rollout itself: readiness is seen when the cluster reports it, and a failure is told with a code, the pod, the " +
		"container, the reason, the last events, the last log lines and what to try (docs/troubleshooting.md). Then the release goes back " +
		"to the last revision that was verified. Nothing changed means outcome unchanged and no new revision. A Lease keeps other runs " +
		"away meanwhile, what a killed run left pending is healed, and a commit older than the live one is not deployed (outcome superseded).",
	Examples: []setting.Example{
		{Does: "deploy to staging", Line: "go run ./cmd/deploy --environment staging --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:… --values terraform/staging/values-staging.yaml"},
		{Does: "another chart, namespace and cluster", Line: "go run ./cmd/deploy --environment qa --image localhost:5000/shop@sha256:… --chart ./charts/other --namespace qa-2 --context qa-cluster --create-namespace"},
		{Does: "what would change, and what would go wrong", Line: "go run ./cmd/deploy --dry-run --environment production --image …@sha256:… --values terraform/production/values-production.yaml --compare-values terraform/staging/values-staging.yaml"},
		{Does: "on EKS, without a kubeconfig", Line: "go run ./cmd/deploy --environment staging --cluster shop --region eu-central-1 --expect-account 123456789012 --image …@sha256:…"},
		{Does: "put a release in order that a killed run left pending", Line: "go run ./cmd/deploy --heal --environment staging --release shop"},
		{Does: "several clusters, a canary first (docs/matrix.md)", Line: "go run ./cmd/deploy --matrix deploys.yaml --image …@sha256:…"},
		{Does: "go back to an older commit and stay there", Line: "go run ./cmd/deploy --environment production --image …@sha256:… --allow-rollback"},
	},
	Outputs: []setting.Output{
		{Name: "url", Help: "where the release is served, empty for a Service without an external address"},
		{Name: "revision", Help: "the Helm revision that is live"},
		{Name: "outcome", Help: "created, changed, unchanged, superseded, rolled-back, planned (dry-run) or healed (heal)"},
		{Name: "code", Help: "OD-…, of the cause of a failed rollout"},
		{Name: "deploys", Help: "JSON: the result of every deploy of a matrix"},
		{Name: "newer-run", Help: "URL of the run that deployed the newer commit, when superseded"},
		{Name: "digest", Help: "the digest that the cluster reports its pods to run"},
	},
	Failure: failure,
}

//go:embed failure.txt
var failure string

// Settings are what deploy can be told.
type Settings struct {
	Environment release.Environment
	Image       release.Image
	Chart       string
	Values      []string
	Set         []string
	Release     string
	Namespace   string
	Commit      release.Commit
	setting.ClusterRef
	Timeout         time.Duration
	JobTimeout      time.Duration // 0: not known
	CreateNamespace bool
	Rollback        string
	FailedInstall   string
	SmokeChecks     string // "": no smoke; "default": the default checks
	AllowRollback   bool
	Unpin           bool
	DryRun          bool
	CompareValues   []string
	Heal            bool
	LeaseDuration   time.Duration
	Matrix          string // file; "": one deploy
	Concurrency     int
	Given           []string // flags that say what anybody gave: what every deploy of a matrix begins with
}

// What to do with what failed.
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
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Required: true, Unless: []string{"heal", "matrix"}, Value: "REPO@sha256:…",
		Help: "Image to run; a tag is not accepted, for it can move"}, release.ParseImage)
	setting.Var(set, &s.Chart, setting.Setting{Name: "chart", Default: "charts/service", Value: "DIR|TGZ",
		Help: "Helm chart, inside the work tree; it must use image.repository and image.digest"}, setting.Text)
	setting.List(set, &s.Values, setting.Setting{Name: "values", Value: "FILE",
		Help: "Values file, inside the work tree; a later one wins"}, setting.Text)
	setting.List(set, &s.Set, setting.Setting{Name: "set", Value: "NAME=VALUE",
		Help: "Value to set, as a string; wins over the values files"}, assignment)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release; the last part of the image's repository if not given"}, helmName)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace; the environment's name if not given"}, release.ParseLabel)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA",
		Help: "Commit of the image, for the objects' labels; read from the image if not given"}, release.ParseCommit)
	s.ClusterRef.Declare(set)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "10m", Value: "DURATION",
		Help: "Bound on the whole deploy; it is split over hooks, rollout, address, smoke and rollback"}, setting.Duration)
	setting.Var(set, &s.JobTimeout, setting.Setting{Name: "job-timeout", Value: "DURATION",
		Help: "Limit of the job that this runs in (timeout-minutes); one that cannot hold the timeout is refused"}, setting.Duration)
	setting.Bool(set, &s.CreateNamespace, setting.Setting{Name: "create-namespace",
		Help: "Create the namespace if it is absent"})
	setting.Var(set, &s.Rollback, setting.Setting{Name: "rollback", Default: rollbackAuto, Value: "auto|off",
		Help: "Whether a failed rollout, hook or smoke goes back to the last verified revision"}, setting.OneOf(rollbackAuto, rollbackOff))
	setting.Var(set, &s.FailedInstall, setting.Setting{Name: "failed-install", Default: keepFailed, Value: "keep|uninstall",
		Help: "What becomes of a first install that fails"}, setting.OneOf(keepFailed, uninstallFailed))
	setting.Var(set, &s.SmokeChecks, setting.Setting{Name: "smoke-checks", Value: "FILE|default",
		Help: "Checks that the served release must pass, or it goes back; default asks / and /configs"}, setting.Text)
	setting.Bool(set, &s.AllowRollback, setting.Setting{Name: "allow-rollback",
		Help: "Deploy a commit older than the live one, and pin the release there"})
	setting.Bool(set, &s.Unpin, setting.Setting{Name: "unpin",
		Help: "Lift the pin of a deliberate rollback"})
	setting.Bool(set, &s.DryRun, setting.Setting{Name: "dry-run",
		Help: "Show what would change and what would go wrong, and change nothing"})
	setting.List(set, &s.CompareValues, setting.Setting{Name: "compare-values", Value: "FILE",
		Help: "Values file of another environment: a dry run tells the keys that it sets and this one lacks"}, setting.Text)
	setting.Bool(set, &s.Heal, setting.Setting{Name: "heal",
		Help: "Only put a release in order that a dead run left pending; for a step that always runs"})
	setting.Var(set, &s.LeaseDuration, setting.Setting{Name: "lease-duration", Default: "15s", Value: "DURATION",
		Help: "How long after its last heartbeat a killed run still holds the release"}, leaseDuration)
	setting.Var(set, &s.Matrix, setting.Setting{Name: "matrix", Value: "FILE",
		Help: "YAML file of several deploys in waves, each with settings of its own beside these; a wave that fails is the last"}, setting.Text)
	setting.Var(set, &s.Concurrency, setting.Setting{Name: "concurrency", Default: "4", Value: "N",
		Help: "How many deploys of a wave of the matrix run at once"}, setting.Count(64))
	set.Check(func() error { s.Given = set.Args(); return nil })
	set.Check(s.fill)
	set.Check(s.fits)
	set.Check(s.agree)
	return set
}

// fill derives what was not given from what was.
func (s *Settings) fill() error {
	if s.Matrix != "" {
		return nil
	}
	if s.Release == "" && s.Image.IsZero() {
		return release.BadInput("--release (INPUT_RELEASE)", "is missing", "name the release to heal")
	}
	if s.Release == "" {
		name, err := helmName(path.Base(s.Image.Repository.Path()))
		if err != nil {
			return release.BadInput("--release (INPUT_RELEASE)", "cannot be derived from the image: "+err.Error(), "give a release name")
		}
		s.Release = name
	}
	if s.Namespace == "" {
		s.Namespace = s.Environment.String()
	}
	return nil
}

// agree refuses settings that contradict each other.
func (s *Settings) agree() error {
	var problems []release.Problem
	together := func(bad bool, where, what string) {
		if bad {
			problems = append(problems, release.Problem{Where: where, What: what, Do: "give one of them"})
		}
	}
	together(s.Heal && s.DryRun, "--heal (INPUT_HEAL)", "is given together with --dry-run")
	together(s.AllowRollback && s.Unpin, "--unpin (INPUT_UNPIN)", "is given together with --allow-rollback, which pins")
	together(s.Heal && s.Matrix != "", "--heal (INPUT_HEAL)", "is given together with a matrix")
	if len(s.CompareValues) > 0 && !s.DryRun {
		problems = append(problems, release.Problem{Where: "--compare-values (INPUT_COMPARE_VALUES)", What: "is read by a dry run only", Do: "give --dry-run too"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// leaseDuration is held by whole seconds, as a Lease counts (coordination.k8s.io/v1, leaseDurationSeconds).
func leaseDuration(text string) (time.Duration, error) {
	duration, err := setting.Duration(text)
	if err == nil && (duration < time.Second || duration > 10*time.Minute || duration%time.Second != 0) {
		err = fmt.Errorf("%q is not a number of whole seconds from 1s to 10m", text)
	}
	return duration, err
}

// helmName is Helm's own limit for a release's name: a DNS label of at most 53 characters.
func helmName(text string) (string, error) {
	if len(text) > 53 {
		return "", fmt.Errorf("%q has %d characters; a release name has at most 53", text, len(text))
	}
	return release.ParseLabel(text)
}

func assignment(text string) (string, error) {
	if name, _, found := strings.Cut(text, "="); !found || strings.TrimSpace(name) == "" {
		return "", fmt.Errorf("%q is not name=value", text)
	}
	if strings.HasPrefix(text, "image.") {
		return "", fmt.Errorf("%q would unpin the image; give --image", text)
	}
	return text, nil
}
