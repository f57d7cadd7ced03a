// Package chart reads a chart with the values of a deployment, checks both, and renders them. Only rendering a revision for a
// cluster needs that cluster's version and kinds; all else works offline.
package chart

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Limits of a chart, in files and unpacked bytes. A larger one would not fit into Helm's release record, which is a Secret of at
// most 1 MiB.
const (
	maxFiles = 2000
	maxBytes = 8 << 20
)

// readChart reads a chart, a directory or a packaged one, and requires it to be complete and within the limits.
func readChart(path string) (*helmchart.Chart, error) {
	if err := checkFiles(path); err != nil {
		return nil, fmt.Errorf("reading chart %q: %w", path, err)
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("%q is not a chart: %w", path, err)
	}
	if err := loaded.Validate(); err != nil {
		return nil, fmt.Errorf("chart %q: %w", path, err)
	}
	unpacked := 0
	for _, file := range loaded.Raw {
		unpacked += len(file.Data)
	}
	if unpacked > maxBytes {
		return nil, fmt.Errorf("chart %q unpacks to %d bytes, limit %d", path, unpacked, maxBytes)
	}
	if missing := action.CheckDependencies(loaded, loaded.Metadata.Dependencies); missing != nil {
		return nil, fmt.Errorf("chart %q: %w", path, missing)
	}
	keepDigits(loaded)
	return loaded, nil
}

// checkFiles checks the files of a chart before Helm reads them: Helm follows symbolic links anywhere, and what they lead to may
// end up in the cluster.
func checkFiles(chart string) error {
	files, size := 0, int64(0)
	return filepath.WalkDir(chart, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(chart, path)
		if err != nil {
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 && path != chart {
			return checkLink(chart, path, name)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%q is not a regular file", name)
		}
		files, size = files+1, size+info.Size()
		switch {
		case files > maxFiles:
			return fmt.Errorf("it has more than %d files", maxFiles)
		case size > maxBytes:
			return fmt.Errorf("it has more than %d bytes", maxBytes)
		}
		return nil
	})
}

// checkLink refuses a symbolic link that leads out of the chart, or to a directory, which could contain the link.
func checkLink(chart, link, name string) error {
	root, err := filepath.EvalSymlinks(chart)
	if err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(target, root+string(filepath.Separator)) {
		return fmt.Errorf("%q is a symbolic link out of the chart", name)
	}
	info, err := os.Stat(target)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is a symbolic link to something that is not a regular file", name)
	}
	return err
}
