package command

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Limits of the files of one check.
const (
	maxFiles = 10000
	maxBytes = 256 << 20
)

// files returns the files that a check uses, with their digests, in the order of their paths: its script, its `files`, and each argument
// that is a file of the work tree.
func (r Runner) files(check release.Check) ([]release.CheckFile, error) {
	var paths []string
	if check.Command.Script != "" {
		paths = append(paths, check.Command.Script)
	}
	for _, file := range check.Command.Files {
		paths = append(paths, file.Path)
	}
	for _, arg := range check.Command.Args {
		if r.isFile(arg) {
			paths = append(paths, filepath.ToSlash(filepath.Clean(arg)))
		}
	}
	slices.Sort(paths)
	var files []release.CheckFile
	var problems []error
	count := &counter{}
	for _, path := range slices.Compact(paths) {
		digest, err := r.digest(path, count)
		if err != nil {
			problems = append(problems, err)
		}
		files = append(files, release.CheckFile{Path: path, Digest: digest})
	}
	return files, errors.Join(problems...)
}

// isFile reports whether an argument is the path of a file of the work tree.
func (r Runner) isFile(arg string) bool {
	if arg == "" || strings.HasPrefix(arg, "-") || strings.ContainsRune(arg, 0) {
		return false
	}
	path, err := r.inside(arg)
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// counter counts files and bytes against the limits.
type counter struct {
	files int
	bytes int64
}

func (c *counter) add(size int64) error {
	c.files++
	c.bytes += size
	if c.files > maxFiles || c.bytes > maxBytes {
		return fmt.Errorf("the check has more than %d files or %d MiB; name only what it uses", maxFiles, maxBytes>>20)
	}
	return nil
}

// digest returns the digest of a file's content; of a directory, that of the paths and digests of all files below it. Symbolic links in a
// directory count as their target's name, and .git is left out.
func (r Runner) digest(path string, count *counter) (release.Digest, error) {
	inside, err := r.inside(path)
	if err != nil {
		return release.Digest{}, err
	}
	info, err := os.Stat(inside)
	if err != nil {
		return release.Digest{}, fmt.Errorf("reading %q: %w", path, rootError(err))
	}
	if info.Mode().IsRegular() {
		return digestOf(inside, info.Size(), path, count)
	}
	if !info.IsDir() {
		return release.Digest{}, fmt.Errorf("%q is neither a file nor a directory", path)
	}
	list := sha256.New()
	err = filepath.WalkDir(inside, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, rootError(err))
		}
		below, err := filepath.Rel(inside, at)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			if err != nil {
				return fmt.Errorf("reading %q: %w", path, rootError(err))
			}
			fmt.Fprintf(list, "%q -> %q\n", filepath.ToSlash(below), target)
		case entry.Type().IsRegular():
			info, err := entry.Info()
			if err != nil {
				return fmt.Errorf("reading %q: %w", path, rootError(err))
			}
			digest, err := digestOf(at, info.Size(), path, count)
			if err != nil {
				return err
			}
			fmt.Fprintf(list, "%q %s\n", filepath.ToSlash(below), digest)
		}
		return nil
	})
	if err != nil {
		return release.Digest{}, err
	}
	return release.DigestOfSum(list), nil
}

// digestOf returns the SHA-256 digest of a file's content; the size is counted against the limits.
func digestOf(file string, size int64, path string, count *counter) (release.Digest, error) {
	if err := count.add(size); err != nil {
		return release.Digest{}, err
	}
	opened, err := os.Open(file) // #nosec G304 -- inside the work tree
	if err != nil {
		return release.Digest{}, fmt.Errorf("reading %q: %w", path, rootError(err))
	}
	defer opened.Close() //nolint:errcheck // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(opened, maxBytes)); err != nil {
		return release.Digest{}, fmt.Errorf("reading %q: %w", path, rootError(err))
	}
	return release.DigestOfSum(sum), nil
}

// compareFiles returns an error if a file has changed since its digest was recorded, because the evidence would name other content.
func (r Runner) compareFiles(check release.Check) error {
	count := &counter{}
	for _, file := range check.Command.Files {
		if file.Digest.IsZero() {
			continue
		}
		digest, err := r.digest(file.Path, count)
		if err != nil {
			return err
		}
		if digest != file.Digest {
			return fmt.Errorf("%q was changed while smoke ran, so that the evidence would name other content", file.Path)
		}
	}
	return nil
}
