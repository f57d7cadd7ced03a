package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/ignore"
)

// Limits of a chart, in files and unpacked bytes, its dependencies included. A larger one would not fit into Helm's release
// record, which is a Secret of at most 1 MiB.
const (
	maxFiles = 2000
	maxBytes = 8 << 20
)

const (
	// maxEntries is how many entries of a directory are read at most, including those that .helmignore excludes.
	maxEntries = 50_000
	// maxHeaders is how many bytes of an archive its headers may be: three blocks of tar for each file.
	maxHeaders = 3 * 512 * maxFiles
)

// budget is the number of files and bytes that a chart may still have.
type budget struct {
	files int
	bytes int64
}

// take subtracts a file.
func (b *budget) take(size int64) error {
	b.files, b.bytes = b.files-1, b.bytes-size
	switch {
	case b.files < 0:
		return fmt.Errorf("it has more than %d files", maxFiles)
	case b.bytes < 0:
		return fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	return nil
}

// ReadFiles reads the files of a chart, a directory or an archive, as Helm does: without what .helmignore excludes, and following symbolic links inside
// the chart. It refuses a link out of the chart, and reads or unpacks nothing beyond the limits. Helm itself follows such links, whose content may end up in the
// cluster, and unpacks up to 100 MiB from each nested archive.
func ReadFiles(chart string) ([]*loader.BufferedFile, error) {
	info, err := os.Stat(chart)
	if err != nil {
		return nil, err
	}
	left := &budget{files: maxFiles, bytes: maxBytes}
	var files []*loader.BufferedFile
	switch {
	case info.IsDir():
		files, err = readDirectory(chart, left)
	case info.Mode().IsRegular():
		files, err = readArchive(chart, left)
	default:
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, err
	}
	return files, checkNested(files, left)
}

// readDirectory reads a chart's files within the budget, without those that .helmignore excludes. It refuses a symbolic link out of
// the directory.
func readDirectory(chart string, left *budget) (files []*loader.BufferedFile, err error) {
	root, err := filepath.EvalSymlinks(chart)
	if err != nil {
		return nil, err
	}
	rules, err := readIgnore(root)
	if err != nil {
		return nil, err
	}
	entries := 0
	return files, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if entries++; entries > maxEntries {
			return fmt.Errorf("its directory has more than %d entries", maxEntries)
		}
		if err != nil || file == root {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case rules.Ignore(name, info) && entry.IsDir():
			return filepath.SkipDir
		case entry.IsDir() || rules.Ignore(name, info):
			return nil
		}
		content, err := readFile(root, file, name, left)
		if err != nil {
			return err
		}
		files = append(files, &loader.BufferedFile{Name: name, Data: content})
		return nil
	})
}

// readIgnore reads the .helmignore of a chart's directory.
func readIgnore(root string) (*ignore.Rules, error) {
	rules, file := ignore.Empty(), filepath.Join(root, ignore.HelmIgnore)
	if _, err := os.Stat(file); err == nil {
		content, err := readFile(root, file, ignore.HelmIgnore, &budget{files: 1, bytes: maxBytes})
		if err != nil {
			return nil, err
		}
		if rules, err = ignore.Parse(bytes.NewReader(content)); err != nil {
			return nil, fmt.Errorf("reading %q: %w", ignore.HelmIgnore, err)
		}
	}
	rules.AddDefaults()
	return rules, nil
}

// utf8BOM may begin a file; Helm drops it.
var utf8BOM = []byte{0xEF, 0xBB, 0xBF}

// readFile reads a file of a chart's directory. It refuses a symbolic link out of the chart, and one to a directory, which could
// contain the link.
func readFile(root, file, name string, left *budget) ([]byte, error) {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, err
	}
	isLink := target != file
	if isLink && !strings.HasPrefix(target, root+string(filepath.Separator)) {
		return nil, fmt.Errorf("%q is a symbolic link out of the chart", name)
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return nil, err
	case isLink && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is a symbolic link to something that is not a regular file", name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	if err := left.take(info.Size()); err != nil {
		return nil, err
	}
	opened, err := os.Open(target)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(opened, info.Size()))
	return bytes.TrimPrefix(content, utf8BOM), errors.Join(err, opened.Close())
}

// readArchive reads a packaged chart.
func readArchive(file string, left *budget) ([]*loader.BufferedFile, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	files, err := unpack(packed, left)
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) {
		err = errors.New("it is not a gzipped archive")
	}
	return files, err
}

// unpack unpacks a packaged chart within the budget.
func unpack(packed []byte, left *budget) ([]*loader.BufferedFile, error) {
	if err := checkArchive(packed, left); err != nil {
		return nil, err
	}
	return loader.LoadArchiveFiles(bytes.NewReader(packed))
}

// checkArchive subtracts the unpacked size of an archive from the budget.
func checkArchive(packed []byte, left *budget) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	limit := left.bytes + maxHeaders
	limited := &io.LimitedReader{R: unzipped, N: limit}
	archive := tar.NewReader(limited)
	for {
		header, err := archive.Next()
		switch {
		case limited.N == 0:
			return left.take(limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := left.take(header.Size); err != nil { // the size of a sparse file includes its holes
			return err
		}
	}
}

// checkNested subtracts the unpacked size of the packaged dependencies, and of their dependencies, from the budget. It ignores
// files that are not archives, because Helm reports them.
func checkNested(files []*loader.BufferedFile, left *budget) error {
	for _, file := range files {
		if path.Ext(file.Name) != ".tgz" || path.Base(path.Dir(file.Name)) != "charts" {
			continue
		}
		inner, err := unpack(file.Data, left)
		switch {
		case left.files < 0 || left.bytes < 0:
			return fmt.Errorf("unpacking %q: %w", file.Name, err)
		case err != nil:
			continue
		}
		if err := checkNested(inner, left); err != nil {
			return err
		}
	}
	return nil
}

// Unpack returns the files of a packaged chart within the limits.
func Unpack(packed []byte) ([]*loader.BufferedFile, error) {
	left := &budget{files: maxFiles, bytes: maxBytes}
	files, err := unpack(packed, left)
	if err != nil {
		return nil, err
	}
	return files, checkNested(files, left)
}

// MaxBytes is the largest packaged chart that is read, in bytes.
const MaxBytes = maxBytes
