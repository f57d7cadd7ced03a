package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

const commit = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

// An image is pushed once and tagged by its commit. A second push of another image does not move the tag.
func Example() {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	defer server.Close()
	repository := release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop")
	ctx := context.Background()
	client := registry.New(registry.Options{})

	image, err := writeLayout("first")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(image.Dir) }()
	if err := client.Push(ctx, image, repository, commit, nil); err != nil {
		fmt.Println(err)
		return
	}
	info, found, err := client.Find(ctx, repository, commit)
	fmt.Println(found, info.Digest == image.Digest, info.Revision == commit, err)

	other, err := writeLayout("second")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(other.Dir) }()
	var taken *release.TagTakenError
	err = client.Push(ctx, other, repository, commit, nil)
	fmt.Println(errors.As(err, &taken))
	// Output:
	// true true true <nil>
	// true
}

// What is known of an image is attached to its digest.
func ExampleClient_Attach() {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	defer server.Close()
	repository := release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop")
	ctx := context.Background()
	client := registry.New(registry.Options{})
	layout, err := writeLayout("first")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(layout.Dir) }()
	if err := client.Push(ctx, layout, repository, commit, nil); err != nil {
		fmt.Println(err)
		return
	}

	const artifactType = "application/vnd.example.note.v1+json"
	image := repository.At(layout.Digest)
	if _, err := client.Attach(ctx, image, artifactType, "application/json", []byte(`{"checked": true}`), nil); err != nil {
		fmt.Println(err)
		return
	}
	for referrer, err := range client.Referrers(ctx, image, registry.ReferrerQuery{ArtifactTypes: []string{artifactType}}) {
		fmt.Printf("%s %v\n", referrer.Content, err)
	}
	// Output:
	// {"checked": true} <nil>
}

// writeLayout writes an image without layers as an OCI layout, as a builder does.
func writeLayout(title string) (release.Layout, error) {
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		return release.Layout{}, err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return release.Layout{}, err
	}
	plain := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, ok := mutate.Annotations(plain, map[string]string{release.AnnotationRevision: commit, "title": title}).(v1.Image)
	if !ok {
		return release.Layout{}, errors.New("annotating an image returned something else")
	}
	if err := path.AppendImage(image); err != nil {
		return release.Layout{}, err
	}
	hash, err := image.Digest()
	if err != nil {
		return release.Layout{}, err
	}
	digest, err := release.ParseDigest(hash.String())
	return release.Layout{Dir: dir, Digest: digest}, err
}
