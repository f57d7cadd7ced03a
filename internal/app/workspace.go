package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Workspace is the work tree around the working directory: the only part of the disk that inputs may name.
type Workspace struct {
	root, dir string
	checkout  bool // false: root is only the working directory
}

// newWorkspace takes GITHUB_WORKSPACE, else the directory above the working directory that holds .git, else the
// working directory itself.
func newWorkspace(process Process) Workspace {
	dir := resolvePath(process.Dir)
	if root := process.Getenv("GITHUB_WORKSPACE"); root != "" {
		return Workspace{root: resolvePath(root), dir: dir, checkout: true}
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return Workspace{root: at, dir: dir, checkout: true}
		}
		if at == filepath.Dir(at) {
			return Workspace{root: dir, dir: dir}
		}
	}
}

// WorkspaceAt returns a directory as a work tree of its own.
func WorkspaceAt(dir string) Workspace {
	return Workspace{root: resolvePath(dir), dir: resolvePath(dir), checkout: true}
}

// Root returns the directory of the work tree, absolute, symbolic links resolved.
func (w Workspace) Root() string { return w.root }

// IsCheckout reports whether the work tree is one of git, or of a job, and not only the working directory.
func (w Workspace) IsCheckout() bool { return w.checkout }

// resolvePath returns a path with symbolic links resolved, or the cleaned path if it does not exist.
func resolvePath(path string) string {
	if actual, err := filepath.EvalSymlinks(path); err == nil {
		return actual
	}
	return filepath.Clean(path)
}

// Absolute makes a path absolute, and leaves its symbolic links as they are.
func (w Workspace) Absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(w.dir, path)
}

// Inside makes a path absolute, symbolic links resolved, and refuses one that is missing or outside the work tree.
func (w Workspace) Inside(path string) (string, error) {
	actual, err := filepath.EvalSymlinks(w.Absolute(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%q does not exist", path)
	}
	if err != nil {
		return "", fmt.Errorf("reading %q: %w", path, err)
	}
	below, err := filepath.Rel(w.root, actual)
	if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
		return "", fmt.Errorf("%q is outside the work tree", path)
	}
	return actual, nil
}

// maxFile bounds what is read of a file that an input names, in bytes.
const maxFile = 1 << 20

// Read returns a file of the work tree of at most 1 MiB. The error is a *release.InputError about the setting that names the
// file; do says what to give instead.
func (w Workspace) Read(setting, path, do string) ([]byte, error) {
	return w.ReadUpTo(maxFile, setting, path, do)
}

// ReadUpTo is Read with another limit, in bytes.
func (w Workspace) ReadUpTo(limit int64, setting, path, do string) ([]byte, error) {
	inside, err := w.Inside(path)
	if err != nil {
		return nil, release.BadSetting(setting, err.Error(), do)
	}
	info, err := os.Stat(inside)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		err = fmt.Errorf("%q is not a file of at most %d MiB", path, limit>>20)
	}
	if err != nil {
		return nil, release.BadSetting(setting, err.Error(), do)
	}
	content, err := os.ReadFile(inside)
	if err != nil {
		return nil, release.BadSetting(setting, err.Error(), do)
	}
	return content, nil
}

// CheckWritable returns a *release.InputError about the setting that names a file if it cannot be written: its directory is missing or outside
// the work tree, or the file is not a regular one.
func (w Workspace) CheckWritable(setting, path string) error {
	_, err := w.target(setting, path)
	return err
}

// Write writes a file of the work tree, or replaces it, readable only by this user. Its errors are those of CheckWritable.
func (w Workspace) Write(setting, path string, content []byte) (err error) {
	target, err := w.target(setting, path)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(target), ".onedigest-")
	if err != nil {
		return release.BadSetting(setting, fmt.Sprintf("%q cannot be written: %v", path, err), "")
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), target)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %q: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}

// target returns the absolute path of a file that may be written.
func (w Workspace) target(setting, path string) (string, error) {
	dir, err := w.Inside(filepath.Dir(path))
	if err != nil {
		return "", release.BadSetting(setting, err.Error(), "name a file in a directory of the work tree")
	}
	target := filepath.Join(dir, filepath.Base(path))
	if info, err := os.Lstat(target); err == nil && !info.Mode().IsRegular() {
		return "", release.BadSetting(setting, fmt.Sprintf("%q is not a regular file", path), "name another file")
	}
	return target, nil
}
