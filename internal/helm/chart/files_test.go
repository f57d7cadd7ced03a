package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

const chartYAML = "apiVersion: v2\nname: loose\nversion: 0.1.0\n"

// writeFiles writes a tree of files and returns its directory.
func writeFiles(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pack packs a chart.
func pack(t testing.TB, name string, content map[string]string) string {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for file, text := range content {
		err := archive.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o600, Size: int64(len(text))})
		if _, writeErr := archive.Write([]byte(text)); err != nil || writeErr != nil {
			t.Fatal(err, writeErr)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// TestBoundedCharts checks that what is beyond the limits is refused before it is in memory.
func TestBoundedCharts(t *testing.T) {
	big := strings.Repeat("0", 4<<20)
	inner := func(name string, content map[string]string) string {
		content["Chart.yaml"] = strings.ReplaceAll(chartYAML, "loose", name)
		return pack(t, name, content)
	}
	manyFiles := map[string]string{}
	for i := range 1500 {
		manyFiles[fmt.Sprintf("files/%d", i)] = ""
	}
	for name, test := range map[string]struct {
		content map[string]string
		links   int // to the file big
		packed  bool
		want    string
	}{
		"links to one file": {content: map[string]string{"big": big}, links: 150, want: "more than 8388608 bytes"},
		"dependencies that are packed": {content: map[string]string{"charts/a.tgz": inner("a", map[string]string{"x": big}), "charts/b.tgz": inner("b", map[string]string{"x": big})},
			want: `unpacking "charts/b.tgz": it has more than 8388608 bytes`},
		"dependencies in a package": {packed: true, content: map[string]string{"charts/a.tgz": inner("a", map[string]string{"x": big}), "charts/b.tgz": inner("b", map[string]string{"x": big})},
			want: "it has more than 8388608 bytes"},
		"a dependency's dependency": {content: map[string]string{"x": big, "charts/a.tgz": inner("a", map[string]string{"charts/b.tgz": inner("b", map[string]string{"x": big})})},
			want: `unpacking "charts/b.tgz": it has more than 8388608 bytes`},
		"files of dependencies": {content: map[string]string{"charts/a.tgz": inner("a", manyFiles), "charts/b.tgz": inner("b", manyFiles)}, want: "more than 2000 files"},
		"one file that unpacks to much": {packed: true, content: map[string]string{"x": strings.Repeat("0", 64<<20)},
			want: "it has more than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			test.content["Chart.yaml"] = chartYAML
			dir := writeFiles(t, test.content)
			for i := range test.links {
				if err := os.Symlink("big", fmt.Sprintf("%s/link%d", dir, i)); err != nil {
					t.Fatal(err)
				}
			}
			if test.packed {
				dir = filepath.Join(writeFiles(t, map[string]string{"c.tgz": pack(t, "loose", test.content)}), "c.tgz")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readChart(dir)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 100<<20 {
				t.Errorf("%d bytes were allocated", allocated)
			}
		})
	}
}

func TestIgnoredFilesAreNotPartOfTheChart(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"Chart.yaml": "\xef\xbb\xbf" + chartYAML, ".helmignore": "videos/\n*.bin\n", "videos/a": strings.Repeat("0", maxBytes+1), "b.bin": strings.Repeat("0", maxBytes+1), "values.yaml": ""})
	if err := os.Symlink("/etc", dir+"/c.bin"); err != nil {
		t.Fatal(err)
	}
	loaded, err := readChart(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range loaded.Raw {
		names = append(names, file.Name)
	}
	if want := []string{".helmignore", "Chart.yaml", "values.yaml"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(pack(f, "loose", map[string]string{"Chart.yaml": chartYAML, "charts/a.tgz": pack(f, "a", map[string]string{"Chart.yaml": chartYAML})})))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Fuzz(func(t *testing.T, packed []byte) {
		left := &budget{files: maxFiles, bytes: maxBytes}
		files, err := unpack(packed, left)
		if err != nil || checkNested(files, left) != nil {
			return
		}
		size := 0
		for _, file := range files {
			size += len(file.Data)
		}
		if size > maxBytes || len(files) > maxFiles {
			t.Errorf("%d files of %d bytes pass", len(files), size)
		}
		_, _ = loader.LoadFiles(files)
	})
}
