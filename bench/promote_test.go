// Package bench holds what onedigest costs against the tools it replaces, both in the same run: `make bench`.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

const commit = release.Commit("0123456789abcdef0123456789abcdef01234567")

// subject is something to promote: an image or an index.
type subject struct {
	name string
	push func(ref name.Reference, options ...remote.Option) (v1.Hash, error)
}

func subjects(b *testing.B) []subject {
	b.Helper()
	image := func(layers int64) v1.Image {
		made, err := random.Image(16<<10, layers)
		if err != nil {
			b.Fatal(err)
		}
		return mutate.Annotations(made, map[string]string{release.AnnotationRevision: commit.String()}).(v1.Image)
	}
	list := []subject{}
	for _, layers := range []int64{1, 10, 50} {
		list = append(list, subject{fmt.Sprintf("%d layers", layers), func(ref name.Reference, options ...remote.Option) (v1.Hash, error) {
			made := image(layers)
			if err := remote.Write(ref, made, options...); err != nil {
				return v1.Hash{}, err
			}
			return made.Digest()
		}})
	}
	return append(list, subject{"index of 4 platforms", func(ref name.Reference, options ...remote.Option) (v1.Hash, error) {
		index := v1.ImageIndex(empty.Index)
		for _, architecture := range []string{"amd64", "arm64", "ppc64le", "s390x"} {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image(3), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
		}
		index = mutate.Annotations(index, map[string]string{release.AnnotationRevision: commit.String()}).(v1.ImageIndex)
		if err := remote.WriteIndex(ref, index, options...); err != nil {
			return v1.Hash{}, err
		}
		return index.Digest()
	}})
}

// proved is a registry with the subject in it and staging's evidence beside it.
type proved struct {
	server *localawstest.Server
	image  release.Image
}

func prove(b *testing.B, s subject) proved {
	b.Helper()
	server := localawstest.Start(b)
	repository := server.Repository("shop")
	ref, err := name.ParseReference(repository.String()+":"+commit.String(), name.Insecure)
	if err != nil {
		b.Fatal(err)
	}
	digest, err := s.push(ref, remote.WithAuth(login(server)))
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := release.ParseDigest(digest.String())
	if err != nil {
		b.Fatal(err)
	}
	p := proved{server: server, image: repository.At(parsed)}
	content, err := evidence.Encode(release.Evidence{Image: p.image, Commit: commit, Environment: "staging", Verdict: release.Pass,
		Checks: []string{"/"}, Rounds: 3, Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		b.Fatal(err)
	}
	client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return "AWS", server.IssueToken(), nil }})
	if _, err := client.Attach(b.Context(), p.image, evidence.ArtifactType, evidence.MediaType, content, nil); err != nil {
		b.Fatal(err)
	}
	return p
}

func login(server *localawstest.Server) authn.Authenticator {
	return authn.FromConfig(authn.AuthConfig{Username: "AWS", Password: server.IssueToken()})
}

// report adds to the metrics what the registry saw of the last promotion. Requests for a token are left out on both sides: crane is
// handed one. What promote asks about the evidence, by the digests of records, and about the lifecycle policy is counted apart.
func (p proved) report(b *testing.B) {
	b.Helper()
	var tagging, evidence, lifecycle int
	var bytes int64
	for _, request := range p.server.Requests() {
		isOfTheImage := strings.Contains(request.Begins, p.image.Digest.String()) || strings.Contains(request.Begins, `"imageTag"`)
		switch {
		case request.Route == localaws.RouteGetAuthorizationToken:
			continue
		case request.Route == localaws.RouteListImageReferrers, request.Route == localaws.RouteBatchGetImage && !isOfTheImage:
			evidence++
		case request.Route == localaws.RouteGetLifecyclePolicy, request.Route == localaws.RouteDescribeImages:
			lifecycle++
		default:
			tagging++
		}
		bytes += request.In + request.Out
	}
	b.ReportMetric(float64(tagging), "tag-requests")
	b.ReportMetric(float64(evidence), "evidence-requests")
	b.ReportMetric(float64(lifecycle), "lifecycle-requests")
	b.ReportMetric(float64(bytes), "bytes")
}

// BenchmarkPromote counts what giving a proved image production's tag costs. promote also reads the evidence and the
// tag again, which crane does not; its requests are counted apart.
func BenchmarkPromote(b *testing.B) {
	for _, s := range subjects(b) {
		b.Run("onedigest promote/"+s.name, func(b *testing.B) {
			p := prove(b, s)
			for i := range b.N {
				p.server.ResetRequests()
				var stderr bytes.Buffer
				code := apppromote.Command().Run(b.Context(), app.Process{Args: []string{"--image", p.image.String(), "--tag", fmt.Sprintf("production-%d", i)},
					Environ: append(p.server.Env(), "HOME="+b.TempDir()), Dir: b.TempDir(), Stdout: io.Discard, Stderr: &stderr, Now: time.Now})
				if code != 0 {
					b.Fatal(stderr.String())
				}
			}
			p.report(b)
		})
		b.Run("crane tag/"+s.name, func(b *testing.B) {
			p := prove(b, s)
			for i := range b.N {
				p.server.ResetRequests()
				if err := crane.Tag(p.image.String(), fmt.Sprintf("production-%d", i), crane.WithAuth(login(p.server)), crane.Insecure); err != nil {
					b.Fatal(err)
				}
			}
			p.report(b)
		})
		b.Run("crane copy/"+s.name, func(b *testing.B) {
			p := prove(b, s)
			for i := range b.N {
				p.server.ResetRequests()
				target := strings.SplitN(p.image.String(), "@", 2)[0] + fmt.Sprintf(":production-%d", i)
				if err := crane.Copy(p.image.String(), target, crane.WithAuth(login(p.server)), crane.Insecure); err != nil {
					b.Fatal(err)
				}
			}
			p.report(b)
		})
	}
}
