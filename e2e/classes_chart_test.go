package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/txtar"
	"helm.sh/helm/v3/pkg/chartutil"
)

var update = flag.Bool("update", false, "write the table of docs/charts.md")

// class is a chart as teams write them: a file of testdata/classes. Its comment says what the chart is, and what is expected of it.
type class struct {
	name   string
	is     string         // what the chart is
	flags  []string       // of deploy; API and other names in capitals stand for images
	pods   map[string]int // that run an image, by the image's name; "" is the main one
	others int            // pods that run no built image
	how    map[string]string
	files  []txtar.File
}

// readClasses reads all classes, in the order of their names.
func readClasses(t *testing.T) (classes []class) {
	t.Helper()
	files, err := filepath.Glob("testdata/classes/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		read := class{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), pods: map[string]int{}, how: map[string]string{}, files: archive.Files}
		first, rest, _ := strings.Cut(string(archive.Comment), "\n")
		read.is = first
		for line := range strings.Lines(rest) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			count, err := strconv.Atoi(value)
			switch {
			case key == "flags":
				read.flags = strings.Fields(value)
			case key == "create" || key == "package" || key == "controller" || key == "run" || key == "namespace":
				read.how[key] = value
			case err != nil:
				t.Fatalf("%s: %q is no number of pods", file, line)
			case key == "others":
				read.others = count
			case key == "pods":
				read.pods[""] = count
			default:
				read.pods[key] = count
			}
		}
		classes = append(classes, read)
	}
	return classes
}

// write writes the chart into a checkout, and returns the flags that lead to it.
func (c class) write(t *testing.T, tree checkout) []string {
	t.Helper()
	dir := filepath.Join(tree.dir, "classes", c.name)
	if c.how["create"] != "" {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := chartutil.Create(c.name, filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range c.files {
		path := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(replacePause(string(file.Data))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	switch c.how["package"] {
	case "tgz":
		if err := os.WriteFile(dir+"-0.1.0.tgz", c.pack(t), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{"--chart", "classes/" + c.name + "-0.1.0.tgz"}
	case "oci":
		address := c.publish(t)
		host, _, _ := strings.Cut(address, "/")
		return []string{"--chart", "oci://" + address, "--chart-host", host}
	}
	return []string{"--chart", "classes/" + c.name}
}

// pauseImage is an image that the node has, and that nobody built.
const pauseImage = "sandbox.invalid/pause:1"

func replacePause(text string) string {
	repository, _, _ := strings.Cut(pauseImage, ":")
	return strings.NewReplacer("PAUSEREPOSITORY", repository, "PAUSE", pauseImage).Replace(text)
}

// valuesOf returns the flag for the values of an environment, if the chart has any.
func (c class) valuesOf(environment string) []string {
	file := "values-" + environment + ".yaml"
	for _, each := range c.files {
		if each.Name == file {
			return []string{"--values", "classes/" + c.name + "/" + file}
		}
	}
	return nil
}

// pack packages the chart as helm package does.
func (c class) pack(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	for _, file := range c.files {
		if err := archive.WriteHeader(&tar.Header{Name: c.name + "/" + file.Name, Mode: 0o644, Size: int64(len(file.Data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(file.Data); err != nil {
			t.Fatal(err)
		}
	}
	for _, closer := range []io.Closer{archive, zip} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return packed.Bytes()
}

// publish pushes the chart to a registry as helm push does, and returns its address. Source: helm.sh/docs/topics/registries, "Helm chart
// manifest".
func (c class) publish(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://") + "/charts/" + c.name + ":0.1.0"
	reference, err := name.ParseReference(address)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json"),
		static.NewLayer(c.pack(t), "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	return address
}

// The lines of docs/charts.md between which the table of classes is.
const tableBegins, tableEnds = "<!-- classes: written by go test ./e2e -run TestTheDocsListEveryClass -update -->\n", "<!-- classes end -->\n"

// TestTheDocsListEveryClass: the table of docs/charts.md is that of the classes that are deployed here.
func TestTheDocsListEveryClass(t *testing.T) {
	beside(t)
	const docs = "../docs/charts.md"
	content, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(content), tableBegins)
	listed, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s has no table of classes", docs)
	}
	var table strings.Builder
	fmt.Fprint(&table, "| class | the chart | what is given besides `--image` |\n|---|---|---|\n")
	for _, class := range readClasses(t) {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", class.name, class.is, class.given())
	}
	if *update {
		if err := os.WriteFile(docs, []byte(before+tableBegins+table.String()+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), listed); diff != "" {
		t.Errorf("%s is out of date; write it with -update. -want +got:\n%s", docs, diff)
	}
}

// given says which flags the chart needs.
func (c class) given() string {
	var given []string
	for i := 0; i+1 < len(c.flags); i += 2 {
		flag, value := c.flags[i], c.flags[i+1]
		if name, _, isNamed := strings.Cut(value, "="); flag == "--image" && isNamed {
			value = name + "=…"
		}
		given = append(given, "`"+flag+" "+value+"`")
	}
	if len(c.flags)%2 == 1 { // which has no value
		given = append(given, "`"+c.flags[len(c.flags)-1]+"`")
	}
	if c.how["package"] == "oci" {
		given = append(given, "`--chart oci://…`")
	}
	if len(given) == 0 {
		return "nothing"
	}
	return strings.Join(given, " ")
}
