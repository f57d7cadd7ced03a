package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares pipeline: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "pipeline",
	Summary: "take one commit to production: build, staging, smoke, promote, production, smoke",
	About: "Chains the verbs as the workflows do and passes only the digest from one to the next. Ends with a table and the " +
		"proof: the digest built and the digests that the pods of staging and production report are one, and no answer names another " +
		"commit; if that does not hold, it fails. An environment whose smoke fails is rolled back.",
	Examples: []setting.Example{
		{Does: "this repository's sample app on a local cluster", Line: "--repository 127.0.0.1:5510/shop --context app --builder go --values 'terraform/{environment}/values-{environment}.yaml'"},
		{Does: "all services of a monorepo (docs/matrix.md)", Line: "--matrix services.yaml"},
	},
	Outputs: []setting.Output{
		{Name: "digest", Help: "the digest that runs in every environment"},
		{Name: "commit", Help: "the commit that the digest was built from"},
		{Name: "services", Help: "JSON: the steps and the proof of each service of a matrix"},
	},
}

// Settings are the settings of pipeline.
type Settings struct {
	PlainHTTP []string // registries
	deploy.ChartSource
	Repository       release.Repository
	Context          string
	Builder          string
	Tags             []string
	WithoutCgo       bool
	Commit           string // as git names it; "" for HEAD
	Platform         release.Platform
	Images           []release.BuiltImage // the one that is built first, without its digest; then those that are built already
	PinText          bool
	Values           []string
	Release          string
	Checks           string
	Address          string
	Kubeconfig       string
	KubeContext      string
	SignKey          setting.KeyRef
	LegacySignatures string // of cosign 2: warn or refuse
	VerifyKeys       []setting.KeyRef
	Policy           string // file of rules; "": the default one, if it exists
	OverrideReason   string // "": the rules are not overridden

	AllowWorkTree bool // whether a kubeconfig may be in the work tree, or name programs and files there
	PodSecurity   release.PodSecurity
	Timeout       time.Duration
	GitHubToken   string // "": none
	Comment       bool
	matrix.Options
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Required: true, Unless: []string{"matrix"}, Value: "HOST/PATH",
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
	var (
		images          []setting.Named[release.Image]
		aliases, values []setting.Named[string]
	)
	setting.List(set, &images, setting.Setting{Name: "image", Value: "NAME=REPO@sha256:…",
		Help: "Further image that the release runs, which is built already; see deploy"}, setting.ParseNamed(release.ParseImage))
	setting.List(set, &aliases, setting.Setting{Name: "image-alias", Value: "[NAME=]REPO",
		Help: "Repository by which the chart names an image; see deploy"}, setting.ParseNamed(release.ParseAlias))
	setting.List(set, &values, setting.Setting{Name: "image-values", Value: "[NAME=]PATH",
		Help: "Value of the chart that is set to an image; see deploy"}, setting.ParseNamed(deploy.ParseValuesPath))
	setting.Bool(set, &s.PinText, setting.Setting{Name: "pin-text",
		Help: "Pin references to the image in environment variables, arguments and ConfigMaps too"})
	setting.List(set, &s.Values, setting.Setting{Name: "values", Commas: true, Default: "deploy/{environment}.yaml", Value: "FILE",
		Help: "Values file of an environment; {environment} is replaced by its name, and a later file overrides an earlier one"}, setting.Text)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release; default: the last part of the repository"}, release.ParseLabel)
	setting.Var(set, &s.Address, setting.Setting{Name: "address", Default: string(release.AddressAuto), Value: "auto|service/NAME|ingress/NAME|URL",
		Help: "Where the release is served, as for deploy and smoke; {environment} is replaced by the environment's name"}, servedAddress)
	setting.Var(set, &s.Checks, setting.Setting{Name: "checks", Default: setting.ChecksByDefault, Value: "FILE|default|probe",
		Help: "YAML file of smoke checks. default: " + setting.DefaultChecks + " if it exists, which init writes, and else as probe. probe: the request of the pods' readiness probe. The services of a matrix name their own"}, setting.Text)
	setting.Var(set, &s.Kubeconfig, setting.Setting{Name: "kubeconfig", Value: "FILE", Fallback: "KUBECONFIG",
		Help: "Kubeconfig"}, setting.Text)
	setting.DeclareAllowWorkTree(set, &s.AllowWorkTree)
	setting.Var(set, &s.KubeContext, setting.Setting{Name: "kube-context", Value: "NAME",
		Help: "Context of the kubeconfig"}, setting.Text)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	setting.DeclareVerifyKeys(set, &s.VerifyKeys)
	setting.DeclarePolicy(set, &s.Policy)
	setting.DeclareOverride(set, &s.OverrideReason)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "3m", Value: "DURATION",
		Help: "Time limit of each deploy and each smoke"}, setting.Duration)
	deploy.DeclarePodSecurity(set, &s.PodSecurity)
	setting.Var(set, &s.GitHubToken, setting.Setting{Name: "github-token", Secret: true, Fallback: "GITHUB_TOKEN", Value: "TOKEN",
		Help: "Token to compare commits by GitHub's API, see deploy, and for comment"}, setting.Text)
	setting.Bool(set, &s.Comment, setting.Setting{Name: "comment",
		Help: "Show the summary in a comment of the run's pull request too; see deploy"})
	s.Options.Declare(set, false)
	set.Check(func() error {
		if s.Matrix != "" {
			return s.checkMatrix(len(images) > 0)
		}
		return s.setImages(images, aliases, values)
	})
	set.Check(func() error {
		if s.Matrix != "" {
			return nil
		}
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

// checkMatrix refuses settings that each service of a matrix has to set for itself.
func (s *Settings) checkMatrix(hasImages bool) error {
	var problems []release.Problem
	if hasImages {
		problems = append(problems, release.Problem{Setting: "image", What: "is given together with a matrix, whose services are built", Do: "list its service in the file, as part-of another"})
	}
	if s.Release != "" {
		problems = append(problems, release.Problem{Setting: "release", What: "is given together with a matrix, in which each service has its own", Do: "give the service's release in the file"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// setImages adds the images that are built already to the one that the pipeline builds.
func (s *Settings) setImages(further []setting.Named[release.Image], aliases, values []setting.Named[string]) error {
	s.Images = []release.BuiltImage{{Image: release.Image{Repository: s.Repository}}}
	var problems []release.Problem
	for _, image := range further {
		if image.Name == "" {
			problems = append(problems, release.Problem{Setting: "image", What: fmt.Sprintf("%s has no name", image.Value), Do: "write NAME=REPO@sha256:…; the image without a name is the one that the pipeline builds"})
			continue
		}
		s.Images = append(s.Images, release.BuiltImage{Name: image.Name, Image: image.Value})
	}
	if problems = append(problems, deploy.NameInChart(s.Images, aliases, values)...); len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// withDigest returns the images, the first one as it was built.
func (s Settings) withDigest(built release.Image) []release.BuiltImage {
	images := slices.Clone(s.Images)
	images[0].Image = built
	return images
}

// servedAddress accepts what smoke accepts, in every environment.
func servedAddress(text string) (string, error) {
	address, err := release.ParseAddress(string(addressIn(text, "staging")))
	if address == release.AddressNone {
		return "", fmt.Errorf("%q leaves smoke no address to send requests to; give auto, service/NAME, ingress/NAME or a URL", text)
	}
	return text, err
}

func addressIn(text string, environment release.Environment) release.Address {
	return release.Address(strings.ReplaceAll(text, "{environment}", environment.String()))
}
