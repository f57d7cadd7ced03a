package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
)

// cache stores packaged charts on the disk: each content under its digest, for each address from which a chart was fetched the digest of its content, and
// the manifests of charts that are named by digest. An entry is used only if its content has the digest that it is stored under. The zero value stores
// nothing.
type cache struct {
	dir string // "": no cache
	log func(line string)
}

// chartContent is the media type of a packaged chart in a manifest. Source: Helm HIP 6, "OCI Support".
const chartContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// maxManifest bounds the manifest of a chart, in bytes.
const maxManifest = 4 << 20

// fetch fetches a package and stores it. If the server does not answer, fetch returns the stored copy of the same address, and logs that.
func (c cache) fetch(place string, fetch func() ([]byte, error)) ([]byte, error) {
	packed, err := fetch()
	switch {
	case c.dir == "":
		return packed, err
	case err == nil:
		c.warn(place, c.write(place, packed))
		return packed, nil
	case !isUnanswered(err):
		return nil, err
	}
	kept, found := c.read(place)
	if !found {
		return nil, err
	}
	c.log(fmt.Sprintf("WARNING: chart %q cannot be fetched: the copy in the chart-cache is used: %v", place, err))
	return kept, nil
}

// fetchPinned returns the package of a manifest with a digest. It sends no request if the cache has a manifest with that digest and the content that it names.
func (c cache) fetchPinned(digest release.Digest, fetch func() (packed, manifest []byte, err error)) ([]byte, error) {
	name := filepath.Join(c.dir, "manifests", strings.TrimPrefix(digest.String(), "sha256:"))
	if c.dir != "" {
		if kept, found := c.readPinned(name); found {
			return kept, nil
		}
	}
	packed, manifest, err := fetch()
	if err == nil && c.dir != "" {
		err := writeWhole(filepath.Join(c.dir, "sha256", digestName(packed)), packed)
		if err == nil {
			err = writeWhole(name, manifest)
		}
		c.warn(digest.String(), err)
	}
	return packed, err
}

// warn logs that a chart could not be stored.
func (c cache) warn(chart string, err error) {
	if err != nil {
		c.log(fmt.Sprintf("WARNING: chart %q could not be stored in the chart-cache: %v", chart, err))
	}
}

// readPinned returns the content that a stored manifest names; false if one of them is missing or damaged.
func (c cache) readPinned(name string) ([]byte, bool) {
	content, err := readAtMost(name, maxManifest)
	if err != nil || digestName(content) != filepath.Base(name) {
		return nil, false
	}
	var manifest struct {
		Layers []struct{ MediaType, Digest string }
	}
	if json.Unmarshal(content, &manifest) != nil {
		return nil, false
	}
	for _, layer := range manifest.Layers {
		if digest, err := release.ParseDigest(layer.Digest); err == nil && layer.MediaType == chartContent {
			return c.content(digest)
		}
	}
	return nil, false
}

func digestName(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// read returns the stored copy of an address; false if there is none, or if it is damaged.
func (c cache) read(place string) ([]byte, bool) {
	name, err := readAtMost(filepath.Join(c.dir, "places", digestName([]byte(place))), 100)
	if err != nil {
		return nil, false
	}
	digest, err := release.ParseDigest(strings.TrimSpace(string(name)))
	if err != nil {
		return nil, false
	}
	return c.content(digest)
}

// content returns the content that is stored under a digest; false if there is none, or if it is damaged.
func (c cache) content(digest release.Digest) ([]byte, bool) {
	name := strings.TrimPrefix(digest.String(), "sha256:")
	content, err := readAtMost(filepath.Join(c.dir, "sha256", name), chart.MaxBytes)
	if err != nil || digestName(content) != name {
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

// write stores the content of an address.
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
