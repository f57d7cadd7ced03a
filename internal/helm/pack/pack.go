// Package pack packages a chart for publishing, so that the same files always give the same bytes.
package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Package is a packaged chart.
type Package struct {
	Name, Version string
	Config        []byte // its metadata as JSON: the config of its OCI manifest (Helm HIP 6)
	Content       []byte // tar and gzip
}

// Chart packages the chart of a directory, or of another package, without what its .helmignore excludes. Times, owners and modes of the files
// do not count; the bytes depend on the files and on Go's gzip alone. A chart that is not valid, or not complete, is an *release.InputError.
func Chart(path string) (Package, error) {
	refuse := func(err error) (Package, error) {
		return Package{}, release.BadSetting("chart", fmt.Sprintf("%q: %s", path, text.Line(err.Error(), text.NoLimit)), "name a directory with a complete chart")
	}
	files, err := chart.ReadFiles(path)
	if err != nil {
		return refuse(err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return refuse(err)
	}
	if err := errors.Join(loaded.Validate(), action.CheckDependencies(loaded, loaded.Metadata.Dependencies)); err != nil {
		return refuse(err)
	}
	config, err := json.Marshal(loaded.Metadata)
	if err != nil {
		return refuse(err)
	}
	content, err := archive(loaded.Name(), files)
	return Package{Name: loaded.Name(), Version: loaded.Metadata.Version, Config: config, Content: content}, err
}

// archive packs files below a directory, sorted by name.
func archive(dir string, files []*loader.BufferedFile) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b *loader.BufferedFile) int { return strings.Compare(a.Name, b.Name) })
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archived := tar.NewWriter(zipped)
	for _, file := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: dir + "/" + file.Name, Mode: 0o644, Size: int64(len(file.Data)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := archived.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packaging %q: %w", file.Name, err)
		}
		if _, err := archived.Write(file.Data); err != nil {
			return nil, fmt.Errorf("packaging %q: %w", file.Name, err)
		}
	}
	if err := errors.Join(archived.Close(), zipped.Close()); err != nil {
		return nil, fmt.Errorf("packaging %q: %w", dir, err)
	}
	return packed.Bytes(), nil
}
