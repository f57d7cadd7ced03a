package pipeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares pipeline: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "pipeline",
	Summary: "take one commit to production: build, staging, smoke, promote, production, smoke",
	About: "Chains the verbs as the workflows do and hands nothing but the digest from one to the next. Ends with a table and the " +
		"proof: the digest built and the digests that the pods of staging and production report are one, and no answer names another " +
		"commit; if that does not hold, it fails. An environment whose smoke fails is rolled back.",
	Examples: []setting.Example{
		{Does: "this repository's sample app on a local cluster", Line: "--repository 127.0.0.1:5510/shop --context app --builder go"},
	},
	Outputs: []setting.Output{
		{Name: "digest", Help: "the digest that runs in every environment"},
		{Name: "commit", Help: "the commit that the digest was built from"},
	},
}

// Settings are the settings of pipeline.
type Settings struct {
	deploy.ChartSource
	Repository  release.Repository
	Context     string
	Builder     string
	Tags        []string
	WithoutCgo  bool
	Commit      string // as git names it; "" for HEAD
	Platform    release.Platform
	Aliases     []string // repositories by which the chart names the image
	ImageValues []string // dotted paths of the chart's values that get the image
	PinText     bool
	Values      string
	Release     string
	Checks      string
	Address     string
	Kubeconfig  string
	KubeContext string

	AllowWorkTree bool // whether a kubeconfig may be in the work tree, or run or read what is there
	Timeout       time.Duration
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Required: true, Value: "HOST/PATH",
		Help: "Repository to build into"}, release.ParseRepository)
	setting.Var(set, &s.Context, setting.Setting{Name: "context", Default: ".", Value: "DIR",
		Help: "Directory to build from"}, setting.Text)
	setting.Var(set, &s.Builder, setting.Setting{Name: "builder", Default: "auto", Value: "auto|go|docker",
		Help: "Builder, see build: required if the context holds a Go main package and a Dockerfile"}, setting.OneOf("auto", "go", "docker"))
	setting.List(set, &s.Tags, setting.Setting{Name: "tags", Commas: true, Value: "TAG",
		Help: "Go build tag; see build"}, build.ParseBuildTag)
	setting.Bool(set, &s.WithoutCgo, setting.Setting{Name: "without-cgo",
		Help: "Build although packages use cgo; see build"})
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Fallback: "GITHUB_SHA", Value: "SHA",
		Help: "Commit, full or short, that must be checked out in the work tree; default: HEAD"}, setting.Text)
	setting.Var(set, &s.Platform, setting.Setting{Name: "platform", Default: "linux/amd64", Value: "OS/ARCH",
		Help: "Platform to build for"}, release.ParsePlatform)
	s.ChartSource.Declare(set)
	setting.List(set, &s.Aliases, setting.Setting{Name: "image-alias", Value: "REPO",
		Help: "Repository by which the chart names the image; see deploy"}, release.ParseAlias)
	setting.List(set, &s.ImageValues, setting.Setting{Name: "image-values", Value: "PATH",
		Help: "Value of the chart that is set to the image; see deploy"}, deploy.ParseValuesPath)
	setting.Bool(set, &s.PinText, setting.Setting{Name: "pin-text",
		Help: "Pin references to the image in environment variables, arguments and ConfigMaps too"})
	setting.Var(set, &s.Values, setting.Setting{Name: "values", Default: "terraform/{environment}/values-{environment}.yaml", Value: "FILE",
		Help: "Values file of an environment; {environment} is replaced by its name"}, setting.Text)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release; default: the last part of the repository"}, release.ParseLabel)
	setting.Var(set, &s.Address, setting.Setting{Name: "address", Default: string(release.AddressAuto), Value: "auto|service/NAME|ingress/NAME|URL",
		Help: "Where the release is served, as for deploy and smoke; {environment} is replaced by the environment's name"}, servedAddress)
	setting.Var(set, &s.Checks, setting.Setting{Name: "checks", Value: "FILE",
		Help: "YAML file of smoke checks"}, setting.Text)
	setting.Var(set, &s.Kubeconfig, setting.Setting{Name: "kubeconfig", Value: "FILE", Fallback: "KUBECONFIG",
		Help: "Kubeconfig"}, setting.Text)
	setting.DeclareAllowWorkTree(set, &s.AllowWorkTree)
	setting.Var(set, &s.KubeContext, setting.Setting{Name: "kube-context", Value: "NAME",
		Help: "Context of the kubeconfig"}, setting.Text)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "3m", Value: "DURATION",
		Help: "Time limit of each deploy and each smoke"}, setting.Duration)
	set.Check(func() error {
		if s.Release == "" {
			path := s.Repository.Path()
			s.Release = path[strings.LastIndex(path, "/")+1:]
		}
		if _, err := deploy.ParseReleaseName(s.Release); err != nil {
			return release.BadSetting("release", "the name taken from the repository cannot be used: "+err.Error(), "give a release name")
		}
		return nil
	})
	return set
}

// servedAddress accepts what smoke accepts, in every environment.
func servedAddress(text string) (string, error) {
	address, err := release.ParseAddress(string(addressIn(text, "staging")))
	if address == release.AddressNone {
		return "", fmt.Errorf("%q leaves nothing to smoke", text)
	}
	return text, err
}

func addressIn(text string, environment release.Environment) release.Address {
	return release.Address(strings.ReplaceAll(text, "{environment}", environment.String()))
}
