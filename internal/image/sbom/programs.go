package sbom

import (
	"archive/tar"
	"bytes"
	"context"
	cryptosha256 "crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Limits of what is read of one image, so that a layer that unpacks to more than a disk holds is an error.
const (
	maxUnpacked = 64 << 30 // bytes of all layers
	maxEntries  = 5_000_000
	maxPrograms = 1000
)

// program is a Go program in an image.
type program struct {
	path   string // absolute
	digest string // of its file
	info   *buildinfo.BuildInfo
}

// magics begin the programs that the Go linker writes for the systems of images: ELF, and PE of Windows.
var magics = [][]byte{{0x7f, 'E', 'L', 'F'}, {'M', 'Z'}}

// findPrograms returns the Go programs that a container of the layers sees, in the order of their paths.
func findPrograms(ctx context.Context, layers []v1.Layer, scratch string) ([]program, error) {
	reading := &reader{unpacked: maxUnpacked, entries: maxEntries, scratch: filepath.Join(scratch, "program")}
	defer os.Remove(reading.scratch)
	seen := map[string]program{}
	for i, layer := range layers {
		if err := reading.layer(ctx, layer, seen); err != nil {
			return nil, fmt.Errorf("reading layer %d: %w", i+1, err)
		}
	}
	programs := make([]program, 0, len(seen))
	for _, name := range sortedKeys(seen) {
		programs = append(programs, seen[name])
	}
	return programs, nil
}

// reader reads layers within limits.
type reader struct {
	unpacked, entries int64  // that are left
	scratch           string // file
}

// layer changes what the layers below show: entries replace what has their path, and whiteouts remove it.
// Source: OCI image-spec, layer.md, "Applying Changesets" and "Whiteouts".
func (r *reader) layer(ctx context.Context, layer v1.Layer, seen map[string]program) error {
	content, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()
	limited := &io.LimitedReader{R: content, N: r.unpacked}
	archive := tar.NewReader(limited)
	own := map[string]program{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if r.entries--; err == nil && (r.entries < 0 || limited.N <= 0) {
			err = errors.New("the image unpacks to more than is read")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + header.Name)
		dir, base := path.Split(name)
		hidden, isWhiteout := strings.CutPrefix(base, ".wh.")
		switch {
		case base == ".wh..wh..opq":
			remove(seen, strings.TrimSuffix(dir, "/"), false)
			continue
		case isWhiteout:
			remove(seen, dir+hidden, true)
			continue
		case header.Typeflag == tar.TypeDir:
			delete(seen, name)
			continue
		}
		remove(seen, name, true)
		delete(own, name)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		info, digest, err := r.program(archive)
		if err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
		if info != nil {
			own[name] = program{path: name, digest: digest, info: info}
		}
	}
	for name, found := range own {
		seen[name] = found
	}
	if r.unpacked = limited.N; len(seen) > maxPrograms {
		return fmt.Errorf("the image has more than %d Go programs", maxPrograms)
	}
	return nil
}

// remove removes what is below a path, and the path itself if that is asked for.
func remove(seen map[string]program, name string, itself bool) {
	for at := range seen {
		if itself && at == name || strings.HasPrefix(at, name+"/") {
			delete(seen, at)
		}
	}
}

// program reads a file; nil if it is not a Go program.
func (r *reader) program(file io.Reader) (info *buildinfo.BuildInfo, digest string, err error) {
	first := make([]byte, 4)
	n, err := io.ReadFull(file, first)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, "", nil // shorter than a program
	}
	if err != nil {
		return nil, "", err
	}
	if !slices.ContainsFunc(magics, func(magic []byte) bool { return bytes.HasPrefix(first, magic) }) {
		return nil, "", nil
	}
	copied, err := os.OpenFile(r.scratch, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer copied.Close()
	hash := cryptosha256.New()
	if _, err := io.Copy(io.MultiWriter(copied, hash), io.MultiReader(bytes.NewReader(first[:n]), file)); err != nil {
		return nil, "", err
	}
	if info, err = buildinfo.Read(copied); err != nil {
		return nil, "", nil //nolint:nilerr // another linker's program
	}
	return info, "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}
