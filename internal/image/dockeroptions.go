package image

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/image/dockerconfig"
	"github.com/onedigest/onedigest/internal/release"
)

// topOf returns the top of the context's work tree.
func topOf(recipe release.Recipe) (string, error) {
	context, err := filepath.EvalSymlinks(recipe.Context)
	recipe.Context = context
	return repositoryOf(recipe), err
}

// insideTop makes a path relative to the context absolute, with symbolic links resolved, and refuses one outside the work tree.
func insideTop(recipe release.Recipe, name string) (string, error) {
	top, err := topOf(recipe)
	if err != nil {
		return "", fmt.Errorf("the context %q cannot be read", recipe.Context)
	}
	file := name
	if !filepath.IsAbs(file) {
		file = filepath.Join(recipe.Context, file)
	}
	found, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", fmt.Errorf("%q does not exist", file)
	}
	if below, err := filepath.Rel(top, found); err != nil || !filepath.IsLocal(below) {
		return "", fmt.Errorf("%q is outside the work tree %q", file, top)
	}
	return found, nil
}

// doContext is the advice for a named context that cannot be used.
const doContext = "name a directory of the work tree, relative to the context, or docker-image://REPOSITORY@sha256:…"

// checkContexts returns a problem for each named context that is neither an image nor a directory of the work tree.
func checkContexts(recipe release.Recipe) (problems []release.Problem) {
	for _, name := range slices.Sorted(maps.Keys(recipe.Docker.Contexts)) {
		source := recipe.Docker.Contexts[name]
		if strings.HasPrefix(source, release.DockerImageScheme) {
			continue
		}
		dir, err := insideTop(recipe, source)
		if err == nil {
			if info, statErr := os.Stat(dir); statErr != nil || !info.IsDir() {
				err = fmt.Errorf("%q is not a directory", source)
			}
		}
		if err != nil {
			problems = append(problems, release.Problem{Setting: settingContexts, What: err.Error(), Do: doContext})
		}
	}
	return problems
}

// contextSetting returns the form in which a named context is stored: a directory relative to the top of the work tree, an image
// unchanged.
func contextSetting(recipe release.Recipe, source string) string {
	if strings.HasPrefix(source, release.DockerImageScheme) {
		return source
	}
	return path.Join(recipe.Source.Path, filepath.ToSlash(source))
}

// dockerArgs returns buildx's arguments for the recipe's DockerRecipe, and the environment variables that hold its secrets.
func dockerArgs(recipe release.Recipe) (args, secrets []string, err error) {
	docker := recipe.Docker
	if docker.Target != "" {
		args = append(args, "--target="+docker.Target)
	}
	contexts := map[string]string{}
	for name, source := range docker.Contexts {
		if !strings.HasPrefix(source, release.DockerImageScheme) {
			if source, err = insideTop(recipe, source); err != nil {
				return nil, nil, release.BadSetting(settingContexts, err.Error(), doContext)
			}
		}
		contexts[name] = source
	}
	args = appendPairs(args, "--build-context=", contexts)
	for i, id := range slices.Sorted(maps.Keys(docker.Secrets)) {
		variable := fmt.Sprintf("ONEDIGEST_SECRET_%d", i)
		args = append(args, "--secret=id="+id+",env="+variable)
		secrets = append(secrets, variable+"="+docker.Secrets[id])
	}
	for _, id := range slices.Sorted(maps.Keys(docker.SecretFiles)) {
		line, err := csvLine("id="+id, "src="+docker.SecretFiles[id])
		if err != nil {
			return nil, nil, err
		}
		args = append(args, "--secret="+line)
	}
	for flag, values := range map[string][]string{"--ssh=": docker.SSH, "--cache-from=": docker.CacheFrom, "--cache-to=": docker.CacheTo} {
		for _, value := range values {
			args = append(args, flag+value)
		}
	}
	slices.Sort(args)
	return args, secrets, nil
}

// csvLine joins fields to one CSV line, the form in which buildx reads them.
func csvLine(fields ...string) (string, error) {
	var line bytes.Buffer
	writer := csv.NewWriter(&line)
	if err := writer.Write(fields); err != nil {
		return "", err
	}
	writer.Flush()
	return strings.TrimRight(line.String(), "\n"), nil
}

// maxDockerfile bounds what is read of a Dockerfile, in bytes.
const maxDockerfile = 1 << 20

// readDockerfile returns the beginning of a Dockerfile, "" if it cannot be read, which is buildx's to report.
func readDockerfile(name string) string {
	content, err := os.ReadFile(name) // #nosec G304 -- the recipe's
	if err != nil {
		return ""
	}
	return string(content[:min(len(content), maxDockerfile)])
}

// declaredArgument is the name of an ARG instruction. One that is in a comment or a here-document counts too, and does no harm.
var declaredArgument = regexp.MustCompile(`(?mi)^[ \t]*ARG[ \t]+([A-Za-z_][A-Za-z0-9_]*)`)

// withCommitArgs adds to the recipe's build arguments those that commonly say what a Dockerfile builds, if it declares them and they are
// not given. They follow from the commit, and so are not settings. buildx adds SOURCE_DATE_EPOCH.
func withCommitArgs(recipe release.Recipe, file string) map[string]string {
	all := map[string]string{}
	for _, match := range declaredArgument.FindAllStringSubmatch(readDockerfile(file), -1) {
		switch name := match[1]; name {
		case "COMMIT", "COMMIT_SHA", "GIT_COMMIT", "GIT_SHA", "REVISION", "VCS_REF":
			all[name] = recipe.Source.Revision()
		case "BUILD_DATE":
			all[name] = recipe.Source.Created.UTC().Format(time.RFC3339)
		}
	}
	maps.Copy(all, recipe.BuildArgs)
	return all
}

// registryHost is a host before a repository's path.
var registryHost = regexp.MustCompile(`(?:^|[\s"'=/,@])((?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+(?::[0-9]+)?|localhost(?::[0-9]+)?)/[a-z0-9]`)

// maxHosts is how many registries are logged in to.
const maxHosts = 20

// registryHosts returns the hosts of registries that the Dockerfile, its arguments, contexts and caches name.
func registryHosts(recipe release.Recipe, file string) (hosts []string) {
	texts := slices.Concat([]string{readDockerfile(file)}, slices.Collect(maps.Values(recipe.BuildArgs)), slices.Collect(maps.Values(recipe.Docker.Contexts)),
		recipe.Docker.CacheFrom, recipe.Docker.CacheTo)
	for _, text := range texts {
		for _, match := range registryHost.FindAllStringSubmatch(text, -1) {
			hosts = append(hosts, match[1])
		}
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	return hosts[:min(len(hosts), maxHosts)]
}

// logIn makes a configuration of the docker client in dir with logins for the registries that the build uses, as far as Login has them and
// the user's configuration does not. It returns the variables that name it, none if no login is needed.
func (b DockerBuilder) logIn(ctx context.Context, recipe release.Recipe, file, dir string) ([]string, error) {
	if b.options.Login == nil {
		return nil, nil
	}
	hosts := registryHosts(recipe, file)
	known, err := dockerconfig.Known(b.options.Environ, hosts)
	if err != nil {
		return nil, release.NewFault("builder", "", err, "logging in for %q", "docker buildx")
	}
	logins := map[string]dockerconfig.Login{}
	for _, host := range hosts {
		if known[host] {
			continue
		}
		username, password, err := b.options.Login(ctx, host)
		if err != nil {
			return nil, err
		}
		if username != "" {
			logins[host] = dockerconfig.Login{Username: username, Password: password}
		}
	}
	if len(logins) == 0 {
		return nil, nil
	}
	variables, err := dockerconfig.Add(b.options.Environ, dir, logins)
	if err != nil {
		return nil, release.NewFault("builder", "", err, "logging in for %q", "docker buildx")
	}
	return variables, nil
}

// checkCaches refuses GitHub's cache where buildx would silently do without it.
func checkCaches(recipe release.Recipe, environ []string) []release.Problem {
	for setting, caches := range map[string][]string{settingCacheFrom: recipe.Docker.CacheFrom, settingCacheTo: recipe.Docker.CacheTo} {
		for _, cache := range caches {
			if strings.HasPrefix(cache, "type=gha") && execx.Variable(environ, "ACTIONS_RUNTIME_TOKEN") == "" {
				return []release.Problem{{Setting: setting, What: "GitHub's cache needs ACTIONS_RUNTIME_TOKEN, which a run step does not get",
					Do: "expose it (crazy-max/ghaction-github-runtime), or use a cache in a registry (type=registry,ref=REPOSITORY:TAG)"}}
			}
		}
	}
	return nil
}
