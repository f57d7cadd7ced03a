package git

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const attributesFile = ".gitattributes"

// committedAttributes finds out whether the attributes that git uses are those of a commit. A commit's attributes are in the
// .gitattributes files between the top and the file (gitattributes(5)). Every command turns off the system's and the user's
// attributes. Those of the repository, $GIT_DIR/info/attributes, cannot be turned off.
type committedAttributes struct {
	foreign map[string]string // by directory, "" for the top: the nearest file with attributes that are not the commit's; "" if there is none
	filters *bool             // whether the commit has a filter attribute anywhere; nil: unknown
	dir     string            // a work tree that holds the commit's files of attributes; "": the work tree itself
}

// foreignAttributes returns the file that gives a path attributes which the commit does not have; "" if there is none.
func (t *commitTree) foreignAttributes(ctx context.Context, name string) (string, error) {
	dir, _ := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if known, found := t.attributes.foreign[dir]; found {
		return known, nil
	}
	foreign, err := t.readForeign(ctx, dir)
	if err == nil {
		t.attributes.foreign[dir] = foreign
	}
	return foreign, err
}

// readForeign finds the nearest file with attributes that the commit does not have, for a directory.
func (t *commitTree) readForeign(ctx context.Context, dir string) (string, error) {
	own, err := t.isCommitted(path.Join(dir, attributesFile))
	switch {
	case err != nil:
		return "", err
	case !own:
		return t.prefix + path.Join(dir, attributesFile), nil
	case dir != "":
		return t.foreignAttributes(ctx, dir)
	}
	info, err := t.repo.path(ctx, "info/attributes")
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(info) // #nosec G304 -- of the repository itself
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return info, nil
		}
	}
	return "", nil
}

// isCommitted reports whether a file of attributes has the commit's content. It ignores line endings: git converts this file too,
// and reads a carriage return as a blank.
func (t *commitTree) isCommitted(name string) (bool, error) {
	want, committed := t.entries[name]
	info, err := os.Lstat(t.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDir(err):
		return true, nil // the commit's is used (provideAttributes)
	case err != nil:
		return false, err
	case !committed || !info.Mode().IsRegular():
		return false, nil
	}
	content, err := os.ReadFile(t.file(name))
	return blobID(content, want.object) == want.object || blobID(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), want.object) == want.object, err
}

// usesFilters reports whether any .gitattributes of the commit contains a filter attribute.
func (t *commitTree) usesFilters(ctx context.Context) (bool, error) {
	if t.attributes.filters != nil {
		return *t.attributes.filters, nil
	}
	uses := false
	for _, name := range t.paths {
		if path.Base(name) != attributesFile || t.entries[name].mode == modeSubmodule {
			continue
		}
		content, err := t.repo.git(ctx, "cat-file", "blob", t.entries[name].object)
		if err != nil {
			return false, t.repo.fault(err, "reading the attributes of")
		}
		uses = uses || strings.Contains(content, "filter")
	}
	t.attributes.filters = &uses
	return uses, nil
}

// provideAttributes lets git use the commit's files of attributes if one of them is missing in the work tree, as a checkout does that leaves it
// out (git-sparse-checkout(1)). remove is called when the comparison is done.
func (t *commitTree) provideAttributes(ctx context.Context) (remove func(), err error) {
	isMissing := func(name string) bool {
		_, err := os.Lstat(t.file(name))
		return t.isAttributesFile(name) && err != nil
	}
	if !slices.ContainsFunc(t.paths, isMissing) {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "onedigest-attributes-")
	if err != nil {
		return nil, err
	}
	remove = func() {
		t.attributes.dir = ""
		_ = os.RemoveAll(dir)
	}
	for _, name := range t.paths {
		if !t.isAttributesFile(name) {
			continue
		}
		if err := t.writeAttributes(ctx, name, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			remove()
			return nil, t.repo.fault(err, "reading the attributes of")
		}
	}
	t.attributes.dir = dir
	return remove, nil
}

// writeAttributes writes the commit's content of a file of attributes.
func (t *commitTree) writeAttributes(ctx context.Context, name, file string) error {
	content, err := t.repo.git(ctx, "cat-file", "blob", t.entries[name].object)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o600)
}

func (t *commitTree) isAttributesFile(name string) bool {
	mode := t.entries[name].mode
	return path.Base(name) == attributesFile && mode != modeSubmodule && mode != modeSymlink // git follows no link here
}

// committedAttributesOnly makes git read attributes only from the work tree, or from the commit's own files where one is missing there. Otherwise git
// would use the index's copy of it.
func (t *commitTree) committedAttributesOnly(ctx context.Context) (repository, error) {
	repo := t.repo
	absent, err := repo.path(ctx, "onedigest-no-index") // git treats an index that does not exist as empty
	if err != nil {
		return repo, err
	}
	environ := slices.Concat(repo.environ, []string{"GIT_INDEX_FILE=" + absent})
	if t.attributes.dir != "" {
		gitDir, err := repo.git(ctx, "rev-parse", "--absolute-git-dir")
		if err != nil {
			return repo, err
		}
		repo.dir = t.attributes.dir
		environ = append(environ, "GIT_DIR="+strings.TrimRight(gitDir, "\n"), "GIT_WORK_TREE="+repo.dir)
	}
	repo.environ = environ
	return repo, nil
}
