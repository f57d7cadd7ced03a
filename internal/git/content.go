package git

import (
	"bytes"
	"context"
	"crypto/sha1" // #nosec G505 -- git's object ids
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// compare compares files on disk with the tree's, by the rules of the inputs.
func (t *commitTree) compare(ctx context.Context, paths []string, inputs release.Inputs) ([]release.Difference, error) {
	remove, err := t.provideAttributes(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	filters, err := t.filters(ctx, paths)
	if err != nil {
		return nil, err
	}
	var differences []release.Difference
	for _, path := range paths {
		kind, note, same, err := t.compareFile(ctx, path, filters[path], inputs)
		if err != nil {
			return nil, fmt.Errorf("comparing %q with its commit: %w", t.prefix+path, err)
		}
		if !same {
			differences = append(differences, release.Difference{Kind: kind, Path: t.prefix + path, Note: note})
		}
	}
	return differences, nil
}

// compareFile compares one file with the tree. filter is its filter attribute, or "".
func (t *commitTree) compareFile(ctx context.Context, path, filter string, inputs release.Inputs) (kind release.DifferenceKind, note string, same bool, err error) {
	want, committed := t.entries[path]
	file := t.file(path)
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDir(err):
		return release.MissingFile, "", !committed, nil
	case err != nil:
		return 0, "", false, err
	case info.IsDir() && !committed:
		return release.NotInCommit, "a directory", t.hasBelow(path), nil
	case want.mode == modeSubmodule:
		return 0, "", true, nil // its files are compared one by one
	case !committed:
		return release.NotInCommit, "", false, nil
	case want.mode == modeSymlink:
		target, err := os.Readlink(file)
		return release.DifferentContent, "", err == nil && blobID([]byte(target), want.object) == want.object, nil
	case !info.Mode().IsRegular():
		return release.DifferentContent, "not a file", false, nil
	case inputs.Modes && (want.mode == modeExecutable) != (info.Mode()&0o111 != 0):
		return release.DifferentContent, "its mode", false, nil
	}
	got, err := fileID(file, want.object)
	if err != nil {
		return 0, "", false, err
	}
	if inputs.Stored && got == want.object {
		return 0, "", true, nil
	}
	foreign, err := t.foreignAttributes(ctx, path)
	if err != nil {
		return 0, "", false, err
	}
	if foreign != "" && got == want.object {
		uses, err := t.usesFilters(ctx)
		if err != nil || !uses {
			return 0, "", err == nil, err
		}
	}
	kind, note, same, err = t.compareContent(ctx, path, filter, got)
	if foreign != "" && (same || kind != release.DifferentContent) && err == nil {
		return release.ForeignAttributes, "by " + foreign, false, nil
	}
	return kind, note, same, err
}

// compareContent compares a file on disk with what a checkout of the commit would write, under the attributes in force in the
// work tree: Git LFS, another filter, or conversion by eol, ident and encoding. got is the blob ID of the file's bytes. kind and
// note describe the difference if same is false.
func (t *commitTree) compareContent(ctx context.Context, path, filter, got string) (kind release.DifferenceKind, note string, same bool, err error) {
	same = got == t.entries[path].object
	switch {
	case filter == "lfs":
		return t.compareLFS(ctx, path, same)
	case filter != "":
		return t.compareFiltered(ctx, path, filter, got)
	case same:
		return 0, "", true, nil
	}
	return t.compareConverted(ctx, path)
}

// isNotDir reports whether a parent of a path is not a directory (ENOTDIR).
func isNotDir(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && strings.Contains(path.Err.Error(), "not a directory")
}

// filters returns the filter attribute of each path that has one (gitattributes(5)).
func (t *commitTree) filters(ctx context.Context, paths []string) (map[string]string, error) {
	repo, err := t.committedAttributesOnly(ctx)
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	if err := repo.pipe(ctx, strings.NewReader(strings.Join(paths, "\x00")+"\x00"), &output, "check-attr", "-z", "--stdin", "filter"); err != nil {
		return nil, t.repo.fault(err, "reading the attributes of")
	}
	filters := map[string]string{}
	fields := strings.Split(output.String(), "\x00") // path, attribute, value
	for ; len(fields) >= 3; fields = fields[3:] {
		switch fields[2] {
		case "unspecified", "unset", "set":
		default:
			filters[fields[0]] = fields[2]
		}
	}
	return filters, nil
}

// lfsPointer matches a Git LFS pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md); its size is below 1024 bytes.
var lfsPointer = regexp.MustCompile(`^version https?://[^\n]+\n(?:[^\n]+\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n`)

// compareLFS compares a file that Git LFS stores. raw: the file on disk has the commit's own content, usually the pointer.
func (t *commitTree) compareLFS(ctx context.Context, path string, raw bool) (release.DifferenceKind, string, bool, error) {
	committed, err := t.repo.git(ctx, "cat-file", "blob", t.entries[path].object)
	if err != nil {
		return 0, "", false, err
	}
	pointer := lfsPointer.FindStringSubmatch(committed)
	switch {
	case raw:
		return release.UnresolvedPointer, "", pointer == nil, nil
	case pointer == nil:
		return release.DifferentContent, "", false, nil
	}
	content := sha256.New()
	size, err := hashFile(content, t.file(path))
	same := fmt.Sprint(size) == pointer[2] && hex.EncodeToString(content.Sum(nil)) == pointer[1]
	return release.DifferentContent, "", same, err
}

// compareFiltered compares a file with the output of its filter for the commit's content, because a filter may map different
// files to the same content. A filter without a smudge command writes the content unchanged (gitattributes(5), "filter").
func (t *commitTree) compareFiltered(ctx context.Context, path, filter, got string) (release.DifferenceKind, string, bool, error) {
	if _, err := t.repo.git(ctx, "config", "--get-regexp", `^filter\.`+regexp.QuoteMeta(filter)+`\.(clean|smudge|process)$`); err != nil {
		return release.UnavailableFilter, "filter=" + filter, false, nil
	}
	same, err := t.isCheckedOut(ctx, path, got)
	return release.DifferentContent, "filter=" + filter, same, err
}

// compareConverted compares a file that differs from the commit's content with the conversion of that content by .gitattributes
// (eol, ident, working-tree-encoding).
func (t *commitTree) compareConverted(ctx context.Context, path string) (release.DifferenceKind, string, bool, error) {
	got, err := fileID(t.file(path), t.entries[path].object)
	if err != nil {
		return 0, "", false, err
	}
	if same, err := t.isCheckedOut(ctx, path, got); same || err != nil {
		return 0, "", same, err
	}
	cleaned, err := t.repo.git(ctx, "hash-object", "--path="+path, "--", t.file(path))
	if err == nil && strings.TrimSpace(cleaned) == t.entries[path].object {
		return release.ConvertedByMachine, "", false, nil
	}
	return release.DifferentContent, "", false, nil
}

// isCheckedOut reports whether a file's id equals that of the file that git would check out on a machine without settings for
// line endings.
func (t *commitTree) isCheckedOut(ctx context.Context, path, got string) (bool, error) {
	repo, err := t.committedAttributesOnly(ctx)
	if err != nil {
		return false, err
	}
	var checkedOut bytes.Buffer
	err = repo.stream(ctx, &checkedOut, "-c", "core.autocrlf=false", "-c", "core.eol=lf", "cat-file", "--filters", "--path="+path, t.entries[path].object)
	var exit *exitError
	if errors.As(err, &exit) {
		return false, nil // a filter that fails
	}
	return err == nil && blobID(checkedOut.Bytes(), got) == got, err
}

// newBlobHash returns a hash that has read git's blob header; the length of an object id decides between SHA-1 and SHA-256.
func newBlobHash(size int64, like string) hash.Hash {
	sum := sha1.New() // #nosec G401 -- git's object ids
	if len(like) == hex.EncodedLen(sha256.Size) {
		sum = sha256.New()
	}
	fmt.Fprintf(sum, "blob %d\x00", size)
	return sum
}

// blobID returns the id of a blob with this content, by the hash function of the given id.
func blobID(content []byte, like string) string {
	sum := newBlobHash(int64(len(content)), like)
	sum.Write(content)
	return hex.EncodeToString(sum.Sum(nil))
}

// fileID returns the id of a blob with the content of a file.
func fileID(file, like string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	sum := newBlobHash(info.Size(), like)
	if _, err := hashFile(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(sum hash.Hash, name string) (int64, error) {
	file, err := os.Open(name) // #nosec G304 -- an input of the image, inside the work tree
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return io.Copy(sum, file)
}
