package localaws_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

func inDir(dir string) localawstest.Option { return func(o *localaws.Options) { o.Dir = dir } }

// TestRestart stops a server and starts another on its directory: repositories and tokens are still valid.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := localawstest.Start(t, inDir(dir))
	rule := localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"dev-*"}}
	first.RepositoryWith("team/shop", rule)
	first.Repository("gone")
	image := randomImage(t)
	push(t, first, "team/shop:one", image)
	index, err := random.Index(64, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(reference(t, first, "team/shop:many"), index, options(first)...); err != nil {
		t.Fatal(err)
	}
	if _, err := ecrClient(first).DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: aws.String("gone")}); err != nil {
		t.Fatal(err)
	}
	describe := func(server *localawstest.Server) []types.ImageDetail {
		out, err := ecrClient(server).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: aws.String("team/shop")})
		if err != nil {
			t.Fatal(err)
		}
		return out.ImageDetails
	}
	before, password := describe(first), first.IssueToken()
	ask(t, first, http.MethodPost, "/v2/team/shop/blobs/uploads/", "", nil)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := localawstest.Start(t, inDir(dir))
	if diff := cmp.Diff(before, describe(second), cmpopts.IgnoreUnexported(types.ImageDetail{})); diff != "" {
		t.Errorf("images (-before +after):\n%s", diff)
	}
	pulled, err := remote.Image(reference(t, second, "team/shop:one"),
		remote.WithAuth(&authn.Basic{Username: "AWS", Password: password}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Errorf("after the restart the image is not sound: %v", err)
	}
	if diff := cmp.Diff([]string{"team/shop"}, second.Status().Repositories); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	err = remote.Write(reference(t, second, "team/shop:one"), randomImage(t), options(second)...)
	wantRegistryError(t, err, http.StatusBadRequest, transport.TagInvalidErrorCode, "immutable")
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("unfinished uploads are left: %v, %v", left, err)
	}
}

func TestDirIsLockedByOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := localawstest.Start(t, inDir(dir))
	if second, err := localaws.New(localaws.Options{Dir: dir}); err == nil {
		t.Errorf("a second server took the directory: %v", second.Close())
	} else if !strings.Contains(err.Error(), "another server is using it") {
		t.Errorf("got error %v, want that another server is using it", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := localaws.New(localaws.Options{Dir: dir})
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

// TestSpoiledDir changes files in the directory: the next server reports it and does not start.
func TestSpoiledDir(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, glob, text, want string
	}{
		{"manifest", "manifests/*", `{"schemaVersion":2}`, "manifest sha256:"},
		{"repository", "repositories/*.json", `{`, "unexpected end"},
		{"repository renamed", "repositories/*.json", `{"name":"other","images":{},"tags":{},"blobs":{}}`, `repository "other"`},
		{"repository empty", "repositories/*.json", `{"name":"shop"}`, "missing"},
		{"tag of nothing", "repositories/*.json",
			`{"name":"shop","images":{},"tags":{"a":"sha256:` + strings.Repeat("0", 64) + `"},"blobs":{}}`, `tag "a"`},
		{"key", "token.key", "short", "5 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := localawstest.Start(t, inDir(dir))
			server.Repository("shop")
			push(t, server, "shop:one", randomImage(t))
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(test.glob)))
			if err != nil || len(files) == 0 {
				t.Fatalf("no file %s: %v", test.glob, err)
			}
			if err := os.WriteFile(files[0], []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			spoiled, err := localaws.New(localaws.Options{Dir: dir})
			if err == nil {
				t.Fatalf("a server started on it: %v", spoiled.Close())
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, options := range []localaws.Options{{Account: "12"}, {Region: "Mars"}, {Dir: "/dev/null/dir"}} {
		if server, err := localaws.New(options); err == nil {
			t.Errorf("%+v made a server: %v", options, server.Close())
		}
	}
	server := localawstest.Start(t)
	if err := server.Start("127.0.0.1:0"); err == nil {
		t.Error("a server started twice")
	}
}
