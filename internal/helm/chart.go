package helm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Limits of a chart, files and unpacked bytes: a larger one does not fit into Helm's record of the release anyway, which
// is a Secret of at most 1 MiB.
const (
	maxFiles = 2000
	maxChart = 8 << 20
)

// loadChart reads a chart, a directory or a packaged one, that is complete and within bounds.
func loadChart(path string) (*chart.Chart, error) {
	if err := bounded(path); err != nil {
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
	if unpacked > maxChart {
		return nil, fmt.Errorf("chart %q unpacks to %d bytes, limit %d", path, unpacked, maxChart)
	}
	if missing := action.CheckDependencies(loaded, loaded.Metadata.Dependencies); missing != nil {
		return nil, fmt.Errorf("chart %q: %w", path, missing)
	}
	return loaded, nil
}

// bounded looks at a chart before Helm reads it, because Helm follows symbolic links wherever they lead, and what they
// lead to may end up in the cluster.
func bounded(path string) error {
	files, size := 0, int64(0)
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 && name != path {
			return within(path, name, inside)
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%q is no regular file", inside)
		}
		files, size = files+1, size+info.Size()
		switch {
		case files > maxFiles:
			return fmt.Errorf("it has more than %d files", maxFiles)
		case size > maxChart:
			return fmt.Errorf("it has more than %d bytes", maxChart)
		}
		return nil
	})
}

// within refuses a symbolic link that leads out of the chart, or to a directory: that one could contain itself.
func within(chart, link, inside string) error {
	root, err := filepath.EvalSymlinks(chart)
	if err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(target, root+string(filepath.Separator)) {
		return fmt.Errorf("%q is a symbolic link out of the chart", inside)
	}
	info, err := os.Stat(target)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is a symbolic link to what is no regular file", inside)
	}
	return err
}
