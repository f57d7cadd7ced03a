// Package source fetches a chart from a directory, a package, an OCI registry or a chart repository, adds its missing dependencies, and stores it on the
// disk.
package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Settings that an error may be about.
const (
	settingChart   = "chart"
	settingRepo    = "chart-repo"
	settingVersion = "chart-version"
	settingLogin   = "chart-login"
)

// defaultChart is where a work tree has its chart.
const defaultChart = "charts/service"

// Registry reads packaged charts from OCI registries.
type Registry interface {
	// Chart returns the package and the bytes of its manifest; the reference is a tag or a digest of the manifest.
	Chart(ctx context.Context, repository release.Repository, reference string, limit int64) (packed, manifest []byte, err error)
}

// Options of a Finder.
type Options struct {
	Registry Registry
	Inside   func(path string) (string, error) // resolves a path of the work tree
	Scratch  func() (dir string, err error)    // makes a directory for charts that are fetched or completed; called for each of them
	Common   string                            // the common chart on the disk, where the work tree has none; "": there is none
	Embedded fs.FS                             // the common chart of the program, where there is none on the disk; nil: there is none
	Notice   func(line string)                 // is told that the embedded chart is used; may be nil
	Hosts    []string                          // host or host:port each, that may be private or speak plain HTTP
	Schemas  []string                          // host or host:port each, to which the schema of a chart may refer
	Logins   []release.ChartLogin              // of chart repositories that ask for one
	Cache    string                            // directory that keeps what was fetched, "" for none
	Log      func(line string)                 // may be nil
}

// Finder finds charts. It may be used by several goroutines.
type Finder struct {
	options Options
	web     *web
	cache   cache

	mu    sync.Mutex
	found map[release.ChartRef]release.LocatedChart // fetched before in this run
}

// New returns a Finder; it sends nothing.
func New(options Options) *Finder {
	if options.Log == nil {
		options.Log = func(string) {}
	}
	if options.Notice == nil {
		options.Notice = func(string) {}
	}
	return &Finder{options: options, cache: cache{options.Cache, options.Log}, web: newWeb(options.Hosts, options.Logins), found: map[release.ChartRef]release.LocatedChart{}}
}

// Locate finds a chart and its dependencies. It returns an *release.InputError if the reference names no exact version, if a dependency
// is missing and cannot be fetched, or if Chart.lock does not belong to Chart.yaml, and a *release.Fault if a server does not answer.
func (f *Finder) Locate(ctx context.Context, ref release.ChartRef) (release.LocatedChart, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found, known := f.found[ref]; known {
		return found, nil
	}
	origin, err := f.open(ctx, ref)
	if err != nil {
		return release.LocatedChart{}, err
	}
	if _, err := loader.LoadFiles(origin.files); err != nil && origin.path != "" {
		return release.LocatedChart{Path: origin.path, Source: origin.name}, nil // loading the chart later reports what is wrong, together with problems of the values
	}
	completed, err := f.complete(ctx, origin, 0)
	if err != nil {
		return release.LocatedChart{}, err
	}
	located := release.LocatedChart{Path: origin.path, Digest: digestOf(completed), Source: origin.name}
	if origin.path == "" || len(completed) != len(origin.files) {
		if located.Path, err = f.write(completed); err != nil {
			return release.LocatedChart{}, fmt.Errorf("writing chart %q: %w", origin.name, err)
		}
	}
	f.found[ref] = located
	return located, nil
}

// origin is a chart as it was found.
type origin struct {
	name  string // as errors name it
	path  string // on the disk, "" if it was fetched
	dir   string // directory that file:// dependencies are relative to, "" if it may have none
	files []*loader.BufferedFile
}

// open reads the chart that a reference names: from the work tree, a registry, a chart repository or an address.
func (f *Finder) open(ctx context.Context, ref release.ChartRef) (origin, error) {
	switch {
	case ref.Repository != "":
		return f.openRepository(ctx, ref)
	case strings.HasPrefix(ref.Chart, ociScheme):
		return f.openOCI(ctx, ref)
	case strings.HasPrefix(ref.Chart, "https://"), strings.HasPrefix(ref.Chart, "http://"):
		if ref.Version != "" {
			return origin{}, release.BadSetting(settingVersion, "is given together with the address of a package, which is one version", "leave it out, or give --chart-repo")
		}
		packed, err := f.cache.fetch(ref.Chart, func() ([]byte, error) { return f.web.get(ctx, ref.Chart, chart.MaxBytes, true) })
		if err != nil {
			return origin{}, unreachable(err, "fetching chart %q", ref.Chart)
		}
		return unpacked(ref.Chart, packed)
	}
	if ref.Version != "" {
		return origin{}, release.BadSetting(settingVersion, "is used for a chart in a registry or a repository", "give an oci:// address or --chart-repo, or leave it out")
	}
	return f.openPath(ref.Chart)
}

// commonName is the common chart's name in messages and plans, wherever it is read from.
const commonName = "the common chart"

// openPath reads a chart of the work tree; "" is the default one, or else the common chart.
func (f *Finder) openPath(path string) (origin, error) {
	named := path
	if path == "" {
		named = defaultChart
	}
	absolute, err := f.options.Inside(named)
	if err != nil {
		switch {
		case path == "" && f.options.Common != "":
			return f.openDisk(commonName, f.options.Common), nil
		case path == "" && f.options.Embedded != nil:
			f.options.Notice("chart: the common chart that comes with this program, as no --chart is given and " + err.Error())
			return openEmbedded(f.options.Embedded)
		}
		return origin{}, release.BadSetting(settingChart, err.Error(), "name a path inside the work tree, an oci:// address, or a chart of --chart-repo")
	}
	return f.openDisk(absolute, absolute), nil
}

// openEmbedded reads the common chart of the program.
func openEmbedded(embedded fs.FS) (origin, error) {
	found := origin{name: commonName}
	return found, fs.WalkDir(embedded, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(embedded, path)
		found.files = append(found.files, &loader.BufferedFile{Name: path, Data: data})
		return err
	})
}

// openDisk reads a chart on the disk; one that cannot be read has no files.
func (f *Finder) openDisk(name, path string) origin {
	found, err := read(name, path)
	if err != nil {
		return origin{name: name, path: path}
	}
	return found
}

// read reads a chart's directory or package at a path; name is its name in messages.
func read(name, path string) (origin, error) {
	files, err := chart.ReadFiles(path)
	if err != nil {
		return origin{}, notAChart(name, err)
	}
	found := origin{name: name, path: path, files: files}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		found.dir = path
	}
	return found, nil
}

func unpacked(name string, packed []byte) (origin, error) {
	files, err := chart.Unpack(packed)
	if err != nil {
		return origin{}, notAChart(name, err)
	}
	return origin{name: name, files: files}, nil
}

func notAChart(name string, err error) error {
	return release.BadSetting(settingChart, fmt.Sprintf("reading chart %q: %s", name, text.Line(err.Error(), text.NoLimit)), "name a directory with a Chart.yaml, or a packaged chart")
}

// unreachable returns the error of a chart that could not be fetched: bad input stays what it is, all else is a fault.
func unreachable(err error, format string, subjects ...any) error {
	if release.ExitCode(err) == release.ExitInput {
		return err
	}
	return release.NewFault("charts", "check the address and the network, or commit the chart with its dependencies: helm dependency build", err, format, subjects...)
}

// write writes files into a new directory. Without .helmignore: what it excludes is left out already, or is part of a package.
func (f *Finder) write(files []*loader.BufferedFile) (string, error) {
	scratch, err := f.options.Scratch()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(scratch, "chart-")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if file.Name == ".helmignore" {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(file.Name))
		if !strings.HasPrefix(path, dir+string(filepath.Separator)) {
			return "", fmt.Errorf("%q leaves the chart", file.Name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, file.Data, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// digestOf returns the digest of a chart's content: of the names and digests of its files, in order. It does not depend on how the chart is packed.
func digestOf(files []*loader.BufferedFile) release.Digest {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b *loader.BufferedFile) int { return strings.Compare(a.Name, b.Name) })
	var list bytes.Buffer
	for _, file := range files {
		fmt.Fprintf(&list, "%x %q\n", sha256.Sum256(file.Data), file.Name)
	}
	return release.DigestOf(list.Bytes())
}
