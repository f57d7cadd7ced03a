// Package static makes the layer of an image that has files of the build context.
package static

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Files lists the regular files that are named in a context or below directories of it, absolute. It refuses links and other files: their targets are not
// compared with the commit. It also refuses two files with one path in the image, one in the place of another's directory, and one that is the program, below its
// path or in the place of its directory; program may be "".
func Files(context, program string, dirs map[string]string) (files []string, err error) {
	sources := map[string]string{}
	err = each(context, dirs, func(_ fs.FS, name, target string, entry fs.DirEntry) error {
		if entry.IsDir() {
			return nil
		}
		if program != "" && (target == program || strings.HasPrefix(target, program+"/") || strings.HasPrefix(program, target+"/")) {
			return fmt.Errorf("%q would be %q, where the program is", name, target)
		}
		if other, taken := sources[target]; taken {
			return fmt.Errorf("%q and %q would both be %q", other, name, target)
		}
		sources[target] = name
		files = append(files, filepath.Join(context, filepath.FromSlash(name)))
		return nil
	})
	for _, target := range slices.Sorted(maps.Keys(sources)) {
		for dir := path.Dir(target); err == nil && dir != "/"; dir = path.Dir(dir) {
			if other, taken := sources[dir]; taken {
				err = fmt.Errorf("%q would be %q, which is a directory with %q", other, dir, sources[target])
			}
		}
	}
	return files, err
}

// each visits the named files, and the directories and files of every named directory, in the order of their names. target is the path in the image.
func each(context string, dirs map[string]string, visit func(from fs.FS, name, target string, entry fs.DirEntry) error) error {
	root, err := os.OpenRoot(context)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	from := root.FS()
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		dir, to := path.Clean(dir), dirs[dir]
		info, err := root.Lstat(dir)
		switch {
		case err != nil:
			return err
		case info.Mode().IsRegular():
			if err := visit(from, dir, to, fs.FileInfoToDirEntry(info)); err != nil {
				return err
			}
			continue
		case !info.IsDir():
			return fmt.Errorf("%q is neither a file nor a directory", dir)
		}
		err = fs.WalkDir(from, dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !entry.IsDir() && !entry.Type().IsRegular() {
				return fmt.Errorf("%q is neither a file nor a directory", name)
			}
			return visit(from, name, path.Join(to, strings.TrimPrefix(name, dir)), entry)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Write writes a layer, a gzipped tar, with the named files and those below the named directories: each directory of the context at its path in the image, owned
// by root, files of mode 0644, all with one time. Equal files make equal bytes. Directories without files are left out: git has none.
func Write(file, context string, dirs map[string]string, created time.Time) (err error) {
	layer, err := os.Create(file) // #nosec G304 -- in the builder's scratch directory
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := layer.Close(); err == nil {
			err = closeErr
		}
	}()
	buffered := bufio.NewWriterSize(layer, 1<<20)
	zipped := gzip.NewWriter(buffered)
	archived := tar.NewWriter(zipped)
	var parents []tar.Header // of the files that follow, or of none
	err = each(context, dirs, func(from fs.FS, name, target string, entry fs.DirEntry) error {
		header := tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(target, "/") + "/", Mode: 0o755, ModTime: created.UTC().Truncate(time.Second)}
		if entry.IsDir() {
			parents = append(parents, header)
			return nil
		}
		for _, parent := range parents {
			if strings.HasPrefix(header.Name, parent.Name) {
				if err := archived.WriteHeader(&parent); err != nil {
					return err
				}
			}
		}
		parents = nil
		source, err := from.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		header.Typeflag, header.Name, header.Mode, header.Size = tar.TypeReg, strings.TrimSuffix(header.Name, "/"), 0o644, info.Size()
		if err := archived.WriteHeader(&header); err != nil {
			return err
		}
		_, err = io.Copy(archived, source)
		return err
	})
	if err != nil {
		return err
	}
	for _, finish := range []func() error{archived.Close, zipped.Close, buffered.Flush} {
		if err := finish(); err != nil {
			return err
		}
	}
	return nil
}
