package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	ggcrregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/onedigest/onedigest/charts"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	helmregistry "helm.sh/helm/v3/pkg/registry"
)

// chartYAML is the Chart.yaml of version 1.2.3 of a chart; more is appended.
func chartYAML(name string, more ...string) string {
	return "apiVersion: v2\nname: " + name + "\nversion: 1.2.3\n" + strings.Join(more, "")
}

// dependency is an entry of Chart.yaml.
func dependency(name, version, repository string) string {
	return fmt.Sprintf("- {name: %s, version: %q, repository: %q}\n", name, version, repository)
}

// lock is the Chart.lock that Helm would write for dependencies: name, version, repository, and the version that it found.
func lock(wanted []*helmchart.Dependency, found ...string) string {
	locked := make([]*helmchart.Dependency, len(wanted))
	text := ""
	for i, one := range wanted {
		locked[i] = &helmchart.Dependency{Name: one.Name, Version: found[i], Repository: one.Repository}
		text += dependency(one.Name, found[i], one.Repository)
	}
	return "dependencies:\n" + text + "digest: " + hashOf([2][]*helmchart.Dependency{wanted, locked}) + "\ngenerated: \"2026-01-02T03:04:05Z\"\n"
}

func pack(t testing.TB, name string, content map[string]string) []byte {
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
	return packed.Bytes()
}

// world is a work tree, an OCI registry and a chart repository.
type world struct {
	t        *testing.T
	tree     string
	oci      string // host of the registry
	web      *httptest.Server
	files    map[string][]byte // of the repository, by path
	requests atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	tree, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, tree: tree, files: map[string][]byte{}}
	oci := httptest.NewServer(ggcrregistry.New())
	w.web = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		content, found := w.files[r.URL.Path]
		switch {
		case r.URL.Path == "/moved.tgz":
			http.Redirect(rw, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		case !found:
			http.NotFound(rw, r)
		default:
			rw.Write(content)
		}
	}))
	t.Cleanup(oci.Close)
	t.Cleanup(w.web.Close)
	w.oci = strings.TrimPrefix(oci.URL, "http://")
	return w
}

func (w *world) host() string { return strings.TrimPrefix(w.web.URL, "http://") }

// publish adds a chart to the repository; a digest other than "" replaces the right one in the index.
func (w *world) publish(name string, packed []byte, digest string) {
	if digest == "" {
		sum := sha256.Sum256(packed)
		digest = hex.EncodeToString(sum[:])
	}
	w.files["/"+name+"-1.2.3.tgz"] = packed
	index := string(w.files["/index.yaml"])
	if index == "" {
		index = "apiVersion: v1\nentries:\n"
	}
	w.files["/index.yaml"] = []byte(index + "  " + name + ":\n  - {apiVersion: v2, name: " + name + ", version: 1.2.3, digest: \"" + digest + "\", urls: [\"" + name + "-1.2.3.tgz\"]}\n")
}

// push pushes a chart as `helm push` does, and returns the manifest's digest.
func (w *world) push(name string, packed []byte) string {
	w.t.Helper()
	client, err := helmregistry.NewClient(helmregistry.ClientOptPlainHTTP(), helmregistry.ClientOptWriter(new(bytes.Buffer)))
	if err != nil {
		w.t.Fatal(err)
	}
	pushed, err := client.Push(packed, w.oci+"/charts/"+name+":1.2.3")
	if err != nil {
		w.t.Fatal(err)
	}
	return pushed.Manifest.Digest
}

func (w *world) write(files map[string]string) {
	w.t.Helper()
	for name, text := range files {
		file := filepath.Join(w.tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) inside(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.tree, path)
	}
	actual, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%q does not exist", path)
	}
	if !strings.HasPrefix(actual+"/", w.tree+"/") {
		return "", fmt.Errorf("%q is outside the work tree", path)
	}
	return actual, nil
}

// finder allows the hosts of the tests unless told otherwise.
func (w *world) finder(change ...func(*Options)) *Finder {
	scratch := w.t.TempDir()
	options := Options{Registry: registry.New(registry.Options{}), Inside: w.inside, Scratch: func() (string, error) { return scratch, nil }, Hosts: []string{w.host(), "127.0.0.1"}}
	for _, one := range change {
		one(&options)
	}
	return New(options)
}

// names are those of a chart's dependencies, sorted.
func names(t *testing.T, path string) (list []string) {
	t.Helper()
	loaded, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range loaded.Dependencies() {
		list = append(list, one.Name()+" "+one.Metadata.Version)
	}
	slices.Sort(list)
	return list
}

// TestOneChartFromEverywhere checks that a chart has one digest wherever it is from.
func TestOneChartFromEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := map[string]string{"Chart.yaml": chartYAML("shop"), "values.yaml": "a: 1\n", "templates/a.yaml": "kind: A\n"}
	packed := pack(t, "shop", content)
	w.publish("shop", packed, "")
	digest := w.push("shop", packed)
	for name, text := range content {
		w.write(map[string]string{"dir/" + name: text})
	}
	w.write(map[string]string{"shop.tgz": string(packed)})
	oci := "oci://" + w.oci + "/charts/shop"
	seen := map[release.Digest]bool{}
	for name, ref := range map[string]release.ChartRef{
		"a directory":         {Chart: "dir"},
		"a package":           {Chart: "shop.tgz"},
		"a version in OCI":    {Chart: oci + ":1.2.3"},
		"a version beside it": {Chart: oci, Version: "1.2.3"},
		"a digest in OCI":     {Chart: oci + "@" + digest},
		"a repository":        {Chart: "shop", Repository: w.web.URL, Version: "1.2.3"},
		"an address":          {Chart: w.web.URL + "/shop-1.2.3.tgz"},
	} {
		located, err := w.finder().Locate(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if loaded, err := loader.Load(located.Path); err != nil || loaded.Name() != "shop" || len(loaded.Templates) != 1 {
			t.Errorf("%s: got %v, %v", name, loaded, err)
		}
		seen[located.Digest] = true
	}
	if len(seen) != 1 {
		t.Errorf("one chart has the digests %v", seen)
	}
}

func TestAChartIsFetchedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("shop", pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")}), "")
	finder := w.finder()
	for range 3 {
		if _, err := finder.Locate(t.Context(), release.ChartRef{Chart: "shop", Repository: w.web.URL, Version: "1.2.3"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.requests.Load(); got != 2 {
		t.Errorf("%d requests, want one for the index and one for the package", got)
	}
}

// TestDependencies checks an umbrella chart whose dependencies are everywhere.
func TestDependencies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"web", "queue", "vendored"} {
		w.publish(name, pack(t, name, map[string]string{"Chart.yaml": chartYAML(name)}), "")
	}
	w.push("store", pack(t, "store", map[string]string{"Chart.yaml": chartYAML("store")}))
	wanted := []*helmchart.Dependency{
		{Name: "web", Version: "~1.2", Repository: w.web.URL},
		{Name: "store", Version: "^1", Repository: "oci://" + w.oci + "/charts"},
		{Name: "library", Version: ">=1", Repository: "file://../library"},
		{Name: "vendored", Version: "1.x", Repository: "@mine"},
	}
	list := ""
	for _, one := range wanted {
		list += dependency(one.Name, one.Version, one.Repository)
	}
	w.write(map[string]string{
		"charts/umbrella/Chart.yaml":                 chartYAML("umbrella", "dependencies:\n", list),
		"charts/umbrella/Chart.lock":                 lock(wanted, "1.2.3", "1.2.3", "1.2.3", "1.2.3"),
		"charts/umbrella/.helmignore":                "*.tgz\n",
		"charts/umbrella/charts/vendored/Chart.yaml": chartYAML("vendored"),
		"charts/library/Chart.yaml":                  chartYAML("library", "type: library\n", "dependencies:\n", dependency("queue", "1.2.3", w.web.URL)),
		"charts/library/templates/_help.tpl":         `{{ define "x" }}{{ end }}`,
	})
	located, err := w.finder().Locate(t.Context(), release.ChartRef{Chart: "charts/umbrella"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"library 1.2.3", "store 1.2.3", "vendored 1.2.3", "web 1.2.3"}, names(t, located.Path)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := names(t, filepath.Join(located.Path, "charts/library")); !slices.Equal(got, []string{"queue 1.2.3"}) {
		t.Errorf("the library has %q", got)
	}
	if _, err := os.Stat(filepath.Join(w.tree, "charts/umbrella/charts/web-1.2.3.tgz")); err == nil {
		t.Error("the work tree was changed")
	}
}

// TestNamesOfPrivateAddressesAreRefused for dependencies that a chart names, unless the user allows the host.
func TestNamesOfPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allowed []string
		address string
		fails   error
		refused bool
	}{
		"private": {nil, "10.1.2.3", nil, true}, "metadata": {nil, "169.254.169.254", nil, true}, "public": {nil, "192.0.2.1", nil, false},
		"allowed": {[]string{"charts.example.com"}, "10.1.2.3", nil, false}, "no name": {nil, "0.0.0.0", errors.New("no such host"), false},
	} {
		w := newWeb(test.allowed, nil)
		w.resolve = func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(test.address)}, test.fails
		}
		if err := w.checkResolved(t.Context(), "charts.example.com"); (err != nil) != test.refused {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLocksThatHelmWrites: Helm hashes the address of a repository that the chart names by a name, and locks of version 2 alone.
func TestLocksThatHelmWrites(t *testing.T) {
	t.Parallel()
	named := []*helmchart.Dependency{{Name: "web", Version: "^1", Repository: "@team"}}
	addressed := []*helmchart.Dependency{{Name: "web", Version: "^1", Repository: "https://charts.example.com"}}
	locked := []*helmchart.Dependency{{Name: "web", Version: "1.2.3", Repository: "https://charts.example.com"}}
	for name, test := range map[string]struct {
		digest string
		good   bool
	}{
		"of the address": {hashOf([2][]*helmchart.Dependency{addressed, locked}), true}, "of version 2": {hashOf(map[string]any{"dependencies": named}), true},
		"of another range": {hashOf([2][]*helmchart.Dependency{{{Name: "web", Version: "^2", Repository: "https://charts.example.com"}}, locked}), false},
	} {
		d := dependencies{chart: &helmchart.Chart{Metadata: &helmchart.Metadata{APIVersion: "v2", Dependencies: named}, Lock: &helmchart.Lock{Digest: test.digest, Dependencies: locked}}, from: origin{dir: "shop"}}
		if err := d.checkLock(); (err == nil) != test.good {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestCredentialsOfARepository: they go to their host alone, over TLS, for dependencies too, and no error has them.
func TestCredentialsOfARepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")})
	w.publish("shop", shop, "")
	var elsewhere atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, _, has := r.BasicAuth(); has {
			t.Error("the password was sent to another host")
		}
		elsewhere.Add(1)
		rw.Write(shop)
	}))
	defer other.Close()
	private := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		content, found := w.files[r.URL.Path]
		switch {
		case user != "me" || password != "hunter2:hunter2":
			rw.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/elsewhere.tgz":
			http.Redirect(rw, r, other.URL+"/shop.tgz", http.StatusFound)
		case !found:
			http.NotFound(rw, r)
		default:
			rw.Write(content)
		}
	}))
	defer private.Close()
	host := strings.TrimPrefix(private.URL, "https://")
	locate := func(ref release.ChartRef, logins ...release.ChartLogin) error {
		finder := w.finder(func(o *Options) { o.Logins = logins })
		finder.web.trusted.Transport = private.Client().Transport
		_, err := finder.Locate(t.Context(), ref)
		return err
	}
	right := release.ChartLogin{Host: host, User: "me", Password: "hunter2:hunter2"}
	w.write(map[string]string{"top/Chart.yaml": chartYAML("top", "dependencies:\n", dependency("shop", "1.2.3", private.URL))})
	for name, ref := range map[string]release.ChartRef{"a repository": {Chart: "shop", Repository: private.URL, Version: "1.2.3"}, "an address": {Chart: private.URL + "/shop-1.2.3.tgz"},
		"a dependency": {Chart: "top"}, "a redirect": {Chart: private.URL + "/elsewhere.tgz"}} {
		if err := locate(ref, release.ChartLogin{Host: "other.example.com", User: "x", Password: "y"}, right); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if elsewhere.Load() != 1 {
		t.Errorf("the other host was asked %d times", elsewhere.Load())
	}
	for name, test := range map[string]struct {
		ref   release.ChartRef
		login release.ChartLogin
		want  string
	}{
		"none":           {release.ChartRef{Chart: private.URL + "/shop-1.2.3.tgz"}, release.ChartLogin{Host: "other.example.com"}, "answers 401; give --chart-login " + host + "=USER:PASSWORD"},
		"wrong":          {release.ChartRef{Chart: private.URL + "/shop-1.2.3.tgz"}, release.ChartLogin{Host: host, User: "me", Password: "hunter3"}, `answers 401 to the user "me"`},
		"for plain HTTP": {release.ChartRef{Chart: w.web.URL + "/shop-1.2.3.tgz"}, release.ChartLogin{Host: w.host(), User: "me", Password: "hunter2"}, "not reached by https"},
	} {
		err := locate(test.ref, test.login)
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestAChartThatIsKept: where no server answers, a later run uses what an earlier one has fetched, if it is undamaged. One that is named by digest
// is not asked for again.
func TestAChartThatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")})
	w.publish("shop", shop, "")
	digest := w.push("shop", shop)
	w.write(map[string]string{"top/Chart.yaml": chartYAML("top", "dependencies:\n", dependency("shop", "1.2.3", w.web.URL))})
	oci := "oci://" + w.oci + "/charts/shop"
	refs := map[string]release.ChartRef{"a repository": {Chart: "shop", Repository: w.web.URL, Version: "1.2.3"}, "an address": {Chart: w.web.URL + "/shop-1.2.3.tgz"}, "a dependency": {Chart: "top"},
		"a version in OCI": {Chart: oci + ":1.2.3"}, "a digest in OCI": {Chart: oci + "@" + digest}}
	dir := t.TempDir()
	var logged []string
	locate := func(ref release.ChartRef, registry Registry) (release.LocatedChart, error) {
		return w.finder(func(o *Options) {
			o.Cache, o.Log = dir, func(line string) { logged = append(logged, line) }
			if registry != nil {
				o.Registry = registry
			}
		}).Locate(t.Context(), ref)
	}
	before := map[string]release.LocatedChart{}
	for name, ref := range refs {
		located, err := locate(ref, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before[name] = located
	}
	if len(logged) > 0 {
		t.Errorf("logged %q", logged)
	}
	w.web.Close()
	down := noRegistry{}
	for name, ref := range refs {
		logged = nil
		located, err := locate(ref, down)
		if err != nil || located.Digest != before[name].Digest {
			t.Errorf("%s: got %+v, %v", name, located, err)
		}
		told := strings.Contains(strings.Join(logged, ""), "the copy in the chart-cache is used")
		if told != (name != "a digest in OCI") {
			t.Errorf("%s: logged %q", name, logged)
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, "sha256", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if err := os.WriteFile(kept[0], pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop"), "more": ""}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ref := range refs {
		if _, err := locate(ref, down); release.ExitCode(err) != release.ExitFault {
			t.Errorf("%s, damaged: got %v", name, err)
		}
	}
}

// noRegistry is a registry that does not answer.
type noRegistry struct{}

func (noRegistry) Chart(context.Context, release.Repository, string, int64) (packed, manifest []byte, err error) {
	return nil, nil, &release.Fault{Side: "registry", Err: errors.New("connection refused"), Unanswered: true}
}

// refusingRegistry answers every request with a refusal.
type refusingRegistry struct{}

func (refusingRegistry) Chart(context.Context, release.Repository, string, int64) (packed, manifest []byte, err error) {
	return nil, nil, &release.Fault{Side: "registry", Err: errors.New("HTTP 403 Forbidden")}
}

// TestARefusalIsNoOutage: what is kept stands in for a server that does not answer, not for its refusal.
func TestARefusalIsNoOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("shop", pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")}))
	ref, dir := release.ChartRef{Chart: "oci://" + w.oci + "/charts/shop:1.2.3"}, t.TempDir()
	for _, of := range []Registry{nil, refusingRegistry{}} {
		_, err := w.finder(func(o *Options) {
			o.Cache = dir
			if of != nil {
				o.Registry = of
			}
		}).Locate(t.Context(), ref)
		if (err == nil) != (of == nil) || err != nil && !strings.Contains(err.Error(), "403") {
			t.Errorf("got %v", err)
		}
	}
	for err, want := range map[error]bool{
		&answerError{"a", 429}: true, &answerError{"a", 502}: true, &answerError{"a", 400}: false, context.DeadlineExceeded: true, context.Canceled: false,
		&net.DNSError{IsNotFound: true}: true, release.BadInput("a", "b", "c"): false, errors.New("the index is not YAML"): false,
	} {
		if got := isUnanswered(err); got != want {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

// TestADigestIsProvedByItsManifest: whoever can write to the cache cannot have another chart answer for a digest.
func TestADigestIsProvedByItsManifest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digest := w.push("shop", pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")}))
	forged := pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop"), "templates/more.yaml": "a: b"})
	ref, dir := release.ChartRef{Chart: "oci://" + w.oci + "/charts/shop@" + digest}, t.TempDir()
	locate := func(registry Registry) (release.LocatedChart, error) {
		return w.finder(func(o *Options) {
			o.Cache = dir
			if registry != nil {
				o.Registry = registry
			}
		}).Locate(t.Context(), ref)
	}
	place := fmt.Sprintf("oci://%s/charts/shop %s", w.oci, digest)
	if err := (cache{dir: dir}).write(place, forged); err != nil {
		t.Fatal(err)
	}
	if _, err := locate(noRegistry{}); release.ExitCode(err) != release.ExitFault {
		t.Errorf("a place that names another chart: got %v", err)
	}
	if _, err := locate(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := locate(noRegistry{}); err != nil {
		t.Errorf("kept: got %v", err)
	}
	manifest := filepath.Join(dir, "manifests", strings.TrimPrefix(digest, "sha256:"))
	other := fmt.Sprintf(`{"layers":[{"mediaType":%q,"digest":"sha256:%s"}]}`, chartContent, digestName(forged))
	if err := os.WriteFile(manifest, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := locate(noRegistry{}); release.ExitCode(err) != release.ExitFault {
		t.Errorf("another manifest: got %v", err)
	}
}

// TestDependenciesOfAPIVersion1 checks requirements.yaml, with and without its lock.
func TestDependenciesOfAPIVersion1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("web", pack(t, "web", map[string]string{"Chart.yaml": chartYAML("web")}), "")
	wanted := []*helmchart.Dependency{{Name: "web", Version: "^1", Repository: w.web.URL}}
	w.write(map[string]string{"old/Chart.yaml": "apiVersion: v1\nname: old\nversion: 1.0.0\n", "old/requirements.yaml": "dependencies:\n" + dependency("web", "^1", w.web.URL)})
	ref := release.ChartRef{Chart: "old"}
	if _, err := w.finder().Locate(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "requirements.lock") || !strings.Contains(err.Error(), "helm dependency update") {
		t.Errorf("without a lock: got %v", err)
	}
	w.write(map[string]string{"old/requirements.lock": lock(wanted, "1.2.3")})
	located, err := w.finder().Locate(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, located.Path); !slices.Equal(got, []string{"web 1.2.3"}) {
		t.Errorf("got %q", got)
	}
}

// TestRefusals checks what is bad input or a fault before anything is deployed, and that the advice is the next step.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := pack(t, "shop", map[string]string{"Chart.yaml": chartYAML("shop")})
	w.publish("shop", good, "")
	w.publish("changed", good, strings.Repeat("0", 64))
	w.publish("other", good, "")
	digest := w.push("shop", good)
	w.files["/bad/index.yaml"] = []byte("- [")
	w.files["/page.tgz"] = []byte("<html>")
	oci := "oci://" + w.oci + "/charts/shop"
	wanted := []*helmchart.Dependency{{Name: "web", Version: "^1", Repository: w.web.URL}}
	one := func(name, version, repository string) map[string]string {
		return map[string]string{"Chart.yaml": chartYAML("top", "dependencies:\n", dependency(name, version, repository))}
	}
	for name, test := range map[string]struct {
		files map[string]string // of the chart "top"
		ref   release.ChartRef  // by default the chart "top"
		hosts []string
		want  []string
		code  int
	}{
		"no path":                         {ref: release.ChartRef{Chart: "nowhere"}, want: []string{"does not exist", "oci:// address"}},
		"no path and no default":          {ref: release.ChartRef{Chart: ""}, want: []string{"charts/service"}},
		"a version of a path":             {ref: release.ChartRef{Chart: "top", Version: "1.2.3"}, want: []string{"--chart-repo"}},
		"no chart by file://":             {files: map[string]string{"Chart.yaml": chartYAML("top", "dependencies:\n", dependency("x", "1.2.3", "file://x")), "x/values.yaml": ""}, want: []string{"is not a chart", "Chart.yaml"}},
		"OCI without a version":           {ref: release.ChartRef{Chart: oci}, want: []string{"names no version"}},
		"OCI with two versions":           {ref: release.ChartRef{Chart: oci + ":1.2.3", Version: "2.0.0"}, want: []string{"two versions"}},
		"OCI, another version":            {ref: release.ChartRef{Chart: oci + ":2.0.0"}, want: []string{`has no "2.0.0"`}},
		"OCI, a changed digest":           {ref: release.ChartRef{Chart: oci + "@sha256:" + strings.Repeat("1", 64)}, want: []string{"has no"}},
		"OCI, a malformed digest":         {ref: release.ChartRef{Chart: oci + "@sha256:12"}, want: []string{"sha256"}},
		"a repository without a version":  {ref: release.ChartRef{Chart: "shop", Repository: w.web.URL}, want: []string{"chart-version", "is missing"}},
		"a repository without the chart":  {ref: release.ChartRef{Chart: "none", Repository: w.web.URL, Version: "1.0.0"}, want: []string{`no chart "none"`}},
		"a repository that is none":       {ref: release.ChartRef{Chart: "shop", Repository: w.web.URL + "/none", Version: "1.2.3"}, want: []string{"does not exist"}},
		"an index that is no YAML":        {ref: release.ChartRef{Chart: "shop", Repository: w.web.URL + "/bad", Version: "1.2.3"}, want: []string{"is not YAML"}, code: release.ExitFault},
		"another digest than the index's": {ref: release.ChartRef{Chart: "changed", Repository: w.web.URL, Version: "1.2.3"}, want: []string{"index says 000000", "do not deploy it"}},
		"a page":                          {ref: release.ChartRef{Chart: w.web.URL + "/page.tgz"}, want: []string{"reading chart"}},
		"plain HTTP":                      {ref: release.ChartRef{Chart: "http://charts.example.com/a.tgz"}, want: []string{"is not reached by https", "--chart-host charts.example.com"}},
		"credentials in the address":      {ref: release.ChartRef{Chart: "https://me:hunter2@charts.example.com/a.tgz"}, want: []string{"contains credentials", "--chart-login charts.example.com=USER:PASSWORD"}},
		"the metadata service":            {ref: release.ChartRef{Chart: "https://169.254.169.254/a.tgz"}, want: []string{"169.254.169.254, which is a link-local address", "name another host"}},
		"a redirect to it":                {ref: release.ChartRef{Chart: w.web.URL + "/moved.tgz"}, want: []string{"169.254.169.254", "not reached by https"}},
		"a server that is not there":      {ref: release.ChartRef{Chart: "https://127.0.0.1:1/a.tgz"}, want: []string{"fetching chart"}, code: release.ExitFault},

		"a lock of other dependencies":     {files: map[string]string{"Chart.yaml": chartYAML("top", "dependencies:\n", dependency("web", "^2", w.web.URL)), "Chart.lock": lock(wanted, "1.2.3")}, want: []string{"Chart.lock is out of date", "helm dependency update"}},
		"another version in charts/":       {files: map[string]string{"Chart.yaml": chartYAML("top", "dependencies:\n", dependency("web", "^1", w.web.URL)), "Chart.lock": lock(wanted, "1.9.0"), "charts/web/Chart.yaml": chartYAML("web")}, want: []string{"charts/ has web 1.2.3, and 1.9.0 is wanted", "helm dependency build"}},
		"another version without a lock":   {files: map[string]string{"Chart.yaml": chartYAML("top", "dependencies:\n", dependency("web", "^2", w.web.URL)), "charts/web/Chart.yaml": chartYAML("web")}, want: []string{"charts/ has web 1.2.3, and ^2 is wanted"}},
		"a range without a lock":           {files: one("shop", "^1", w.web.URL), want: []string{"not locked", "helm dependency update"}},
		"an alias of Helm's configuration": {files: one("shop", "1.2.3", "@mine"), want: []string{`"@mine" is known to your Helm only`, "helm dependency build"}},
		"no repository":                    {files: one("shop", "1.2.3", ""), want: []string{"charts/ lacks shop 1.2.3"}},
		"another chart than is named":      {files: one("other", "1.2.3", w.web.URL), want: []string{`is actually chart "shop"`}},
		"a dependency that is not there":   {files: one("none", "1.2.3", w.web.URL), want: []string{`no chart "none"`}},
		"a dependency's server is down":    {files: one("web", "1.2.3", "http://127.0.0.1:1"), want: []string{`fetching dependency "web" 1.2.3`, "helm dependency build"}, code: release.ExitFault},
		"a dependency outside":             {files: one("etc", "1.2.3", "file:///etc"), want: []string{"outside the work tree"}},
		"a dependency in itself":           {files: one("top", "1.2.3", "file://."), want: []string{"levels"}},
		"a dependency inside the network":  {files: one("web", "1.2.3", w.web.URL), hosts: []string{"other.example.com"}, want: []string{"--chart-host " + w.host()}},
		"OCI inside the network":           {files: one("shop", "1.2.3", "oci://10.1.2.3/charts"), want: []string{`leads to "10.1.2.3"`, "--chart-host"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, tree: t.TempDir(), oci: w.oci, web: w.web}
			w.tree, _ = filepath.EvalSymlinks(w.tree)
			for file, text := range test.files {
				w.write(map[string]string{"top/" + file: text})
			}
			if test.ref == (release.ChartRef{}) && test.files != nil {
				test.ref = release.ChartRef{Chart: "top"}
			}
			if test.ref.Version != "" && test.ref.Repository == "" {
				w.write(map[string]string{"top/Chart.yaml": chartYAML("top")})
			}
			_, err := w.finder(func(o *Options) {
				if test.hosts != nil {
					o.Hosts = test.hosts
				}
			}).Locate(t.Context(), test.ref)
			code := test.code
			if code == 0 {
				code = release.ExitInput
			}
			if err == nil || release.ExitCode(err) != code {
				t.Fatalf("got %v (exit %d), want exit %d", err, release.ExitCode(err), code)
			}
			for _, want := range test.want {
				if !strings.Contains(fmt.Sprintf("%v %+v", err, adviceOf(err)), want) {
					t.Errorf("no %q in: %v %v", want, err, adviceOf(err))
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v shows a password", err)
			}
		})
	}
	if digest == "" {
		t.Error("the registry gave no digest")
	}
}

// adviceOf is what a fault advises.
func adviceOf(err error) string {
	var fault *release.Fault
	if errors.As(err, &fault) {
		return fault.Do
	}
	return ""
}

func TestTheCommonChartIsTheLastResort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	common := filepath.Join(t.TempDir(), "service")
	if err := os.MkdirAll(common, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(common, "Chart.yaml"), []byte(chartYAML("common")), 0o600); err != nil {
		t.Fatal(err)
	}
	withCommon := func(o *Options) { o.Common = common }
	located, err := w.finder(withCommon).Locate(t.Context(), release.ChartRef{})
	if err != nil || located.Path != common || located.Source != "the common chart" {
		t.Errorf("got %+v, %v", located, err)
	}
	w.write(map[string]string{"charts/service/Chart.yaml": chartYAML("own")})
	if located, err = w.finder(withCommon).Locate(t.Context(), release.ChartRef{}); err != nil || located.Path != filepath.Join(w.tree, "charts/service") {
		t.Errorf("got %+v, %v", located, err)
	}
	if _, err := w.finder(withCommon).Locate(t.Context(), release.ChartRef{Chart: "charts/other"}); err == nil {
		t.Error("a path that does not exist is the common chart")
	}
}

// TestTheProgramHasTheCommonChart: it is the one of the repository, for a work tree without a chart where no action runs, and the log says so.
func TestTheProgramHasTheCommonChart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	common, err := w.finder(func(o *Options) { o.Common = "../../../charts/service" }).Locate(t.Context(), release.ChartRef{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	embedded := func(o *Options) {
		o.Embedded, o.Notice = charts.Service(), func(line string) { said = append(said, line) }
	}
	finder := w.finder(embedded)
	for range 2 {
		located, err := finder.Locate(t.Context(), release.ChartRef{})
		if err != nil || located.Digest != common.Digest || located.Source != common.Source {
			t.Errorf("got %+v, %v, want %+v", located, err, common)
		}
		if _, err := loader.Load(located.Path); err != nil {
			t.Error(err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "the common chart that comes with this program, as no --chart is given") {
		t.Errorf("said %q", said)
	}
	w.write(map[string]string{"charts/service/Chart.yaml": chartYAML("own")})
	if located, err := w.finder(embedded).Locate(t.Context(), release.ChartRef{}); err != nil || located.Path != filepath.Join(w.tree, "charts/service") {
		t.Errorf("got %+v, %v", located, err)
	}
}

// TestWhatIsNoChartIsReportedLater checks that a path is located although it is no chart: what reads it reports all problems together.
func TestWhatIsNoChartIsReportedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(map[string]string{"empty/values.yaml": "", "file.tgz": "no package"})
	for _, path := range []string{"empty", "file.tgz"} {
		if located, err := w.finder().Locate(t.Context(), release.ChartRef{Chart: path}); err != nil || located.Path != filepath.Join(w.tree, path) {
			t.Errorf("%s: got %+v, %v", path, located, err)
		}
	}
}

func TestLocateEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.finder().Locate(ctx, release.ChartRef{Chart: "shop", Repository: w.web.URL, Version: "1.2.3"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseOCI(f *testing.F) {
	for _, seed := range []string{"oci://a/b:1", "oci://localhost:5000/a/b@sha256:" + strings.Repeat("a", 64), "oci://a:1/b", "oci://", "oci://a/b:1@x", "oci://a/b:1+2"} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, address, version string) {
		repository, reference, err := parseOCI(address, version)
		if err == nil && (repository == release.Repository("") || reference == "" || strings.ContainsAny(reference, "/ \n")) {
			t.Errorf("%q: %q, %q", address, repository, reference)
		}
	})
}

// TestSchemas: only hosts that are named are asked for the schemas of charts, and none is asked by a redirect into a network.
func TestSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.files["/common.json"] = []byte(`{}`)
	for name, test := range map[string]struct {
		options Options
		address string
		want    string // "": it is read
	}{
		"a named host":          {Options{Schemas: []string{w.host()}, Hosts: []string{w.host()}}, w.web.URL + "/common.json", ""},
		"another":               {Options{Schemas: []string{"schemas.example.com"}, Hosts: []string{w.host()}}, w.web.URL + "/common.json", "--schema-host does not name"},
		"no host":               {Options{Schemas: []string{w.host()}}, "file:///etc/hostname", "not at an address of HTTPS"},
		"without TLS":           {Options{Schemas: []string{w.host()}}, w.web.URL + "/common.json", "https"},
		"a redirect to the VM":  {Options{Schemas: []string{w.host()}, Hosts: []string{w.host()}}, w.web.URL + "/moved.tgz", "169.254.169.254"},
		"a schema that is gone": {Options{Schemas: []string{w.host()}, Hosts: []string{w.host()}}, w.web.URL + "/gone.json", "does not exist"},
	} {
		got, err := New(test.options).Schema(t.Context(), test.address)
		if test.want == "" && (err != nil || string(got) != "{}") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}
