package sbom

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/santhosh-tekuri/jsonschema/v6"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var subject = Subject{Name: "shop", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), Commit: releasetest.Commit}

// entry is a file of a layer; without content, a directory if the name ends with a slash.
type entry struct {
	name    string
	content []byte
	link    string
}

func layerOf(t *testing.T, entries ...entry) v1.Layer {
	t.Helper()
	var archived bytes.Buffer
	archive := tar.NewWriter(&archived)
	for _, each := range entries {
		header := tar.Header{Typeflag: tar.TypeReg, Name: each.name, Mode: 0o755, Size: int64(len(each.content))}
		switch {
		case each.link != "":
			header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, each.link, 0
		case strings.HasSuffix(each.name, "/"):
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(each.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archived.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func imageOf(t *testing.T, architecture string, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: architecture, RootFS: mustConfig(t, image).RootFS}); err != nil {
		t.Fatal(err)
	}
	return image
}

func mustConfig(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// write writes one image, or an index of several, as a layout.
func write(t *testing.T, images ...v1.Image) release.Layout {
	t.Helper()
	dir := t.TempDir()
	path, err := ocilayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	var root interface{ Digest() (v1.Hash, error) } = images[0]
	if len(images) == 1 {
		err = path.AppendImage(images[0])
	} else {
		var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, image := range images {
			config := mustConfig(t, image)
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}}})
		}
		root = index
		err = path.AppendIndex(index)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := root.Digest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		t.Fatal(err)
	}
	return release.Layout{Dir: dir, Digest: digest}
}

// compile compiles a program with a module that a directory replaces, as images contain them.
func compile(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.com/shop\n\ngo 1.26\n\nrequire example.com/lib v1.2.3\n\nreplace example.com/lib => ./lib\n", "main.go": "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n",
		"lib/go.mod": "module example.com/lib\n\ngo 1.26\n", "lib/lib.go": "package lib\n\nvar Used = len(\"a\")\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", "shop", ".")
	command.Dir, command.Env = dir, append(os.Environ(), "GOFLAGS=", "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	program, err := os.ReadFile(filepath.Join(dir, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// list returns the document of a layout, decoded.
func list(t *testing.T, layout release.Layout) (*cdx.BOM, []byte) {
	t.Helper()
	sbom, at, err := List(t.Context(), layout, subject, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(sbom.Document, &bom); err != nil {
		t.Fatal(err)
	}
	if !at.Equal(subject.Created) || sbom.Components != len(*bom.Components) || sbom.Spec != "1.6" {
		t.Errorf("got %s, %d components of version %s", at, sbom.Components, sbom.Spec)
	}
	return &bom, sbom.Document
}

// programsOf returns the paths of the programs in a document.
func programsOf(bom *cdx.BOM) (paths []string) {
	for _, component := range *bom.Components {
		if component.Type == cdx.ComponentTypeApplication {
			paths = append(paths, (*component.Properties)[0].Value)
		}
	}
	return paths
}

// TestListShowsWhatAContainerSees: entries and whiteouts of later layers count.
func TestListShowsWhatAContainerSees(t *testing.T) {
	t.Parallel()
	program := compile(t)
	other := append([]byte("\x7fELF"), make([]byte, 200)...) // of another linker
	for name, test := range map[string]struct {
		layers [][]entry
		want   []string
	}{
		"one":                          {[][]entry{{{name: "app/shop", content: program}}}, []string{"/app/shop"}},
		"with a path that climbs":      {[][]entry{{{name: "../../app/shop", content: program}}}, []string{"/app/shop"}},
		"none is a program":            {[][]entry{{{name: "a", content: []byte("#!/bin/sh\n")}, {name: "b", content: other}, {name: "c"}, {name: "d", content: []byte("\x7fELF")}}}, nil},
		"a whiteout":                   {[][]entry{{{name: "app/shop", content: program}, {name: "b/x", content: program}}, {{name: "app/.wh.shop"}}}, []string{"/b/x"}},
		"a whiteout of the directory":  {[][]entry{{{name: "app/shop", content: program}, {name: "apple", content: program}}, {{name: ".wh.app"}}}, []string{"/apple"}},
		"an opaque directory":          {[][]entry{{{name: "app/shop", content: program}}, {{name: "app/new", content: program}, {name: "app/.wh..wh..opq"}}}, []string{"/app/new"}},
		"replaced by another file":     {[][]entry{{{name: "app/shop", content: program}, {name: "b", content: program}}, {{name: "app/shop", content: other}}}, []string{"/b"}},
		"replaced by a link":           {[][]entry{{{name: "app/shop", content: program}, {name: "b", content: program}}, {{name: "app/shop", link: "/b"}}}, []string{"/b"}},
		"a file in place of directory": {[][]entry{{{name: "app/shop", content: program}, {name: "b", content: program}}, {{name: "app", content: other}}}, []string{"/b"}},
		"a directory is written again": {[][]entry{{{name: "app/shop", content: program}}, {{name: "app/"}}}, []string{"/app/shop"}},
		"twice in a layer":             {[][]entry{{{name: "app/shop", content: program}, {name: "app/shop", content: other}, {name: "b", content: program}}}, []string{"/b"}},
	} {
		var layers []v1.Layer
		for _, entries := range test.layers {
			layers = append(layers, layerOf(t, entries...))
		}
		layout := write(t, imageOf(t, "amd64", layers...))
		if test.want == nil {
			if _, _, err := List(t.Context(), layout, subject, t.TempDir()); !errors.Is(err, ErrNothing) {
				t.Errorf("%s: got %v, want ErrNothing", name, err)
			}
			continue
		}
		if bom, _ := list(t, layout); !slices.Equal(programsOf(bom), test.want) {
			t.Errorf("%s: got %q, want %q", name, programsOf(bom), test.want)
		}
	}
}

// TestListOfAnIndex: one document has all platforms; it is the same each time and follows CycloneDX's schema.
func TestListOfAnIndex(t *testing.T) {
	t.Parallel()
	program := compile(t)
	layout := write(t, imageOf(t, "amd64", layerOf(t, entry{name: "app/shop", content: program})), imageOf(t, "arm64", layerOf(t, entry{name: "app/shop", content: program}, entry{name: "a"})))
	bom, first := list(t, layout)
	_, again := list(t, layout)
	if !bytes.Equal(first, again) {
		t.Errorf("the second differs (-first +second):\n%s", cmp.Diff(string(first), string(again)))
	}
	if bom.Metadata.Component.Version != layout.Digest.String() || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") || bom.Metadata.Timestamp != "2026-01-02T02:04:05Z" {
		t.Errorf("got %s, serial number %s, at %s", bom.Metadata.Component.Version, bom.SerialNumber, bom.Metadata.Timestamp)
	}
	kinds := map[cdx.ComponentType]int{}
	names := map[string]cdx.Component{}
	for _, component := range *bom.Components {
		kinds[component.Type]++
		names[component.Name] = component
	}
	if diff := cmp.Diff(map[cdx.ComponentType]int{cdx.ComponentTypeContainer: 2, cdx.ComponentTypeFile: 2, cdx.ComponentTypeApplication: 2, cdx.ComponentTypeLibrary: 2}, kinds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if main := names["example.com/shop"]; main.PackageURL != "pkg:golang/example.com/shop@"+releasetest.Commit.String() {
		t.Errorf("got %+v", main)
	}
	if stdlib := names["stdlib"]; !strings.HasPrefix(stdlib.PackageURL, "pkg:golang/stdlib@1.") {
		t.Errorf("got %+v", stdlib)
	}
	if lib := names["example.com/lib"]; lib.Version != "v1.2.3" || lib.Hashes != nil || (*lib.Properties)[0].Name != propertyLocal {
		t.Errorf("got %+v", lib)
	}
	checkSchema(t, first)
}

// checkSchema compares a document with the schema that comes with the library.
func checkSchema(t *testing.T, document []byte) {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(content []byte) error {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(instance)
	}
	if err := validate(document); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	if validate(bytes.Replace(document, []byte(`"type":"library"`), []byte(`"type":"book"`), 1)) == nil {
		t.Error("the schema accepts everything")
	}
}

// TestModules: what the linker recorded, as scanners look for it.
func TestModules(t *testing.T) {
	t.Parallel()
	sum := "h1:" + strings.Repeat("AA", 21) + "A="
	d := newDocument(releasetest.Digest(t, "a"), subject)
	d.addProgram("sha256:x", program{path: "/app/shop", digest: releasetest.Digest(t, "b").String(), info: &debug.BuildInfo{
		GoVersion: "go1.26.8 X:nocoverageredesign", Path: "example.com/shop/cmd/shop", Main: debug.Module{Path: "example.com/shop", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/Masterminds/semver/v3", Version: "v3.5.0", Sum: sum},
			{Path: "example.com/a", Version: "v1.0.0", Sum: sum, Replace: &debug.Module{Path: "example.com/fork/a", Version: "v1.0.1", Sum: sum}},
			{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "../b"}},
			{Path: "example.com/no-sum", Version: "v0.0.0-20260102030405-abcdefabcdef+incompatible", Sum: "h1:garbage"},
		}}}, "")
	sbom, _, err := d.encode()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, append(sbom.Document, '\n'), "", "  "); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/modules.json"
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	checkSchema(t, sbom.Document)
}

// TestListIsBounded: a layer that unpacks to more than is read is an error, and so is one that is not an archive.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	layer := layerOf(t, entry{name: "a", content: bytes.Repeat([]byte("a"), 4096)}, entry{name: "b"})
	for _, reading := range []*reader{{unpacked: 1024, entries: 10}, {unpacked: 1 << 20, entries: 1}} {
		reading.scratch = filepath.Join(t.TempDir(), "program")
		if err := reading.layer(t.Context(), layer, map[string]program{}); err == nil {
			t.Errorf("read with %d bytes and %d entries left", reading.unpacked, reading.entries)
		}
	}
}

// FuzzLayer: a layer of any content is read or refused.
func FuzzLayer(f *testing.F) {
	var archived bytes.Buffer
	archive := tar.NewWriter(&archived)
	for _, name := range []string{"app/shop", "app/.wh.other", "app/.wh..wh..opq"} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 8}); err != nil {
			f.Fatal(err)
		}
		if _, err := archive.Write([]byte("\x7fELF\x02\x01\x01\x00")); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(archived.Bytes())
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, content []byte) {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			return
		}
		reading := &reader{unpacked: 1 << 20, entries: 100, scratch: filepath.Join(t.TempDir(), "program")}
		seen := map[string]program{}
		if reading.layer(t.Context(), layer, seen) != nil {
			return
		}
		for name := range seen {
			if !strings.HasPrefix(name, "/") || strings.Contains(name, "/../") {
				t.Errorf("a program at %q", name)
			}
		}
	})
}
