package localaws_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ggcrtypes "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

const ociManifest, ociIndex = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"

// bothStores runs a test on a server in memory and on one with a directory.
func bothStores(t *testing.T, run func(*testing.T, *localawstest.Server)) {
	t.Helper()
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			run(t, localawstest.Start(t, func(o *localaws.Options) {
				if where == "disk" {
					o.Dir = t.TempDir()
				}
			}))
		})
	}
}

func TestPushAndPull(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, server *localawstest.Server) {
		server.Repository("team/shop")
		image := randomImage(t)
		push(t, server, "team/shop:one", image)
		pulled, err := remote.Image(reference(t, server, "team/shop:one"), options(server)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(pulled); err != nil {
			t.Errorf("the pulled image is not sound: %v", err)
		}
		if got, want := digestOf(t, pulled), digestOf(t, image); got != want {
			t.Errorf("pulled %s, pushed %s", got, want)
		}
		index, err := random.Index(256, 2, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(reference(t, server, "team/shop:many"), index, options(server)...); err != nil {
			t.Fatal(err)
		}
		got, err := remote.Index(reference(t, server, "team/shop@"+digestOf(t, index)), options(server)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(got); err != nil {
			t.Errorf("the pulled index is not sound: %v", err)
		}
		tags, err := remote.List(reference(t, server, "team/shop").Context(), options(server)...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"many", "one"}, tags); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
		if paged, err := remote.List(reference(t, server, "team/shop").Context(),
			append(options(server), remote.WithPageSize(1))...); err != nil || len(paged) != 2 {
			t.Errorf("listing one tag a page gave %v, %v", paged, err)
		}
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	var clock struct {
		sync.Mutex
		now time.Time
	}
	clock.now = time.Now()
	server := localawstest.Start(t, func(o *localaws.Options) {
		o.Now = func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			return clock.now
		}
	})
	server.Repository("shop")
	head := func(user, password string) error {
		_, err := remote.Get(reference(t, server, "shop:none"), remote.WithAuth(&authn.Basic{Username: user, Password: password}),
			remote.WithRetryStatusCodes())
		return err
	}
	good := server.IssueToken()
	wantRegistryError(t, head("AWS", good), 404, transport.ManifestUnknownErrorCode, "Requested image not found")
	for _, test := range []struct{ user, password string }{
		{"", ""}, {"AWS", "guess"}, {"AWS", "."}, {"AWS", good + "x"}, {"AWS", "x" + good}, {"someone", good},
	} {
		response := send(t, http.MethodGet, server.URL()+"/v2/shop/tags/list", basic(test.user, test.password), nil)
		if response.status != http.StatusUnauthorized || response.body != "Not Authorized\n" {
			t.Errorf("%q: got %d %q, want 401", test, response.status, response.body)
		}
		want := `Basic realm="` + server.URL() + `/",service="ecr.amazonaws.com"`
		if got := response.header.Get("Www-Authenticate"); got != want {
			t.Errorf("got challenge %q, want %q", got, want)
		}
	}
	clock.Lock()
	clock.now = clock.now.Add(12 * time.Hour)
	clock.Unlock()
	wantRegistryError(t, head("AWS", good), 403, transport.DeniedErrorCode,
		"Your authorization token has expired. Reauthenticate and try again.")
	fresh := server.IssueToken()
	wantRegistryError(t, head("AWS", fresh), 404, transport.ManifestUnknownErrorCode, "")
	server.ExpireTokens()
	wantRegistryError(t, head("AWS", fresh), 403, transport.DeniedErrorCode, "expired")
	fresh = server.IssueToken()
	wantRegistryError(t, head("AWS", fresh), 404, transport.ManifestUnknownErrorCode, "")
	server.ForgetTokens()
	if got := send(t, http.MethodGet, server.URL()+"/v2/", basic("AWS", fresh), nil); got.status != http.StatusUnauthorized {
		t.Errorf("a forgotten token got %d, want 401", got.status)
	}
}

func basic(user, password string) http.Header {
	request := &http.Request{Header: http.Header{}}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	return request.Header
}

func TestUnknownRepository(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	err := remote.Write(reference(t, server, "none:one"), randomImage(t), options(server)...)
	wantRegistryError(t, err, 404, transport.NameUnknownErrorCode,
		"The repository with name 'none' does not exist in the registry with id '000000000000'")
}

func TestImmutableTags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule      localaws.TagRule
		tag       string
		immutable bool
	}{
		{localaws.TagRule{}, "v1", false},
		{localaws.TagRule{Mutability: localaws.Immutable}, "v1", true},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"latest", "dev-*"}}, "v1", true},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"latest", "dev-*"}}, "dev-7", false},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"latest", "dev-*"}}, "my-dev-7", true},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"*-dev-*"}}, "my-dev-7", false},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"a*b*a"}}, "aba", false},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"ab*ba"}}, "aba", true},
		{localaws.TagRule{Mutability: localaws.ImmutableWithExclusion, Exclude: []string{"*"}}, "v1", false},
		{localaws.TagRule{Mutability: localaws.MutableWithExclusion, Exclude: []string{"v*"}}, "v1", true},
		{localaws.TagRule{Mutability: localaws.MutableWithExclusion, Exclude: []string{"v*"}}, "main", false},
	} {
		t.Run(fmt.Sprintf("%s %v %s", test.rule.Mutability, test.rule.Exclude, test.tag), func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			server.RepositoryWith("shop", test.rule)
			first, second := randomImage(t), randomImage(t)
			push(t, server, "shop:"+test.tag, first)
			push(t, server, "shop:other", second)
			// The same digest is refused too.
			for _, image := range []v1.Image{first, second} {
				err := remote.Tag(reference(t, server, "shop:"+test.tag).(name.Tag), image, options(server)...)
				switch {
				case !test.immutable && err != nil:
					t.Errorf("moving a mutable tag: %v", err)
				case test.immutable:
					wantRegistryError(t, err, 400, transport.TagInvalidErrorCode, fmt.Sprintf("The image tag '%s' already "+
						"exists in the 'shop' repository and cannot be overwritten because the tag is immutable.", test.tag))
				}
			}
		})
	}
}

// TestRacingPuts pushes two images to one immutable tag at once, by the registry and by the API: one succeeds.
func TestRacingPuts(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	const racers, rounds = 8, 10
	images := make([]v1.Image, racers)
	raws := make([][]byte, racers)
	for i := range images {
		images[i] = randomImage(t)
		push(t, server, fmt.Sprintf("shop:racer-%d", i), images[i])
		raw, err := images[i].RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		raws[i] = raw
	}
	client := ecrClient(server)
	for round := range rounds {
		tag := fmt.Sprintf("prize-%d", round)
		won := make([]bool, racers)
		var wait sync.WaitGroup
		for i := range racers {
			wait.Go(func() {
				if i%2 == 0 {
					got, err := try(server, http.MethodPut, "/v2/shop/manifests/"+tag,
						"application/vnd.docker.distribution.manifest.v2+json", raws[i])
					won[i] = err == nil && got.status == http.StatusCreated
					return
				}
				_, err := client.PutImage(t.Context(), &ecr.PutImageInput{
					RepositoryName: aws.String("shop"), ImageManifest: aws.String(string(raws[i])), ImageTag: &tag,
				})
				won[i] = err == nil
			})
		}
		wait.Wait()
		winner := -1
		for i, win := range won {
			if win && winner >= 0 {
				t.Fatalf("racers %d and %d both won %s", winner, i, tag)
			}
			if win {
				winner = i
			}
		}
		if winner < 0 {
			t.Fatalf("nobody won %s", tag)
		}
		seen, err := remote.Head(reference(t, server, "shop:"+tag), options(server)...)
		if err != nil || seen.Digest.String() != digestOf(t, images[winner]) {
			t.Errorf("%s holds %v (%v), the winner's is %s", tag, seen, err, digestOf(t, images[winner]))
		}
	}
}

func TestManifestRefusals(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	const docker = "application/vnd.docker.distribution.manifest.v2+json"
	none := "sha256:" + strings.Repeat("0", 64)
	for _, test := range []struct {
		name, reference, mediaType string
		body                       []byte
		status                     int
		code, message              string
	}{
		{"layers absent", "one", docker, raw, 404, "MANIFEST_BLOB_UNKNOWN", "Layers with digests"},
		{
			"children absent", "one", ociIndex,
			[]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest + `","digest":"` + none + `","size":1}]}`),
			404, "MANIFEST_BLOB_UNKNOWN", "Images with digests '[" + none + "]' required for pushing image into repository with name 'shop'",
		},
		{
			"digest differs", none, docker, raw, 400, "MANIFEST_INVALID",
			"The image with digest '" + none + "' in repository 'shop' and registry ID '000000000000' does not match",
		},
		{"tag", "-x", docker, raw, 400, "TAG_INVALID", "-x"},
		{"no JSON", "one", docker, []byte("<html>"), 400, "MANIFEST_INVALID", "JSON"},
		{"schema 1", "one", "", []byte(`{"schemaVersion":1}`), 400, "MANIFEST_INVALID", "schema version 1"},
		{"media type", "one", "text/plain", []byte(`{"schemaVersion":2}`), 400, "MANIFEST_INVALID", "text/plain"},
		{"no config", "one", ociManifest, []byte(`{"schemaVersion":2}`), 400, "MANIFEST_INVALID", "config"},
		{"bad digest", "one", ociIndex, []byte(`{"schemaVersion":2,"manifests":[{"digest":"md5:1"}]}`), 400, "MANIFEST_INVALID", "md5"},
		{"negative size", "one", ociIndex, []byte(`{"schemaVersion":2,"manifests":[{"digest":"` + none + `","size":-1}]}`), 400, "MANIFEST_INVALID", "size"},
		{"too long", "one", docker, bytes.Repeat([]byte(" "), 4<<20+1), 413, "MANIFEST_INVALID", "4194304"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, server, http.MethodPut, "/v2/shop/manifests/"+test.reference, test.mediaType, test.body)
			var failure struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.Unmarshal([]byte(got.body), &failure); err != nil || len(failure.Errors) != 1 {
				t.Fatalf("got %d %s, want an error body", got.status, got.body)
			}
			if got.status != test.status || failure.Errors[0].Code != test.code ||
				!strings.Contains(failure.Errors[0].Message, test.message) {
				t.Errorf("got %d %s, want %d %s %q", got.status, got.body, test.status, test.code, test.message)
			}
		})
	}
	if tags := ask(t, server, http.MethodGet, "/v2/shop/tags/list", "", nil); tags.body != `{"name":"shop","tags":[]}` {
		t.Errorf("after refusals only, the tags are %s", tags.body)
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	push(t, server, "shop:one", randomImage(t))
	for _, test := range []struct{ method, path string }{
		{"DELETE", "/v2/shop/manifests/one"}, {"POST", "/v2/shop/tags/list"}, {"POST", "/v2/shop/referrers/sha256:0"},
		{"GET", "/v2/_catalog"}, {"DELETE", "/v2/shop/blobs/sha256:" + strings.Repeat("0", 64)}, {"GET", "/v2/shop/blobs/uploads/"},
	} {
		if got := ask(t, server, test.method, test.path, "", nil); got.status != 405 || !strings.Contains(got.body, "UNSUPPORTED") {
			t.Errorf("%s %s: got %d %s, want 405 UNSUPPORTED", test.method, test.path, got.status, got.body)
		}
	}
	if got := ask(t, server, "GET", "/v2/shop/tags/list?n=no", "", nil); got.status != 400 {
		t.Errorf("n=no: got %d, want 400", got.status)
	}
	if got := ask(t, server, "GET", "/v2/shop/referrers/one", "", nil); got.status != 400 {
		t.Errorf("referrers of a tag: got %d, want 400", got.status)
	}
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	subject := randomImage(t)
	push(t, server, "shop:one", subject)
	hash, err := subject.Digest()
	if err != nil {
		t.Fatal(err)
	}
	described, err := remote.Head(reference(t, server, "shop:one"), options(server)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"application/vnd.test.one", "application/vnd.test.two"} {
		referrer := mutate.Annotations(mutate.ConfigMediaType(mutate.MediaType(empty.Image, ociManifest), "application/vnd.none"),
			map[string]string{"kind": kind}).(v1.Image)
		referrer = mutate.Subject(mutate.ConfigMediaType(referrer, ggcrtypes.MediaType(kind)), *described).(v1.Image)
		to := reference(t, server, "shop@"+digestOf(t, referrer))
		if err := remote.Write(to, referrer, options(server)...); err != nil {
			t.Fatal(err)
		}
	}
	at := reference(t, server, "shop").Context().Digest(hash.String())
	index, err := remote.Referrers(at, options(server)...)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("got %+v (%v), want two referrers", manifest, err)
	}
	filtered := ask(t, server, http.MethodGet, "/v2/shop/referrers/"+hash.String()+"?artifactType=application/vnd.test.two", "", nil)
	var listed struct {
		Manifests []struct {
			ArtifactType string
			Annotations  map[string]string
		}
	}
	if err := json.Unmarshal([]byte(filtered.body), &listed); err != nil || len(listed.Manifests) != 1 ||
		listed.Manifests[0].Annotations["kind"] != "application/vnd.test.two" {
		t.Errorf("filtered: got %s", filtered.body)
	}
	if filtered.header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Errorf("got headers %v, want OCI-Filters-Applied", filtered.header)
	}
	// The server's header tells the client to write no fallback tag, which an immutable repository would refuse twice.
	tags, err := remote.List(reference(t, server, "shop").Context(), options(server)...)
	if diff := cmp.Diff([]string{"one"}, tags); err != nil || diff != "" {
		t.Errorf("tags (-want +got), %v:\n%s", err, diff)
	}
	if got := ask(t, server, http.MethodGet, "/v2/shop/referrers/sha256:"+strings.Repeat("0", 64), "", nil); got.status != 200 ||
		!strings.Contains(got.body, `"manifests":[]`) {
		t.Errorf("referrers of nothing: got %d %s, want an empty index", got.status, got.body)
	}
	out, err := ecrClient(server).DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: aws.String("shop"), Filter: &types.DescribeImagesFilter{TagStatus: types.TagStatusUntagged},
	})
	if err != nil || len(out.ImageDetails) != 2 || aws.ToString(out.ImageDetails[0].SubjectManifestDigest) != hash.String() {
		t.Errorf("the API describes %+v (%v), want two images with the subject", out, err)
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, server *localawstest.Server) {
		server.Repository("shop")
		server.Repository("other")
		blob := []byte("0123456789")
		digest := "sha256:" + hash(string(blob))
		begin := func() string {
			t.Helper()
			got := ask(t, server, http.MethodPost, "/v2/shop/blobs/uploads/", "", nil)
			if got.status != http.StatusAccepted {
				t.Fatalf("beginning: got %d %s", got.status, got.body)
			}
			return got.header.Get("Location")
		}

		location := begin()
		if got := ask(t, server, http.MethodPatch, location, "", blob[:4]); got.status != 202 || got.header.Get("Range") != "0-3" {
			t.Errorf("first part: got %d, range %q", got.status, got.header.Get("Range"))
		}
		if got := ask(t, server, http.MethodGet, location, "", nil); got.status != 204 || got.header.Get("Range") != "0-3" {
			t.Errorf("state: got %d, range %q", got.status, got.header.Get("Range"))
		}
		if got := ask(t, server, http.MethodPatch, strings.Replace(location, "/shop/", "/other/", 1), "", blob[4:]); got.status != 404 {
			t.Errorf("another repository's upload: got %d, want 404", got.status)
		}
		if got := ask(t, server, http.MethodPut, location+"?digest="+digest, "", blob[4:]); got.status != 201 ||
			got.header.Get("Docker-Content-Digest") != digest {
			t.Errorf("last part: got %d %s", got.status, got.body)
		}
		if got := ask(t, server, http.MethodPatch, location, "", blob); got.status != 404 {
			t.Errorf("an upload that has ended: got %d, want 404", got.status)
		}

		location = begin()
		for _, gap := range []string{"5-9", "x", "-1-3"} {
			header := basic("AWS", server.IssueToken())
			header.Set("Content-Range", gap)
			if got := send(t, http.MethodPatch, location, header, blob); got.status != 416 {
				t.Errorf("a part at %q of an empty upload: got %d, want 416", gap, got.status)
			}
		}
		for _, bad := range []string{digest[:70], "sha512:" + strings.Repeat("0", 128), ""} {
			if got := ask(t, server, http.MethodPut, location+"?digest="+bad, "", blob); got.status != 400 {
				t.Errorf("digest %q: got %d, want 400", bad, got.status)
			}
		}
		wrong := ask(t, server, http.MethodPut, location+"?digest="+digest, "", []byte("something else"))
		if wrong.status != 400 || !strings.Contains(wrong.body, "DIGEST_INVALID") || wrong.header.Get("Location") != "" {
			t.Errorf("wrong bytes: got %d %s", wrong.status, wrong.body)
		}
		if got := ask(t, server, http.MethodDelete, begin(), "", nil); got.status != 204 {
			t.Errorf("cancelling: got %d, want 204", got.status)
		}
		whole := []byte("in one request")
		if got := ask(t, server, http.MethodPost, "/v2/shop/blobs/uploads/?digest=sha256:"+hash(string(whole)), "", whole); got.status != 201 {
			t.Errorf("whole: got %d %s", got.status, got.body)
		}

		path := "/v2/other/blobs/" + digest
		if got := ask(t, server, http.MethodHead, path, "", nil); got.status != 404 {
			t.Errorf("a blob of another repository: got %d, want 404", got.status)
		}
		if got := ask(t, server, http.MethodPost, "/v2/other/blobs/uploads/?from=other&mount="+digest, "", nil); got.status != 202 {
			t.Errorf("mounting what is not there: got %d, want 202", got.status)
		}
		if got := ask(t, server, http.MethodPost, "/v2/other/blobs/uploads/?from=shop&mount="+digest, "", nil); got.status != 201 {
			t.Errorf("mounting: got %d, want 201", got.status)
		}
		if got := ask(t, server, http.MethodGet, path, "", nil); got.status != 200 || got.body != string(blob) {
			t.Errorf("a mounted blob: got %d %q", got.status, got.body)
		}
	})
}

// TestAbandonedUploads: unfinished uploads are bounded; the oldest is dropped.
func TestAbandonedUploads(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, server *localawstest.Server) {
		server.Repository("shop")
		begin := func() string {
			return ask(t, server, http.MethodPost, "/v2/shop/blobs/uploads/", "", nil).header.Get("Location")
		}
		first, second := begin(), begin()
		for range 255 {
			begin()
		}
		if got := ask(t, server, http.MethodGet, first, "", nil); got.status != 404 {
			t.Errorf("the oldest of 257: got %d, want 404", got.status)
		}
		if got := ask(t, server, http.MethodGet, second, "", nil); got.status != 204 {
			t.Errorf("the second of 257: got %d, want 204", got.status)
		}
	})
}

func TestRanges(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, server *localawstest.Server) {
		server.Repository("shop")
		blob := "0123456789"
		path := "/v2/shop/blobs/sha256:" + hash(blob)
		if got := ask(t, server, http.MethodPost, "/v2/shop/blobs/uploads/?digest=sha256:"+hash(blob), "", []byte(blob)); got.status != 201 {
			t.Fatalf("pushing: got %d %s", got.status, got.body)
		}
		for _, test := range []struct {
			header string
			status int
			body   string
		}{
			{"", 200, blob}, {"bytes=2-4", 206, "234"}, {"bytes=7-", 206, "789"}, {"bytes=7-99", 206, "789"},
			{"bytes=0-0", 206, "0"}, {"bytes=10-", 416, ""}, {"bytes=4-2", 200, blob}, {"bytes=1-2,4-5", 200, blob}, {"lines=1-2", 200, blob},
		} {
			header := basic("AWS", server.IssueToken())
			if test.header != "" {
				header.Set("Range", test.header)
			}
			got := send(t, http.MethodGet, server.URL()+path, header, nil)
			if got.status != test.status || test.status != 416 && got.body != test.body {
				t.Errorf("%q: got %d %q, want %d %q", test.header, got.status, got.body, test.status, test.body)
			}
		}
	})
}
