package preview

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares preview: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "preview",
	Summary: "deploy a pull request to a namespace of its own, which is removed when the pull request is closed or its time is up",
	About: "open deploys the image to a namespace that it creates for the pull request, preview-RELEASE-NUMBER, with a Pod Security Standard, a quota and a time to live, and each further open deploys there and begins the time again. " +
		"close uninstalls the release and deletes the namespace; sweep does that for every preview of the repository whose time is up. A namespace that this verb did not create is never touched (docs/previews.md).",
	Examples: []setting.Example{
		{Does: "open the preview of a pull request, or deploy a further commit to it", Line: `--mode open --pull-request 17 --github-repository octo/shop --release shop --image "$IMAGE" --values terraform/staging/values-staging.yaml`},
		{Does: "remove it", Line: `--mode close --pull-request 17 --github-repository octo/shop --release shop`},
		{Does: "remove those whose time is up, by a schedule", Line: `--mode sweep --github-repository octo/shop`},
	},
	Outputs: []setting.Output{
		{Name: "url", Help: "where the preview is served, empty if it has no external address"},
		{Name: "namespace", Help: "the namespace of the preview"},
		{Name: "outcome", Help: "the outcome of the deploy (open); removed or unchanged (close, sweep)"},
		{Name: "expires", Help: "when the preview expires, as RFC 3339"},
		{Name: "removed", Help: "JSON: the namespaces that were removed"},
	},
}

// Modes.
const (
	Open  = "open"
	Close = "close"
	Sweep = "sweep"
)

// Settings are the inputs of preview.
type Settings struct {
	Mode        string
	Repository  string // OWNER/NAME on GitHub
	PullRequest int
	Release     string
	TTL         time.Duration
	Environment release.Environment
	Image       release.Image
	Commit      release.Commit // "": the image's
	deploy.ChartSource
	Values      []string
	Set         []string
	Address     release.Address
	SmokeChecks string
	PodSecurity release.PodSecurity
	NoHooks     bool
	NoQuota     bool
	setting.ClusterRef
	PlainHTTP        []string
	Timeout          time.Duration
	LeaseDuration    time.Duration
	GitHubToken      string
	Comment          bool
	GitHubDeployment bool
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Mode, setting.Setting{Name: "mode", Required: true, Value: "open|close|sweep",
		Help: "What to do: open deploys, close removes, sweep removes all of the repository whose time is up"}, setting.OneOf(Open, Close, Sweep))
	setting.Var(set, &s.Repository, setting.Setting{Name: "github-repository", Fallback: "GITHUB_REPOSITORY", Value: "OWNER/NAME",
		Help: "Repository of the pull request; previews of others are not touched"}, parseRepository)
	setting.Var(set, &s.PullRequest, setting.Setting{Name: "pull-request", Value: "NUMBER",
		Help: "Number of the pull request (open, close)"}, parseNumber)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release, which is part of the namespace's name (open, close)"}, deploy.ParseReleaseName)
	setting.Var(set, &s.TTL, setting.Setting{Name: "ttl", Default: "72h", Value: "DURATION",
		Help: "How long the preview is kept after its last deploy (open)"}, setting.Duration)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Default: "preview", Value: "NAME",
		Help: "Environment that the release's objects and the policy name; a policy that lists environments has to list it (open)"}, release.ParseEnvironment)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Value: "REPO@sha256:…",
		Help: "Image to deploy (open)"}, release.ParseImage)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA", Commit: true,
		Help: "Commit of the pull request, full or short; by default read from the image (open)"}, release.ParseCommit)
	s.ChartSource.Declare(set)
	setting.List(set, &s.Values, setting.Setting{Name: "values", Commas: true, Value: "FILE",
		Help: "Values file, inside the work tree; a later file overrides an earlier one (open)"}, setting.Text)
	deploy.DeclareSet(set, &s.Set)
	setting.Var(set, &s.Address, setting.Setting{Name: "address", Default: string(release.AddressAuto), Value: "auto|none|service/NAME|ingress/NAME|URL",
		Help: "Where the preview is served; auto: by its load balancer, or else its Ingress (open)"}, release.ParseAddress)
	setting.Var(set, &s.SmokeChecks, setting.Setting{Name: "smoke-checks", Value: "FILE|default|probe",
		Help: "Smoke checks that the preview must pass. default: " + setting.DefaultChecks + " if it exists, and else as probe. probe: the request of each pod's readiness probe. Without the setting nothing is checked (open)"}, setting.Text)
	deploy.DeclarePodSecurity(set, &s.PodSecurity)
	setting.Bool(set, &s.NoQuota, setting.Setting{Name: "no-quota",
		Help: "Create no ResourceQuota and no LimitRange in the namespace: by default a preview has at most 20 pods that request 2 CPUs and 4 GiB, 5 volumes of 20 GiB in all, and 2 load balancers"})
	setting.Bool(set, &s.NoHooks, setting.Setting{Name: "no-hooks",
		Help: "Run no hooks before and after the deletion, such as one that fails and would keep the preview (close, sweep)"})
	s.ClusterRef.Declare(set)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "10m", Value: "DURATION",
		Help: "Time limit of the deploy, or of each removal"}, setting.Duration)
	setting.Var(set, &s.LeaseDuration, setting.Setting{Name: "lease-duration", Default: "15s", Value: "DURATION",
		Help: "How long a killed run still holds the release after its last heartbeat"}, deploy.ParseLeaseDuration)
	setting.Var(set, &s.GitHubToken, setting.Setting{Name: "github-token", Secret: true, Fallback: "GITHUB_TOKEN", Value: "TOKEN", Action: "${{ github.token }}",
		Help: "Token for comment and github-deployment"}, setting.Text)
	setting.Bool(set, &s.Comment, setting.Setting{Name: "comment",
		Help: "Show the preview's address, or that it was removed, in a comment of the pull request. The job needs pull-requests: write"})
	setting.Bool(set, &s.GitHubDeployment, setting.Setting{Name: "github-deployment",
		Help: "Record the preview as a deployment to a transient environment on GitHub, inactive once it is removed. The job needs deployments: write"})
	set.Check(s.checkMode)
	return set
}

// checkMode refuses settings that a mode lacks.
func (s *Settings) checkMode() error {
	var problems []release.Problem
	missing := func(is bool, name, do string) {
		if is {
			problems = append(problems, release.Problem{Setting: name, What: "is missing for --mode " + s.Mode, Do: do})
		}
	}
	missing(s.Repository == "", "github-repository", "name the repository as OWNER/NAME")
	if s.Mode != Sweep {
		missing(s.PullRequest == 0, "pull-request", "give the number of the pull request")
		missing(s.Release == "", "release", "name the release")
		if name := s.preview().Namespace(); len(name) > maxNamespace {
			problems = append(problems, release.Problem{Setting: "release", What: fmt.Sprintf("makes the namespace %q, which has more than %d characters", name, maxNamespace), Do: "give the preview's release a shorter name"})
		}
	}
	missing(s.Mode == Open && s.Image.IsZero(), "image", "give the image that build printed")
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// maxNamespace is the limit of a namespace's name, which is a DNS label. Source: kubernetes.io, "Namespaces".
const maxNamespace = 63

// preview is the preview that the settings name.
func (s *Settings) preview() release.Preview {
	return release.Preview{Repository: s.Repository, PullRequest: s.PullRequest, Release: s.Release}
}

// repositoryName matches a repository on GitHub.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$`)

func parseRepository(text string) (string, error) {
	if !repositoryName.MatchString(text) {
		return "", fmt.Errorf("%q is not written as OWNER/NAME", text)
	}
	return text, nil
}

func parseNumber(text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 || len(text) > 9 || strconv.Itoa(number) != text {
		return 0, fmt.Errorf("%q is not the number of a pull request", text)
	}
	return number, nil
}
