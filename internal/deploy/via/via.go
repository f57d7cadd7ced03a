// Package via has the settings that say what applies a release: Helm in the run itself, or a GitOps controller by a commit.
package via

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// What applies a release.
const (
	Helm   = "helm"
	ArgoCD = "argo-cd"
)

// Settings say what applies a release.
type Settings struct {
	Via              string // "" is Helm
	Application      Application
	ConfigRepository string
	ConfigBranch     string // "": the repository's default one
	ConfigFile       string // "": the last values file
	ConfigKeys       []setting.Named[string]
	ConfigPath       string // not "": the directory that gets rendered manifests, instead of a digest in a values file
	ConfigToken      string // "": the credentials of git's own configuration
	PullRequest      bool
}

// Application names an Application of Argo CD.
type Application struct {
	Namespace, Name string
}

// DefaultNamespace is the namespace of Argo CD in its own manifests.
const DefaultNamespace = "argocd"

// DefaultKey is the path of the digest in the values of the common chart.
const DefaultKey = "image.digest"

// GitOps reports whether a controller applies the release.
func (s *Settings) GitOps() bool { return s.Via == ArgoCD }

// Manifests reports whether rendered manifests are committed, so that chart and values are those of the checkout as with Helm.
func (s *Settings) Manifests() bool { return s.ConfigPath != "" }

// Key returns the path of an image's digest in the values file; false if there is none.
func (s *Settings) Key(image string) (path string, found bool) {
	for _, key := range s.ConfigKeys {
		if key.Name == image {
			return key.Value, true
		}
	}
	return DefaultKey, image == ""
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare(set *setting.Set, valuesPath func(string) (string, error)) {
	setting.Var(set, &s.Via, setting.Setting{Name: "via", Default: Helm, Value: "helm|argo-cd",
		Help: "What applies the release: Helm in this run, or Argo CD, for which the run commits the digest to a configuration repository (docs/gitops.md)"}, setting.OneOf(Helm, ArgoCD))
	setting.Var(set, &s.Application, setting.Setting{Name: "application", Value: "[NAMESPACE/]NAME",
		Help: "Argo CD's Application of the release; by default the release's name, in namespace argocd"}, parseApplication)
	setting.Var(set, &s.ConfigRepository, setting.Setting{Name: "config-repository", Value: "URL",
		Help: "Configuration repository that the Application applies: https://…, ssh://…, git@host:path or file:///path; without config-path, chart and values are paths in it"}, ParseRepository)
	setting.Var(set, &s.ConfigBranch, setting.Setting{Name: "config-branch", Value: "NAME",
		Help: "Branch of the configuration repository; default: its default branch"}, ParseBranch)
	setting.Var(set, &s.ConfigFile, setting.Setting{Name: "config-file", Value: "FILE",
		Help: "Values file in the configuration repository that gets the digest; default: the last of values"}, setting.Text)
	setting.List(set, &s.ConfigKeys, setting.Setting{Name: "config-key", Value: "[NAME=]PATH",
		Help: "Dotted path of an image's digest, or of its whole reference, in config-file; default: image.digest for the main image"}, setting.ParseNamed(valuesPath))
	setting.Var(set, &s.ConfigPath, setting.Setting{Name: "config-path", Value: "DIR",
		Help: "Directory in the configuration repository that gets the rendered manifests, one file for each object; chart and values are then those of the checkout, and the Application applies the directory as it is"}, ParseDirectory)
	setting.Var(set, &s.ConfigToken, setting.Setting{Name: "config-token", Secret: true, Value: "TOKEN",
		Help: "Token to read and push the configuration repository over https, and to open pull requests there; without it, git's own configuration has the credentials"}, setting.Text)
	setting.Bool(set, &s.PullRequest, setting.Setting{Name: "config-pull-request",
		Help: "Push the commit to a branch of its own and open a pull request with config-token, with the plan as its text, and end; once it is merged, the same deploy follows what Argo CD applies"})
}

// parseApplication parses [NAMESPACE/]NAME.
func parseApplication(text string) (application Application, err error) {
	namespace, name, found := strings.Cut(text, "/")
	if !found {
		namespace, name = DefaultNamespace, text
	}
	if application.Namespace, err = release.ParseLabel(namespace); err != nil {
		return application, err
	}
	if !objectName.MatchString(name) || len(name) > 253 {
		return application, fmt.Errorf("%q is not the name of an object", name)
	}
	application.Name = name
	return application, nil
}

// objectName matches a DNS subdomain. Source: kubernetes.io, "Object Names and IDs".
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// Problems lists what is missing or contradictory: given are the names of settings that a GitOps deploy does not have and that are given.
func (s *Settings) Problems(hasChart bool, values []string, given []string, images []release.BuiltImage) (problems []release.Problem) {
	add := func(name, what, do string) {
		problems = append(problems, release.Problem{Setting: name, What: what, Do: do})
	}
	if !s.GitOps() {
		for name, given := range map[string]bool{"application": s.Application != Application{}, "config-repository": s.ConfigRepository != "", "config-branch": s.ConfigBranch != "",
			"config-file": s.ConfigFile != "", "config-key": len(s.ConfigKeys) > 0, "config-path": s.Manifests(), "config-token": s.ConfigToken != "", "config-pull-request": s.PullRequest} {
			if given {
				add(name, "is used with --via argo-cd only", "give --via argo-cd too")
			}
		}
		return problems
	}
	if s.ConfigRepository == "" {
		add("config-repository", "is missing", "name the repository that the Application applies")
	}
	if s.ConfigToken != "" && !strings.HasPrefix(s.ConfigRepository, "https://") {
		add("config-token", "is sent over https only", "give an https:// address as config-repository")
	}
	if s.Manifests() {
		return append(problems, s.manifestProblems(hasChart, given)...)
	}
	if !hasChart {
		add("chart", "is missing", "name the chart that the Application applies: its directory in the configuration repository, or its address")
	}
	if len(values) == 0 && s.ConfigFile == "" {
		add("values", "is missing", "name the Application's values files in the configuration repository, in its order")
	}
	for _, name := range given {
		add(name, "is given with --via argo-cd, and Argo CD would not know of it", "write it to the configuration repository instead")
	}
	for _, image := range images {
		if _, found := s.Key(image.Name); !found {
			add("config-key", fmt.Sprintf("is missing for image %q", image.Name), "give it as NAME=PATH")
		}
	}
	return problems
}

// manifestProblems lists what does not go with rendered manifests.
func (s *Settings) manifestProblems(hasChart bool, given []string) (problems []release.Problem) {
	add := func(name, what, do string) {
		problems = append(problems, release.Problem{Setting: name, What: what, Do: do})
	}
	if !hasChart {
		add("chart", "is missing", "name the chart to render: a directory of the checkout, or its address")
	}
	if s.ConfigFile != "" {
		add("config-file", "is given together with config-path", "give one: a values file that gets the digest, or a directory that gets manifests")
	}
	if len(s.ConfigKeys) > 0 {
		add("config-key", "is given together with config-path", "leave it out: every image in the manifests is pinned")
	}
	for _, name := range given {
		if !pins[name] {
			add(name, "is given with --via argo-cd, which commits what is reviewed", "write it to a values file instead")
		}
	}
	return problems
}

// pins are the settings that say which references are pinned; the run itself pins rendered manifests.
var pins = map[string]bool{"pin-text": true, "image-alias": true, "image-values": true}

// ParseDirectory accepts a path relative to the top of a repository, with slashes; "." is the top itself.
func ParseDirectory(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || strings.ContainsAny(name, "\\\x00\n\r\t*?[]\"") || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "-") || strings.HasPrefix(clean, ":") ||
		slices.Contains(strings.Split(strings.ToLower(clean), "/"), ".git") {
		return "", fmt.Errorf("%q is not a directory inside the repository", name)
	}
	return clean, nil
}

// scp is the short form of an SSH address, such as git@github.com:team/config.git.
var scp = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^:]`)

// ParseRepository refuses an address that git would run a program for, that sends what it says unencrypted, or that has a password in it: a user of https may be a token.
func ParseRepository(address string) (string, error) {
	if scp.MatchString(address) {
		return address, nil
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("is not the address of a git repository") // without err, which quotes what may be a password
	}
	if _, hasPassword := parsed.User.Password(); hasPassword || parsed.User != nil && parsed.Scheme != "ssh" {
		return "", fmt.Errorf("has a user or a password in it: leave them to git's credential helpers, or give config-token")
	}
	switch {
	case (parsed.Scheme == "https" || parsed.Scheme == "ssh") && parsed.Host != "", parsed.Scheme == "file" && parsed.Path != "":
		return address, nil
	}
	return "", fmt.Errorf("%q is not written as https://…, ssh://…, git@host:path or file:///path", address)
}

// ParseBranch refuses what is no name of a branch. Source: git-check-ref-format(1).
func ParseBranch(name string) (string, error) {
	if !branchName.MatchString(name) || strings.Contains(name, "..") || strings.HasSuffix(name, ".lock") || strings.Contains(name, "//") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") {
		return "", fmt.Errorf("%q is not the name of a branch", name)
	}
	return name, nil
}

var branchName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
