package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/onedigest/onedigest/internal/release"
)

// layoutFiles matches the files of an OCI image layout (OCI image-spec, image-layout.md). Other files in a builder's archive,
// such as docker's manifest.json, are not part of the image.
var layoutFiles = regexp.MustCompile(`^(?:oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// unpack unpacks the tar archive of a layout into dir, removes the archive, and reads the layout.
func unpack(archive, dir string) (release.Layout, error) {
	file, err := os.Open(archive) // #nosec G304 -- in our own scratch directory
	if err != nil {
		return release.Layout{}, err
	}
	defer os.Remove(archive)
	defer file.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return release.Layout{}, err
	}
	for entries := tar.NewReader(file); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return readLayout(dir)
		}
		if err != nil {
			return release.Layout{}, fmt.Errorf("unpacking %q: %w", filepath.Base(archive), err)
		}
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg || !layoutFiles.MatchString(name) {
			continue
		}
		if err := save(filepath.Join(dir, filepath.FromSlash(name)), entries); err != nil {
			return release.Layout{}, fmt.Errorf("unpacking %q: %w", name, err)
		}
	}
}

// save writes a new file; one that exists is an error.
func save(name string, content io.Reader) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600) // #nosec G304 -- a name of layoutFiles, in our own scratch directory
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
