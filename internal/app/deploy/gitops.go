package deploy

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/deploy/via"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/github/markdown"
	"github.com/onedigest/onedigest/internal/gitops"
	"github.com/onedigest/onedigest/internal/helm/source"
	"github.com/onedigest/onedigest/internal/kube/argocd"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// configRepositories are the clones of configuration repositories of one run.
type configRepositories struct {
	run      *app.RunContext
	registry *images.Images
	mu       sync.Mutex
	removes  []func()
}

// remove removes the clones.
func (c *configRepositories) remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, remove := range c.removes {
		remove()
	}
}

// cloneTime limits a clone, which comes before all else, if the deploy's timeout does not.
const cloneTime = 5 * time.Minute

// clone clones the repository of a deploy into a directory of its own.
func (c *configRepositories) clone(ctx context.Context, timeout time.Duration, settings via.Settings) (*configrepo.Repository, app.Workspace, error) {
	dir, remove, err := c.run.Workspace().Scratch()
	if err != nil {
		return nil, app.Workspace{}, err
	}
	c.mu.Lock()
	c.removes = append(c.removes, remove)
	c.mu.Unlock()
	workspace, limit := app.WorkspaceAt(dir), min(timeout, cloneTime)
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not cloned within %s", text.Duration(limit)))
	defer stop()
	repository, err := configrepo.Clone(ctx, c.environ(settings), workspace.Root(), settings.ConfigRepository, settings.ConfigBranch)
	return repository, workspace, err
}

// environ is git's environment: the token, if there is one, is sent only to the repository's address. Source: git-config(1), http.<url>.*; git(1), GIT_CONFIG_COUNT.
func (c *configRepositories) environ(settings via.Settings) []string {
	environ := c.run.Process.Environ
	if settings.ConfigToken == "" {
		return environ
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + settings.ConfigToken))
	c.run.Mask(settings.ConfigToken)
	c.run.Mask(encoded)
	count, _ := strconv.Atoi(c.run.Process.Getenv("GIT_CONFIG_COUNT"))
	return append(environ[:len(environ):len(environ)], fmt.Sprintf("GIT_CONFIG_KEY_%d=http.%s.extraHeader", count, settings.ConfigRepository),
		fmt.Sprintf("GIT_CONFIG_VALUE_%d=Authorization: Basic %s", count, encoded), fmt.Sprintf("GIT_CONFIG_COUNT=%d", count+1))
}

// through replaces what a deploy by Helm works with: a commit in the configuration repository stands in for a release's revision, and Argo CD applies it. Chart and values are those of that
// repository, unless rendered manifests are committed.
func (c *configRepositories) through(ctx context.Context, settings deploy.Settings, deps deploy.Deps, connection connection, charts *source.Finder) (deploy.Deps, error) {
	repository, workspace, err := c.clone(ctx, settings.Timeout, settings.GitOps)
	if err != nil {
		return deps, err
	}
	file, keys, err := c.written(settings, repository, workspace)
	if err != nil {
		return deps, err
	}
	if !settings.GitOps.Manifests() {
		var removeCharts func()
		if charts, removeCharts, err = newCharts(c.run, &settings, c.registry, workspace, c.run.Reporter); err != nil {
			return deps, err
		}
		c.mu.Lock()
		c.removes = append(c.removes, removeCharts)
		c.mu.Unlock()
		deps.Workspace, deps.Charts, deps.Commits = workspace, charts, foreignCheckout{deps.Commits}
	}
	application := argocd.New(connection.cluster.Client, cmp.Or(settings.GitOps.Application.Namespace, via.DefaultNamespace), cmp.Or(settings.GitOps.Application.Name, settings.Release))
	deps.Cluster = appliedByOther{connection.cluster}
	pulls, err := c.pullRequests(settings.GitOps)
	if err != nil {
		return deps, err
	}
	found, err := gitops.New(gitops.Options{PullRequests: pulls, Repository: repository, DefaultBranch: settings.GitOps.ConfigBranch == "",
		Chart: release.ChartRef{Chart: settings.Chart, Repository: settings.ChartRepo, Version: settings.ChartVersion}, File: file, Keys: keys, Manifests: settings.GitOps.Manifests(), HasSecret: func(text string) bool {
			token := settings.GitOps.ConfigToken // what Secrets knows besides includes every variable of a container
			return token != "" && strings.Contains(text, token)
		}, Application: application,
		Applied: func(objects []release.Object, kinds []string) {
			connection.cluster.SetApplied(settings.Namespace, settings.Release, objects, kinds)
		},
		Renderer: loadingSchemas(ctx, connection.helm.In(settings.Namespace).Unrecorded(), charts), Environment: settings.Environment,
		Report: func(line string) { deps.Reporter.Infof("%s", line) }, Warn: func(line string) { deps.Reporter.Warnf("%s", line) }})
	deps.Chart = found
	if settings.GitOps.PullRequest {
		deps.Proposals = found
	}
	return deps, err
}

// written returns the file whose changes are the release's revisions, absolute, and the paths of the images' digests in it.
func (c *configRepositories) written(settings deploy.Settings, repository *configrepo.Repository, workspace app.Workspace) (file string, keys map[string]string, err error) {
	if settings.GitOps.Manifests() {
		keys, err = gitops.LockKeys(settings.Images)
		return filepath.Join(workspace.Root(), filepath.FromSlash(settings.GitOps.ConfigPath), gitops.LockFile), keys, err
	}
	named := settings.GitOps.ConfigFile
	if named == "" {
		named = settings.Values[len(settings.Values)-1]
	}
	if file, err = workspace.Inside(named); err != nil {
		return "", nil, release.BadSetting("config-file", err.Error(), fmt.Sprintf("name a values file on branch %q of the configuration repository", repository.Branch))
	}
	keys = map[string]string{}
	for _, image := range settings.Images {
		keys[image.Name], _ = settings.GitOps.Key(image.Name)
	}
	return file, keys, nil
}

// pullRequests returns what opens pull requests; nil if none is asked for, or if there is no token.
func (c *configRepositories) pullRequests(settings via.Settings) (gitops.PullRequests, error) {
	if !settings.PullRequest || settings.ConfigToken == "" {
		return nil, nil //nolint:nilnil // only a branch is pushed
	}
	parsed, err := url.Parse(settings.ConfigRepository)
	if err != nil {
		return nil, err
	}
	api := "https://api.github.com"
	if parsed.Host != "github.com" { // of GitHub Enterprise Server. Source: docs.github.com/en/enterprise-server, "Getting started with the REST API"
		api = "https://" + parsed.Host + "/api/v3"
	}
	if c.run.Process.Getenv("GITHUB_SERVER_URL") == "https://"+parsed.Host && c.run.Process.Getenv("GITHUB_API_URL") != "" {
		api = c.run.Process.Getenv("GITHUB_API_URL")
	}
	return pulls{c.run, github.API{URL: api, Token: settings.ConfigToken, Repository: strings.TrimSuffix(strings.Trim(parsed.Path, "/"), ".git")}}, nil
}

// pulls are the pull requests of a repository on GitHub.
type pulls struct {
	run *app.RunContext
	api github.API
}

// Open opens a pull request whose text is a list of the lines, without the secrets of this run.
func (p pulls) Open(ctx context.Context, base, head, title string, lines []string) (string, error) {
	var body strings.Builder
	for _, line := range lines {
		body.WriteString("- " + markdown.Words(p.run.Secrets.CleanLine(line)) + "\n")
	}
	page, err := p.api.OpenPullRequest(ctx, github.PullRequest{Base: base, Head: head, Title: p.run.Secrets.CleanLine(title), Body: p.run.Secrets.Redact(body.String())})
	if err != nil {
		return "", release.NewFault("GitHub", "let config-token read contents and write pull requests", err, "proposing branch %q", head)
	}
	return page, nil
}

// appliedByOther is the cluster of a release that a controller applies.
type appliedByOther struct{ cluster }

func (c appliedByOther) Check(ctx context.Context, namespace string, create bool) (limits []string, err error) {
	return c.CheckGitOps(ctx, namespace, create)
}

// foreignCheckout compares commits of the service's repository; chart and values are of another one.
type foreignCheckout struct{ deploy.Commits }

func (foreignCheckout) CheckedOut(context.Context, []string, release.Commit) (release.CheckedOut, error) {
	return release.CheckedOut{}, errors.New("they are of the configuration repository")
}
