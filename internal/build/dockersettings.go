package build

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// DockerSettings are the settings of the Docker builder alone.
type DockerSettings struct {
	Dockerfile  string
	BuildArgs   []setting.Pair
	Target      string
	Contexts    []setting.Pair
	Secrets     []setting.Pair
	SecretFiles []setting.Pair
	SSH         []string
	CacheFrom   []string
	CacheTo     []string
}

func (s *DockerSettings) declare(set *setting.Set) {
	setting.Var(set, &s.Dockerfile, setting.Setting{Name: "dockerfile", Value: "FILE",
		Help: "Dockerfile inside the work tree, relative to the context (Docker builder; default: the context's Dockerfile or Containerfile)"}, treePath)
	setting.Map(set, &s.BuildArgs, setting.Setting{Name: "build-args", Value: "NAME=VALUE", Secret: true,
		Help: "Build argument (Docker builder); do not use it for secrets, because the image's history and caches may contain it; COMMIT, GIT_COMMIT, REVISION, BUILD_DATE and the like are set if the Dockerfile declares them"}, setting.NameValue, setting.PairName)
	setting.Var(set, &s.Target, setting.Setting{Name: "target", Value: "STAGE",
		Help: "Stage of the Dockerfile to build (Docker builder; default: the last)"}, parseStage)
	setting.Map(set, &s.Contexts, setting.Setting{Name: "build-contexts", Value: "NAME=DIR|docker-image://IMAGE@DIGEST",
		Help: "Named context: a directory of the work tree, relative to the context, or an image by digest (Docker builder)"}, parseContext, setting.PairName)
	setting.Map(set, &s.Secrets, setting.Setting{Name: "secrets", Value: "ID=VALUE", Secret: true,
		Help: "Secret of one line for RUN --mount=type=secret, passed in the environment (Docker builder)"}, parseSecret, setting.PairName)
	setting.Map(set, &s.SecretFiles, setting.Setting{Name: "secret-files", Value: "ID=FILE",
		Help: "File that holds a secret for RUN --mount=type=secret (Docker builder)"}, parseSecret, setting.PairName)
	setting.Map(set, &s.SSH, setting.Setting{Name: "ssh", Value: "default|ID[=PATH]",
		Help: "SSH agent, or key, for RUN --mount=type=ssh (Docker builder)"}, parseSSH, sshID)
	setting.List(set, &s.CacheFrom, setting.Setting{Name: "cache-from", Value: "type=registry,ref=IMAGE:TAG|type=gha",
		Help: "Cache to read (Docker builder); its content may become part of the image, so let only trusted builds write to it"}, parseCache)
	setting.List(set, &s.CacheTo, setting.Setting{Name: "cache-to", Value: "type=registry,ref=IMAGE:TAG|type=gha",
		Help: "Cache to write (Docker builder)"}, parseCache)
}

// recipe returns the settings as a DockerRecipe, the zero value if none is given.
func (s *DockerSettings) recipe() release.DockerRecipe {
	recipe := release.DockerRecipe{Target: s.Target, SSH: s.SSH, CacheFrom: s.CacheFrom, CacheTo: s.CacheTo}
	for into, pairs := range map[*map[string]string][]setting.Pair{&recipe.Contexts: s.Contexts, &recipe.Secrets: s.Secrets, &recipe.SecretFiles: s.SecretFiles} {
		if len(pairs) > 0 {
			*into = pairMap(pairs)
		}
	}
	return recipe
}

// treePath accepts a relative path that may lead out of the context. The builder refuses one that leaves the work tree.
func treePath(text string) (string, error) {
	if _, err := setting.Text(text); err != nil {
		return "", err
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "-") {
		return "", fmt.Errorf("%q is not relative to the context", text)
	}
	return text, nil
}

// dockerName is a name of a stage, a context, a secret or a key.
var dockerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func parseStage(text string) (string, error) {
	if !dockerName.MatchString(text) {
		return "", fmt.Errorf("%q is not the name of a stage", text)
	}
	return text, nil
}

// contextName is a name that a Dockerfile uses in FROM or COPY --from: a stage's, or an image's.
var contextName = regexp.MustCompile(`^[a-z0-9][a-z0-9_./:@-]*$`)

// parseContext accepts NAME=SOURCE, where SOURCE is a directory relative to the context, or docker-image://REPOSITORY@DIGEST.
func parseContext(text string) (setting.Pair, error) {
	name, source, found := strings.Cut(text, "=")
	if !found || !contextName.MatchString(name) || name == "context" || name == "dockerfile" {
		return setting.Pair{}, fmt.Errorf("%q is not NAME=SOURCE, with a name in lower case", text)
	}
	if image, isImage := strings.CutPrefix(source, release.DockerImageScheme); isImage {
		_, err := release.ParseImage(image)
		return setting.Pair{Name: name, Value: source}, err
	}
	if strings.Contains(source, "://") || strings.HasPrefix(source, "git@") {
		return setting.Pair{}, fmt.Errorf("%q is neither a directory nor an image by digest, so its content could change between builds", text)
	}
	_, err := treePath(source)
	return setting.Pair{Name: name, Value: source}, err
}

// parseSecret accepts ID=VALUE and does not repeat the value.
func parseSecret(text string) (setting.Pair, error) {
	pair, err := setting.NameValue(text)
	if err != nil {
		return pair, err
	}
	if !dockerName.MatchString(pair.Name) || pair.Value == "" {
		return setting.Pair{}, errors.New("is not ID=VALUE")
	}
	return pair, nil
}

// sshID returns the ID of what parseSSH accepts.
func sshID(text string) string {
	id, _, _ := strings.Cut(text, "=")
	return id
}

func parseSSH(text string) (string, error) {
	id, key, keyed := strings.Cut(text, "=")
	if _, err := setting.Text(key); err != nil || !dockerName.MatchString(id) || keyed && key == "" {
		return "", fmt.Errorf("%q is neither the ID of an agent nor ID=PATH of a key", text)
	}
	return text, nil
}

// cacheKeys are the fields of each type of cache that are handed on. Those that name a token or another service are not among them.
var cacheKeys = map[string][]string{
	"registry": {"ref", "mode", "compression", "oci-mediatypes", "image-manifest", "ignore-error"},
	"gha":      {"scope", "mode", "ignore-error", "timeout"},
}

var cacheReference = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/[a-z0-9._/-]+(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$`)

// parseCache accepts a cache in a registry and GitHub's.
func parseCache(text string) (string, error) {
	if _, err := setting.Text(text); err != nil {
		return "", err
	}
	kind := ""
	for i, field := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case i == 0 && name == "type" && cacheKeys[value] != nil:
			kind = value
		case i == 0:
			return "", fmt.Errorf("%q does not begin with type=registry or type=gha", text)
		case !slices.Contains(cacheKeys[kind], name) || value == "" || strings.ContainsAny(value, `"`):
			return "", fmt.Errorf("%q: %q is not a field of a cache of type %s (%s)", text, field, kind, strings.Join(cacheKeys[kind], ", "))
		case name == "ref" && !cacheReference.MatchString(value):
			return "", fmt.Errorf("%q: %q is not HOST/PATH:TAG", text, value)
		}
	}
	if kind == "registry" && !strings.Contains(text, ",ref=") {
		return "", fmt.Errorf("%q lacks ref=HOST/PATH:TAG", text)
	}
	return text, nil
}
