package smoke

import (
	"fmt"
	"path"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb is what smoke says of itself.
var Verb = setting.Verb{
	Name:    "smoke",
	Summary: "ask the served endpoints until the expected commit answers, and say what that proves",
	About: "Puts every check to the service in rounds, each request over a connection of its own so that every backend is met. It passes " +
		"only when N rounds in a row were right, each answered by the expected commit. A name that does not resolve yet or a " +
		"load balancer that does not accept yet is waited for and told apart from a wrong answer. With --image it asks the cluster which " +
		"digest the pods run and leaves the verdict beside that image in the registry, where promote looks for it.",
	Examples: []setting.Example{
		{Does: "ask / and /configs", Line: "go run ./cmd/smoke --url http://127.0.0.1:8080"},
		{Does: "the checks of a file, five rounds, one commit", Line: "go run ./cmd/smoke --url https://shop.example.com --checks smoke.yaml --consecutive 5 --expect-commit $(git rev-parse HEAD)"},
		{Does: "prove an image in staging", Line: "go run ./cmd/smoke --release shop --namespace staging --environment staging --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:…"},
	},
	Outputs: []setting.Output{
		{Name: "verdict", Help: "pass, fail, or inconclusive if nothing answered"},
		{Name: "report", Help: "JSON: every check's last answer, stages and seconds"},
	},
}

// DefaultCommitHeader is where the shipped sample app, and smoke, name a service's commit.
const DefaultCommitHeader = "X-Commit"

// Settings are what smoke can be told.
type Settings struct {
	URL       string
	Release   string
	Namespace string
	setting.ClusterRef
	Checks       string
	ExpectCommit release.Commit
	CommitHeader string
	Consecutive  int
	Timeout      time.Duration
	Patience     time.Duration
	Image        release.Image
	Environment  release.Environment
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.URL, setting.Setting{Name: "url", Value: "http(s)://HOST[:PORT]",
		Help: "Base URL of the service; or give release and namespace"}, setting.Text)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Release whose Service to find and wait for; the last part of the image's repository if neither it nor a URL is given"}, release.ParseLabel)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace of the release; the environment's name if not given"}, release.ParseLabel)
	s.ClusterRef.Declare(set)
	setting.Var(set, &s.Checks, setting.Setting{Name: "checks", Value: "FILE",
		Help: "YAML file of checks, inside the work tree; without it / and /configs must answer 200 with sane bodies"}, setting.Text)
	setting.Var(set, &s.ExpectCommit, setting.Setting{Name: "expect-commit", Value: "SHA",
		Help: "Commit that must answer every request of a passing round"}, release.ParseCommit)
	setting.Var(set, &s.CommitHeader, setting.Setting{Name: "commit-header", Default: DefaultCommitHeader, Value: "NAME",
		Help: "Response header in which the service names its commit"}, headerName)
	setting.Var(set, &s.Consecutive, setting.Setting{Name: "consecutive", Default: "3", Value: "N",
		Help: "Rounds in a row that must pass"}, setting.Count(1000))
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Value: "DURATION",
		Help: "Bound on the whole verb, the wait for an address included"}, setting.Duration)
	setting.Var(set, &s.Patience, setting.Setting{Name: "patience", Default: "15s", Value: "DURATION",
		Help: "How long wrong answers may go on, without one right round, before the verdict is fail"}, setting.Duration)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Value: "REPO@sha256:…",
		Help: "Image that must be running; the verdict is recorded for it (needs release and environment)"}, release.ParseImage)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Value: "NAME",
		Help: "Environment that the verdict is about"}, release.ParseEnvironment)
	set.Check(s.fit)
	return set
}

// fit holds the settings against each other.
func (s *Settings) fit() error {
	if s.Release == "" && s.URL == "" && !s.Image.IsZero() {
		s.Release = path.Base(s.Image.Repository.Path())
	}
	if s.Namespace == "" && s.Release != "" {
		s.Namespace = s.Environment.String()
	}
	var problems []release.Problem
	problem := func(where, what, do string) {
		problems = append(problems, release.Problem{Where: where, What: what, Do: do})
	}
	if s.URL == "" && s.Release == "" {
		problem("--url (INPUT_URL)", "is missing, and so is a release", "give --url, or --release and --namespace")
	}
	if s.Release != "" && s.Namespace == "" {
		problem("--namespace (INPUT_NAMESPACE)", "is missing", "give the release's namespace or its environment")
	}
	if !s.Image.IsZero() && s.URL != "" {
		problem("--url (INPUT_URL)", "is given together with an image: nobody could say that this address is the release's", "leave --url out; the release's own address is asked")
	}
	if !s.Image.IsZero() && s.Release == "" && s.URL == "" {
		problem("--image (INPUT_IMAGE)", "cannot be proved without the cluster's word for what is running", "give --release and --namespace")
	}
	if !s.Image.IsZero() && s.Environment == "" {
		problem("--environment (INPUT_ENVIRONMENT)", "is missing", "say which environment the verdict is about")
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

func headerName(text string) (string, error) {
	for _, r := range text {
		if !(r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return "", fmt.Errorf("%q is not a header name", text)
		}
	}
	return text, nil
}
