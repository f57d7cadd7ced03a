package source

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
)

// cache keeps packaged charts on the disk: each content by its digest, and for each place where a chart was fetched from the digest of what was
// there. Nothing of it is used unless its content has the digest by which it is kept. The zero value keeps nothing.
type cache struct {
	dir string // "": no cache
	log func(line string)
}

// fetch fetches a package and keeps it. Where the server does not answer, what was kept of the same place is returned, which is logged. A place whose
// name is a digest always has the same content: what is kept of it is returned without a request.
func (c cache) fetch(place string, immutable bool, fetch func() ([]byte, error)) ([]byte, error) {
	if c.dir == "" {
		return fetch()
	}
	if immutable {
		if kept, found := c.read(place); found {
			return kept, nil
		}
	}
	packed, err := fetch()
	if err == nil {
		if failed := c.write(place, packed); failed != nil {
			c.log(fmt.Sprintf("WARNING: chart %q is not kept in the chart-cache: %v", place, failed))
		}
		return packed, nil
	}
	if release.ExitCode(err) == release.ExitInput {
		return nil, err
	}
	kept, found := c.read(place)
	if !found {
		return nil, err
	}
	c.log(fmt.Sprintf("WARNING: chart %q cannot be fetched: what the chart-cache has kept of it is used: %v", place, err))
	return kept, nil
}

func digestName(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// read returns what is kept of a place; false if nothing is, or if it is damaged.
func (c cache) read(place string) ([]byte, bool) {
	name, err := readAtMost(filepath.Join(c.dir, "places", digestName([]byte(place))), 100)
	if err != nil {
		return nil, false
	}
	digest, err := release.ParseDigest(strings.TrimSpace(string(name)))
	if err != nil {
		return nil, false
	}
	hexDigits := strings.TrimPrefix(digest.String(), "sha256:")
	content, err := readAtMost(filepath.Join(c.dir, "sha256", hexDigits), chart.MaxBytes)
	if err != nil || digestName(content) != hexDigits {
		return nil, false
	}
	return content, true
}

// readAtMost reads a regular file. One that is larger than limit bytes is an error.
func readAtMost(path string, limit int64) (content []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%q is not a file of at most %d bytes", path, limit)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(file, limit))
}

// write keeps the content of a place.
func (c cache) write(place string, content []byte) error {
	name := digestName(content)
	if err := writeWhole(filepath.Join(c.dir, "sha256", name), content); err != nil {
		return err
	}
	return writeWhole(filepath.Join(c.dir, "places", digestName([]byte(place))), []byte("sha256:"+name+"\n"))
}

// writeWhole writes a file so that no other run reads a part of it.
func writeWhole(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
