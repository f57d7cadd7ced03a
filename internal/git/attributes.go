package git

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

const attributesFile = ".gitattributes"

// committedAttributes finds out whether the attributes that git uses are those of a commit. A commit's attributes are in the
// .gitattributes files between the top and the file (gitattributes(5)). Every command turns off the system's and the user's
// attributes. Those of the repository, $GIT_DIR/info/attributes, cannot be turned off.
type committedAttributes struct {
	foreign map[string]string // by directory, "" for the top: the nearest file with attributes that are not the commit's; "" if there is none
	filters *bool             // whether the commit has a filter attribute anywhere; nil: unknown
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
		return !committed, nil
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

// withoutIndex makes git read attributes only from the work tree. Otherwise git would use the index's copy of a .gitattributes
// that is missing in the work tree.
func (r repository) withoutIndex(ctx context.Context) (repository, error) {
	absent, err := r.path(ctx, "onedigest-no-index") // git treats an index that does not exist as empty
	if err == nil {
		r.environ = append(r.environ[:len(r.environ):len(r.environ)], "GIT_INDEX_FILE="+absent)
	}
	return r, err
}
