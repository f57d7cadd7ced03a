package deploy

import (
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
		"watches the rollout itself: readiness is seen when the cluster reports it, and a failure is told with the pod, the container, " +
		"the reason, the last event and the last log lines. Nothing changed means outcome unchanged and no new revision.",
	Examples: []setting.Example{
		{Does: "deploy to staging", Line: "go run ./cmd/deploy --environment staging --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:… --values terraform/staging/values-staging.yaml"},
		{Does: "another chart, namespace and cluster", Line: "go run ./cmd/deploy --environment qa --image localhost:5000/shop@sha256:… --chart ./charts/other --namespace qa-2 --context qa-cluster --create-namespace"},
	},
	Outputs: []setting.Output{
		{Name: "url", Help: "where the release is served, empty for a Service without an external address"},
		{Name: "revision", Help: "the Helm revision that is live"},
		{Name: "outcome", Help: "created, changed or unchanged"},
		{Name: "digest", Help: "the digest that the cluster reports its pods to run"},
	},
}

// Settings are what deploy can be told.
type Settings struct {
	Environment     release.Environment
	Image           release.Image
	Chart           string
	Values          []string
	Set             []string
	Release         string
	Namespace       string
	Commit          release.Commit
	Kubeconfig      string
	Context         string
	Timeout         time.Duration
	CreateNamespace bool
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Required: true, Value: "NAME",
		Help: "Environment to deploy to"}, release.ParseEnvironment)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Required: true, Value: "REPO@sha256:…",
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
	setting.Cluster(set, &s.Kubeconfig, &s.Context)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Value: "DURATION",
		Help: "Bound on the whole deploy"}, setting.Duration)
	setting.Bool(set, &s.CreateNamespace, setting.Setting{Name: "create-namespace",
		Help: "Create the namespace if it is absent"})
	set.Check(s.fill)
	return set
}

// fill derives what was not given from what was.
func (s *Settings) fill() error {
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
