package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	// maxFetchTime limits a fetch. It asks for commits only, which are a few MB for a repository of ten thousand commits.
	maxFetchTime = time.Minute
	// maxWanted is how many commits one fetch asks for; a shallow checkout of a few branches is cut off at fewer places.
	maxWanted = 100
)

// fetchHistory fetches the missing ancestors of the given commits into a new bare repository, which also reads the objects of
// this one. remove deletes it. The remote and the credentials are those in the checkout's configuration. It changes neither the
// checkout nor its repository.
func (r repository) fetchHistory(ctx context.Context, scratch Scratch, shallow bool, commits ...release.Commit) (fetched repository, remove func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxFetchTime, fmt.Errorf("the remote did not send the history within %s", text.Duration(maxFetchTime)))
	defer cancel()
	remote, err := r.remote(ctx)
	if err != nil {
		return repository{}, nil, err
	}
	wanted, err := r.missing(ctx, shallow, commits)
	if err != nil {
		return repository{}, nil, err
	}
	objects, err := r.path(ctx, "objects")
	if err != nil {
		return repository{}, nil, err
	}
	environ, err := r.fetchEnviron(ctx, remote)
	if err != nil {
		return repository{}, nil, err
	}
	dir, remove, err := scratch()
	if err != nil {
		return repository{}, nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	fetched = repository{program: r.program, dir: r.top(ctx), environ: append(environ, "GIT_DIR="+dir)}
	format := "sha1"
	if len(commits[0]) == 64 {
		format = "sha256"
	}
	if _, err = fetched.git(ctx, "init", "--quiet", "--bare", "--template=", "--object-format="+format, dir); err != nil {
		return repository{}, nil, r.fault(err, "preparing to fetch the history of")
	}
	// A shallow repository cannot be an alternate: git reports an alternate's commits to the remote, which then does not send their
	// missing ancestors.
	if !shallow {
		err = addAlternate(dir, objects)
	}
	if err == nil {
		err = fetched.fetch(ctx, remote, wanted)
	}
	if err == nil && shallow {
		err = addAlternate(dir, objects)
	}
	return fetched, remove, err
}

// fetch fetches commits by their ids, or all branches if the remote does not serve one of the ids.
func (r repository) fetch(ctx context.Context, remote string, wanted []string) error {
	// tree:0 asks for commits only; a remote that does not support it sends everything.
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--filter=tree:0", remote}
	_, err := r.git(ctx, append(args, wanted...)...)
	var exit *exitError
	if errors.As(err, &exit) && (strings.Contains(exit.stderr, "not our ref") || strings.Contains(exit.stderr, "unadvertised object")) {
		_, err = r.git(ctx, append(args, "+refs/heads/*:refs/fetched/*")...)
	}
	if err != nil {
		return fmt.Errorf("fetching the history from remote %q: %w", remote, err)
	}
	return nil
}

// addAlternate lets a bare repository also read the objects of another repository (gitrepository-layout(5)).
func addAlternate(dir, objects string) error {
	return os.WriteFile(filepath.Join(dir, "objects", "info", "alternates"), []byte(objects+"\n"), 0o600)
}

// missing lists the commits to fetch: those that the repository lacks, and in a shallow repository those at which its history is
// cut off.
func (r repository) missing(ctx context.Context, shallow bool, commits []release.Commit) (wanted []string, err error) {
	for _, commit := range commits {
		if !r.has(ctx, commit) {
			wanted = append(wanted, commit.String())
		}
	}
	if shallow {
		path, err := r.path(ctx, "shallow")
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(path) // #nosec G304 -- of the repository itself
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			if commit, err := release.ParseCommit(strings.TrimSpace(line)); err == nil && len(wanted) < maxWanted {
				wanted = append(wanted, commit.String())
			}
		}
	}
	slices.Sort(wanted)
	return slices.Compact(wanted), nil
}

// remote returns the name of the remote to fetch from: origin, or the first remote if there is no origin.
func (r repository) remote(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "remote")
	if err != nil {
		return "", r.fault(err, "listing the remotes of")
	}
	remotes := strings.Fields(out)
	switch {
	case len(remotes) == 0:
		return "", fmt.Errorf("the repository of %q has no remote to fetch the history from", r.dir)
	case slices.Contains(remotes, "origin"):
		return "origin", nil
	}
	return remotes[0], nil
}

// top returns the top of the work tree. Git resolves a remote that is a relative path against it.
func (r repository) top(ctx context.Context) string {
	out, err := r.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return r.dir
	}
	return strings.TrimSuffix(out, "\n")
}

// path returns the absolute path of a file in the repository's git directory.
func (r repository) path(ctx context.Context, name string) (string, error) {
	out, err := r.git(ctx, "rev-parse", "--git-path", name)
	if err != nil {
		return "", r.fault(err, "reading the repository of")
	}
	path := strings.TrimSuffix(out, "\n")
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	return path, nil
}

// fetchEnviron returns the environment for fetching from the remote into another repository. It contains the checkout's settings
// about reaching the remote as GIT_CONFIG_ variables (git-config(1)), which write no credential to the disk.
func (r repository) fetchEnviron(ctx context.Context, remote string) ([]string, error) {
	out, err := r.git(ctx, "config", "--local", "--includes", "--list", "-z")
	if err != nil {
		return nil, r.fault(err, "reading the configuration of")
	}
	environ := slices.Clone(r.environ)
	count, _ := strconv.Atoi(execx.Variable(environ, "GIT_CONFIG_COUNT"))
	add := func(key, value string) {
		environ = append(environ, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, value))
		count++
	}
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, valued := strings.Cut(entry, "\n")
		if !valued {
			value = "true" // git-config(1): a variable without a value
		}
		if isTransportSetting(key, remote) {
			add(key, value)
		}
	}
	add("gc.auto", "0")
	add("maintenance.auto", "false")
	if execx.Variable(environ, "GIT_SSH_COMMAND") == "" && execx.Variable(environ, "GIT_SSH") == "" {
		if _, err := r.git(ctx, "config", "--get", "core.sshCommand"); err != nil {
			environ = append(environ, "GIT_SSH_COMMAND=ssh -o BatchMode=yes") // never asks for a passphrase
		}
	}
	return append(environ, "GIT_CONFIG_COUNT="+strconv.Itoa(count)), nil
}

// isTransportSetting reports whether a git configuration key decides how a remote is reached: its URL, proxy, credentials, SSH
// command or protocol.
func isTransportSetting(key, remote string) bool {
	for _, section := range []string{"http.", "credential.", "url.", "ssh.", "protocol.", "core.sshcommand", "core.gitproxy", "core.askpass"} {
		if strings.HasPrefix(key, section) {
			return true
		}
	}
	return key == "remote."+remote+".url" || strings.HasPrefix(key, "remote."+remote+".proxy")
}
