// Package transport has what moving and tagging images costs against crane, in the same run: requests, time over a distance, memory.
package transport

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	commit    = release.Commit("0123456789abcdef0123456789abcdef01234567")
	roundTrip = 50 * time.Millisecond
)

func login(server *localawstest.Server) authn.Authenticator {
	return authn.FromConfig(authn.AuthConfig{Username: "AWS", Password: server.IssueToken()})
}

// push pushes an image that is labelled with the commit, and staging's evidence about it, which names the repository as promote is given it.
func push(b *testing.B, server *localawstest.Server, repository, named release.Repository, image v1.Image) release.Image {
	b.Helper()
	image = mutate.Annotations(image, map[string]string{release.AnnotationRevision: commit.String()}).(v1.Image)
	ref, err := name.ParseReference(repository.String()+":"+commit.String(), name.Insecure)
	if err != nil {
		b.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithAuth(login(server))); err != nil {
		b.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		b.Fatal(err)
	}
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		b.Fatal(err)
	}
	pushed := repository.At(digest)
	content, err := evidence.Encode(release.Evidence{Image: named.At(digest), Commit: commit, Environment: "staging", Verdict: release.Pass,
		Checks: []string{"/"}, Rounds: 3, Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		b.Fatal(err)
	}
	client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return "AWS", server.IssueToken(), nil }})
	if _, err := client.Attach(b.Context(), pushed, evidence.ArtifactType, evidence.MediaType, content, map[string]string{evidence.AnnotationEnvironment: "staging"}); err != nil {
		b.Fatal(err)
	}
	return pushed
}

func layers(b *testing.B, size, number int64) v1.Image {
	b.Helper()
	image, err := random.Image(size, number)
	if err != nil {
		b.Fatal(err)
	}
	return image
}

// promote runs the verb in this process.
func promote(b *testing.B, dir string, environ []string, arguments ...string) {
	b.Helper()
	var stderr bytes.Buffer
	code := apppromote.Command().Run(b.Context(), app.Process{Args: arguments, Environ: append(environ, "HOME="+dir), Dir: dir, Stdout: io.Discard, Stderr: &stderr, Now: time.Now})
	if code != 0 {
		b.Fatal(stderr.String())
	}
}

// BenchmarkPromoteFarAway is the time of one promotion if each request takes 50 ms: goals are 0.8 times crane tag without evidence and 1.2 times with.
// crane is given a password by what asks ECR for one, as docker-credential-ecr-login does; the ratios to a crane that has one already are there too.
func BenchmarkPromoteFarAway(b *testing.B) {
	server := localawstest.Start(b)
	target, err := url.Parse(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(roundTrip)
		proxy.ServeHTTP(w, r)
	}))
	defer far.Close()
	near := server.Repository("shop")
	repository := release.Repository(strings.TrimPrefix(far.URL, "http://") + "/shop")
	image := push(b, server, near, repository, layers(b, 16<<10, 10))
	farImage := repository.At(image.Digest)
	environ, dir := localaws.Environment(far.URL), b.TempDir()
	getenv := func(name string) string {
		for _, line := range environ {
			if key, value, _ := strings.Cut(line, "="); key == name {
				return value
			}
		}
		return ""
	}
	took := map[string][]float64{}
	measure := func(what string, run func()) {
		server.ResetRequests()
		began := time.Now()
		run()
		took[what] = append(took[what], float64(time.Since(began).Milliseconds()))
		b.ReportMetric(float64(len(server.Requests())), "requests("+what+")")
	}
	connect := func() *ecr.Client {
		cloud, err := ecr.New(b.Context(), ecr.Options{Environ: getenv})
		if err != nil {
			b.Fatal(err)
		}
		return cloud
	}
	for i := range b.N {
		measure("promote", func() { promote(b, dir, environ, "--image", farImage.String(), "--tag", fmt.Sprintf("a-%d", i)) })
		measure("retag", func() {
			cloud, tag := connect(), release.Tag(fmt.Sprintf("b-%d", i))
			state, err := cloud.Inspect(b.Context(), repository, image.Digest, tag)
			if err == nil {
				err = cloud.PutTag(b.Context(), repository, state.Manifest, state.MediaType, image.Digest, tag)
			}
			if err == nil {
				_, err = cloud.Inspect(b.Context(), repository, image.Digest, tag)
			}
			if err != nil {
				b.Fatal(err)
			}
		})
		measure("crane-with-password", func() {
			if err := crane.Tag(farImage.String(), fmt.Sprintf("c-%d", i), crane.WithAuth(login(server)), crane.Insecure); err != nil {
				b.Fatal(err)
			}
		})
		measure("crane", func() {
			username, password, _, err := connect().Credentials(b.Context(), repository.Host())
			if err != nil {
				b.Fatal(err)
			}
			auth := authn.FromConfig(authn.AuthConfig{Username: username, Password: password})
			if err := crane.Tag(farImage.String(), fmt.Sprintf("d-%d", i), crane.WithAuth(auth), crane.Insecure); err != nil {
				b.Fatal(err)
			}
		})
	}
	for what, times := range took {
		b.ReportMetric(median(times), "ms("+what+")")
	}
	b.ReportMetric(median(took["retag"])/median(took["crane-with-password"]), "ratio(retag/crane-with-password)")
	b.ReportMetric(median(took["promote"])/median(took["crane-with-password"]), "ratio(promote/crane-with-password)")
	b.ReportMetric(median(took["promote"])/median(took["crane"]), "ratio(promote/crane)")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkPromoteMany promotes images of as many repositories in one call, under ECR's default quota of ten PutImage requests a second. The goal is
// 1.2 times what the quota allows, and none lost. ONEDIGEST_BENCH_IMAGES sets how many; 1,000 take 100 seconds.
func BenchmarkPromoteMany(b *testing.B) {
	number := 1000
	if given := os.Getenv("ONEDIGEST_BENCH_IMAGES"); given != "" {
		if _, err := fmt.Sscan(given, &number); err != nil {
			b.Fatal(err)
		}
	}
	server, dir := localawstest.Start(b), b.TempDir()
	image := layers(b, 1<<10, 1)
	var matrix strings.Builder
	matrix.WriteString("services:\n")
	digests := map[string]string{}
	for i := range number {
		service := fmt.Sprintf("service-%d", i)
		repository := server.Repository("team/" + service)
		digest := push(b, server, repository, repository, image).Digest.String()
		fmt.Fprintf(&matrix, "  - name: %s\n    repository: %s\n", service, repository)
		digests[service] = digest
	}
	if err := os.WriteFile(filepath.Join(dir, "services.yaml"), []byte(matrix.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	var list []string
	for service, digest := range digests {
		list = append(list, fmt.Sprintf("%q: %q", service, digest))
	}
	quota := localaws.DocumentedQuotas()[localaws.RoutePutImage]
	for i := range b.N {
		server.SetQuotas(localaws.DocumentedQuotas())
		began := time.Now()
		promote(b, dir, append(server.Env(), "GITHUB_WORKSPACE="+dir), "--matrix", "services.yaml", "--digests", "{"+strings.Join(list, ",")+"}", "--to", []string{"production", "live"}[i%2], "--from", "staging",
			"--concurrency", "16")
		seconds := time.Since(began).Seconds()
		allowed := float64(number-quota.Burst) / quota.PerSecond
		b.ReportMetric(seconds, "s")
		b.ReportMetric(seconds/allowed, "ratio")
		b.ReportMetric(float64(server.Throttled(localaws.RoutePutImage)), "throttled")
		b.ReportMetric(float64(cmp.Or(server.Count(localaws.RoutePutImage, ""), 0))-float64(server.Throttled(localaws.RoutePutImage)), "tagged")
		server.ResetRequests()
	}
}
