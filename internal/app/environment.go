package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/worktree"
)

// pathVariables are the variables with paths of files that decide about the job's credentials: credential files, configurations that can run programs,
// certificate authorities, and programs. Sources: AWS SDKs and Tools Reference Guide, "Environment
// variables"; docs.docker.com, "docker CLI", environment variables; containers-auth.json(5); git(1); openssh, ssh(1); crypto/x509.
var pathVariables = []string{
	"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE",
	"DOCKER_CONFIG", "DOCKER_CERT_PATH", "BUILDX_CONFIG", "REGISTRY_AUTH_FILE",
	"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "NETRC", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
}

// commandVariables contain a command, whose program may be found on PATH, or a list of paths.
var commandVariables = []string{"GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_PROXY_COMMAND", "SSL_CERT_DIR"}

// goVariables decide what the go command runs; only build runs it.
var goVariables = []string{"GOROOT", "GOFLAGS", "GOENV"}

// homeFiles are read in the home directory where no variable names another place.
var homeFiles = []string{".aws/config", ".aws/credentials", ".docker", ".config/containers/auth.json", ".config/git/config", ".gitconfig", ".netrc", ".ssh/config"}

// treeOf returns the work tree of a process. It is the zero Tree if it would be the user's own files or the whole disk: a home directory that is
// itself a repository, and outside of a checkout a working directory that is / or has the home directory.
func treeOf(process Process) worktree.Tree {
	workspace, home := newWorkspace(process), process.Getenv("HOME")
	tree := worktree.Tree{Root: workspace.root, Dir: process.Dir}
	switch {
	case process.Getenv("GITHUB_WORKSPACE") != "":
	case home != "" && resolvePath(home) == workspace.root,
		!workspace.checkout && (tree.Contains(home) || tree.Contains(string(filepath.Separator))):
		return worktree.Tree{}
	}
	return tree
}

// checkEnvironment returns a problem for each variable that names something in the work tree which would get or choose the job's credentials. runsGo says that the verb
// runs the go command.
func checkEnvironment(process Process, runsGo bool) (problems []release.Problem) {
	tree := treeOf(process)
	for _, name := range pathVariables {
		if path := process.Getenv(name); tree.Contains(path) {
			problems = append(problems, worktree.Problem(name, path))
		}
	}
	commands := slices.Concat(commandVariables, gitSettings(process))
	if runsGo {
		commands = append(commands, goVariables...)
	}
	for _, name := range commands {
		if path := tree.Mentioned(process.Getenv(name)); path != "" {
			problems = append(problems, worktree.Problem(name, path))
		}
	}
	return slices.Concat(problems, checkHome(process, tree), checkDockerHelpers(process))
}

// gitSettings returns the names of the variables that have values of git's configuration, without those of safe.directory: it names the work tree
// itself, in jobs that run in a container. Source: git-config(1), "ENVIRONMENT" and "safe.directory".
func gitSettings(process Process) (names []string) {
	count, _ := strconv.Atoi(process.Getenv("GIT_CONFIG_COUNT"))
	for i := range min(count, len(process.Environ)) {
		if number := strconv.Itoa(i); !strings.EqualFold(process.Getenv("GIT_CONFIG_KEY_"+number), "safe.directory") {
			names = append(names, "GIT_CONFIG_VALUE_"+number)
		}
	}
	return names
}

// maxDockerConfig bounds docker's configuration, in bytes.
const maxDockerConfig = 1 << 20

// checkDockerHelpers returns a problem for each credential helper whose name is a path: docker's clients would run "docker-credential-"
// and the name as a path from the working directory. A file that cannot be read is reported where it is used.
func checkDockerHelpers(process Process) (problems []release.Problem) {
	dir := process.Getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(process.Getenv("HOME"), ".docker")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(process.Dir, dir)
	}
	name := filepath.Join(dir, "config.json")
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxDockerConfig {
		return nil
	}
	content, err := os.ReadFile(name)
	var config struct {
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err != nil || json.Unmarshal(content, &config) != nil {
		return nil
	}
	for _, helper := range append(slices.Sorted(maps.Values(config.CredHelpers)), config.CredsStore) {
		if strings.ContainsRune(helper, filepath.Separator) {
			problems = append(problems, release.Problem{Where: name, What: fmt.Sprintf("the credential helper %q is a path", helper), Do: "give its name, and have docker-credential-NAME on the PATH"})
		}
	}
	return problems
}

// checkHome returns a problem for each file of homeFiles that is in the work tree. Without HOME, libraries take the working directory for
// it.
func checkHome(process Process, tree worktree.Tree) (problems []release.Problem) {
	home := process.Getenv("HOME")
	for _, file := range homeFiles {
		if path := filepath.Join(home, file); tree.Has(path) {
			problems = append(problems, worktree.Problem("HOME", path))
		}
	}
	return problems
}

// trustedPath returns PATH without relative entries and without those in the work tree, and the latter.
func trustedPath(process Process) (path string, dropped []string) {
	tree := treeOf(process)
	var kept []string
	for entry := range strings.SplitSeq(process.Getenv("PATH"), string(filepath.ListSeparator)) {
		switch {
		case !filepath.IsAbs(entry):
		case tree.Contains(entry):
			dropped = append(dropped, entry)
		default:
			kept = append(kept, entry)
		}
	}
	return strings.Join(kept, string(filepath.ListSeparator)), dropped
}
