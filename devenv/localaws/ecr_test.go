package localaws_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

func TestGetAuthorizationToken(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	server := localawstest.Start(t, func(o *localaws.Options) { o.Now = func() time.Time { return now } })
	out, err := ecrClient(server).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.AuthorizationData) != 1 {
		t.Fatalf("got %d authorizations, want 1", len(out.AuthorizationData))
	}
	got := out.AuthorizationData[0]
	if want := now.Add(12 * time.Hour); !got.ExpiresAt.Equal(want) {
		t.Errorf("got expiry %s, want %s", got.ExpiresAt, want)
	}
	if *got.ProxyEndpoint != server.URL() {
		t.Errorf("got endpoint %q, want %q", *got.ProxyEndpoint, server.URL())
	}
	decoded, err := base64.StdEncoding.DecodeString(*got.AuthorizationToken)
	if err != nil || !strings.HasPrefix(string(decoded), "AWS:") {
		t.Errorf("got token %q (%v), want base64 of AWS:password", decoded, err)
	}
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	client, ctx := ecrClient(server), t.Context()
	created, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName:     aws.String("team/shop"),
		ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
			{Filter: aws.String("latest*"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *created.Repository.RepositoryUri, server.Address()+"/team/shop"; got != want {
		t.Errorf("got repository URI %q, want %q", got, want)
	}
	if got, want := *created.Repository.RepositoryArn, "arn:aws:ecr:us-east-1:000000000000:repository/team/shop"; got != want {
		t.Errorf("got ARN %q, want %q", got, want)
	}
	if got := created.Repository.ImageTagMutabilityExclusionFilters; len(got) != 1 || *got[0].Filter != "latest*" {
		t.Errorf("got filters %v, want latest*", got)
	}

	_, err = client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/shop")})
	wantAPIError(t, err, "RepositoryAlreadyExistsException",
		"The repository with name 'team/shop' already exists in the registry with id '000000000000'")

	for _, name := range []string{"UPPER", "x", "a//b", "a/", "-a", strings.Repeat("a", 257)} {
		_, err = client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name})
		wantAPIError(t, err, "InvalidParameterException", "repositoryName")
	}
	_, err = client.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName:          aws.String("secret"),
		EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms},
	})
	wantAPIError(t, err, "InvalidParameterException", "KMS")

	_, err = client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"none"}})
	wantAPIError(t, err, "RepositoryNotFoundException",
		"The repository with name 'none' does not exist in the registry with id '000000000000'")
	_, err = client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{
		RegistryId: aws.String("111111111111"), RepositoryNames: []string{"team/shop"},
	})
	wantAPIError(t, err, "RepositoryNotFoundException", "in the registry with id '111111111111'")

	push(t, server, "team/shop:one", randomImage(t))
	_, err = client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String("team/shop")})
	wantAPIError(t, err, "RepositoryNotEmptyException", "still contains images")
	if _, err = client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{
		RepositoryName: aws.String("team/shop"), Force: true,
	}); err != nil {
		t.Errorf("deleting by force: %v", err)
	}
	_, err = client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String("team/shop")})
	wantAPIError(t, err, "RepositoryNotFoundException", "team/shop")
}

func TestDescribeRepositoriesInPages(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	var want, got []string
	for i := range 7 {
		name := fmt.Sprintf("repo%d", i)
		server.Repository(name)
		want = append(want, name)
	}
	pages := ecr.NewDescribeRepositoriesPaginator(ecrClient(server), &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(3)})
	requests := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		requests++
		for _, repository := range page.Repositories {
			got = append(got, *repository.RepositoryName)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	if requests != 3 {
		t.Errorf("got %d pages, want 3", requests)
	}
	_, err := ecrClient(server).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(1001)})
	wantAPIError(t, err, "InvalidParameterException", "maxResults")
	_, err = ecrClient(server).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{NextToken: aws.String("?")})
	wantAPIError(t, err, "InvalidParameterException", "nextToken")
}

func TestPutImageTagMutability(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	client := ecrClient(server)
	filter := func(text string) types.ImageTagMutabilityExclusionFilter {
		return types.ImageTagMutabilityExclusionFilter{
			Filter: &text, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard,
		}
	}
	six := make([]types.ImageTagMutabilityExclusionFilter, 6)
	for i := range six {
		six[i] = filter("x*")
	}
	for _, test := range []struct {
		name       string
		mutability types.ImageTagMutability
		filters    []types.ImageTagMutabilityExclusionFilter
		refused    string // "" is accepted
	}{
		{"immutable", types.ImageTagMutabilityImmutable, nil, ""},
		{"mutable", types.ImageTagMutabilityMutable, nil, ""},
		{"with exclusion", types.ImageTagMutabilityMutableWithExclusion, six[:5], ""},
		{"unknown", "SOMETIMES", nil, "imageTagMutability"},
		{"exclusion without filters", types.ImageTagMutabilityImmutableWithExclusion, nil, "must not be empty"},
		{"filters without exclusion", types.ImageTagMutabilityImmutable, six[:1], "must be empty"},
		{"six filters", types.ImageTagMutabilityImmutableWithExclusion, six, "less than or equal to 5"},
		{
			"bad filter", types.ImageTagMutabilityImmutableWithExclusion,
			[]types.ImageTagMutabilityExclusionFilter{filter("a?b")}, "regular expression",
		},
	} {
		out, err := client.PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{
			RepositoryName: aws.String("shop"), ImageTagMutability: test.mutability,
			ImageTagMutabilityExclusionFilters: test.filters,
		})
		switch {
		case test.refused != "":
			wantAPIError(t, err, "InvalidParameterException", test.refused)
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case out.ImageTagMutability != test.mutability || len(out.ImageTagMutabilityExclusionFilters) != len(test.filters):
			t.Errorf("%s: got %s with %d filters", test.name, out.ImageTagMutability, len(out.ImageTagMutabilityExclusionFilters))
		}
	}
}

// TestRetag adds a tag by the ECR API: read the manifest, put it under another tag, transfer no layer.
func TestRetag(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	client, ctx := ecrClient(server), t.Context()
	image, other := randomImage(t), randomImage(t)
	push(t, server, "shop:built", image)
	push(t, server, "shop:other", other)
	server.ResetRequests()

	got, err := client.BatchGetImage(ctx, &ecr.BatchGetImageInput{
		RepositoryName: aws.String("shop"), ImageIds: []types.ImageIdentifier{{ImageDigest: aws.String(digestOf(t, image))}},
	})
	if err != nil || len(got.Images) != 1 || len(got.Failures) != 0 {
		t.Fatalf("getting: %v, %+v", err, got)
	}
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if *got.Images[0].ImageManifest != string(raw) {
		t.Errorf("the API's manifest is not the bytes that were pushed")
	}
	put := &ecr.PutImageInput{
		RepositoryName: aws.String("shop"), ImageManifest: got.Images[0].ImageManifest,
		ImageManifestMediaType: got.Images[0].ImageManifestMediaType, ImageTag: aws.String("production"),
	}
	out, err := client.PutImage(ctx, put)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Image.ImageId.ImageDigest != digestOf(t, image) || *out.Image.ImageId.ImageTag != "production" {
		t.Errorf("got %+v, want the image's digest under production", out.Image.ImageId)
	}
	if got := len(server.Requests()); got != 2 {
		t.Errorf("retagging took %d requests, want 2", got)
	}
	if begins := server.Requests()[0].Begins; !strings.Contains(begins, digestOf(t, image)) || len(begins) > 512 {
		t.Errorf("the log says that the request begins with %q", begins)
	}
	// The registry serves what the API changed.
	seen, err := remote.Head(reference(t, server, "shop:production"), options(server)...)
	if err != nil || seen.Digest.String() != digestOf(t, image) {
		t.Errorf("the registry has %v (%v) under the tag, want %s", seen, err, digestOf(t, image))
	}

	_, err = client.PutImage(ctx, put)
	wantAPIError(t, err, "ImageAlreadyExistsException", "and tag 'production' already exists in the repository with name 'shop'")
	put.ImageTag = nil
	_, err = client.PutImage(ctx, put)
	wantAPIError(t, err, "ImageAlreadyExistsException", digestOf(t, image))
	put.ImageTag = aws.String("other")
	_, err = client.PutImage(ctx, put)
	wantAPIError(t, err, "ImageTagAlreadyExistsException",
		"The image tag 'other' already exists in the 'shop' repository and cannot be overwritten because the tag is immutable.")
}

func TestPutImageRefusals(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	client := ecrClient(server)
	image := randomImage(t)
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(64, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	rawIndex, err := index.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, manifest, tag, digest, mediaType, code, message string
	}{
		{name: "layers absent", manifest: string(raw), code: "LayersNotFoundException", message: "sha256:"},
		{name: "children absent", manifest: string(rawIndex), code: "ReferencedImagesNotFoundException", message: "Images with digests"},
		{
			name: "digest differs", manifest: string(raw), digest: "sha256:" + strings.Repeat("0", 64),
			code: "ImageDigestDoesNotMatchException", message: "that Amazon ECR has calculated",
		},
		{name: "no JSON", manifest: "{", code: "InvalidParameterException", message: "invalid JSON"},
		{name: "tag", manifest: string(raw), tag: "-no", code: "InvalidParameterException", message: "tag"},
		{name: "empty", manifest: " ", code: "InvalidParameterException", message: "JSON"},
		{name: "media types differ", manifest: string(raw), mediaType: "text/plain", code: "InvalidParameterException", message: "says"},
		{
			name: "too long", manifest: `{"schemaVersion":2,"x":"` + strings.Repeat("a", 4<<20) + `"}`,
			code: "InvalidParameterException", message: "4194304",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := &ecr.PutImageInput{RepositoryName: aws.String("shop"), ImageManifest: &test.manifest}
			if test.tag != "" {
				in.ImageTag = &test.tag
			}
			if test.digest != "" {
				in.ImageDigest = &test.digest
			}
			if test.mediaType != "" {
				in.ImageManifestMediaType = &test.mediaType
			}
			_, err := client.PutImage(t.Context(), in)
			wantAPIError(t, err, test.code, test.message)
		})
	}
}

func TestBatchGetImageFailures(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	one, two := randomImage(t), randomImage(t)
	push(t, server, "shop:one", one)
	push(t, server, "shop:two", two)
	id := func(digest, tag string) types.ImageIdentifier {
		var id types.ImageIdentifier
		if digest != "" {
			id.ImageDigest = &digest
		}
		if tag != "" {
			id.ImageTag = &tag
		}
		return id
	}
	out, err := ecrClient(server).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
		RepositoryName: aws.String("shop"),
		ImageIds: []types.ImageIdentifier{
			id(digestOf(t, one), "one"), id("", "none"), id(digestOf(t, one), "two"),
			id("sha256:ABC", ""), id("sha256:"+strings.Repeat("0", 64), ""), {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Images) != 1 || *out.Images[0].ImageId.ImageDigest != digestOf(t, one) {
		t.Errorf("got %d images, want image one", len(out.Images))
	}
	var codes []types.ImageFailureCode
	for _, failure := range out.Failures {
		codes = append(codes, failure.FailureCode)
	}
	want := []types.ImageFailureCode{
		types.ImageFailureCodeImageNotFound, types.ImageFailureCodeImageTagDoesNotMatchDigest,
		types.ImageFailureCodeInvalidImageDigest, types.ImageFailureCodeImageNotFound,
		types.ImageFailureCodeMissingDigestAndTag,
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	out, err = ecrClient(server).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
		RepositoryName: aws.String("shop"), ImageIds: []types.ImageIdentifier{id("", "one")},
		AcceptedMediaTypes: []string{"application/vnd.oci.image.index.v1+json"},
	})
	if err != nil || len(out.Images) != 0 || len(out.Failures) != 1 {
		t.Errorf("an unaccepted media type gave %+v, %v; want one failure", out, err)
	}
	_, err = ecrClient(server).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
		RepositoryName: aws.String("shop"), ImageIds: make([]types.ImageIdentifier, 101),
	})
	wantAPIError(t, err, "InvalidParameterException", "imageIds")
}

func TestDeleteAndListImages(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	client, ctx := ecrClient(server), t.Context()
	image := randomImage(t)
	push(t, server, "shop:a", image)
	push(t, server, "shop:b", image)
	index, err := random.Index(64, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(reference(t, server, "shop:index"), index, options(server)...); err != nil {
		t.Fatal(err)
	}
	children, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	child := children.Manifests[0].Digest.String()

	count := func(status types.TagStatus) int {
		t.Helper()
		total := 0
		pages := ecr.NewListImagesPaginator(client, &ecr.ListImagesInput{
			RepositoryName: aws.String("shop"), MaxResults: aws.Int32(1),
			Filter: &types.ListImagesFilter{TagStatus: status},
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			total += len(page.ImageIds)
		}
		return total
	}
	if got := [3]int{count(types.TagStatusTagged), count(types.TagStatusUntagged), count(types.TagStatusAny)}; got != [3]int{3, 1, 4} {
		t.Errorf("listed %v tagged, untagged, any; want 3, 1, 4", got)
	}
	remove := func(id types.ImageIdentifier) *ecr.BatchDeleteImageOutput {
		t.Helper()
		out, err := client.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{
			RepositoryName: aws.String("shop"), ImageIds: []types.ImageIdentifier{id},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := remove(types.ImageIdentifier{ImageDigest: &child})
	if len(out.Failures) != 1 || out.Failures[0].FailureCode != types.ImageFailureCodeImageReferencedByManifestList {
		t.Errorf("deleting an index's child gave %+v, want ImageReferencedByManifestList", out)
	}
	if out = remove(types.ImageIdentifier{ImageTag: aws.String("a")}); len(out.ImageIds) != 1 {
		t.Errorf("untagging gave %+v, want one id", out)
	}
	if _, err := remote.Head(reference(t, server, "shop@"+digestOf(t, image)), options(server)...); err != nil {
		t.Errorf("the image is gone with one of its two tags: %v", err)
	}
	remove(types.ImageIdentifier{ImageTag: aws.String("b")})
	if _, err := remote.Head(reference(t, server, "shop@"+digestOf(t, image)), options(server)...); err == nil {
		t.Error("the image outlived its last tag")
	}
	if err := server.DeleteImage("shop", "index"); err != nil {
		t.Error(err)
	}
	if err := server.DeleteImage("shop", "index"); err == nil {
		t.Error("deleting an image twice succeeded")
	}
	if out = remove(types.ImageIdentifier{ImageDigest: &child}); len(out.ImageIds) != 1 {
		t.Errorf("deleting the child after its index gave %+v", out)
	}
}

func TestDescribeImages(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server := localawstest.Start(t, func(o *localaws.Options) { o.Now = func() time.Time { return now } })
	server.Repository("shop")
	image := randomImage(t)
	push(t, server, "shop:b", image)
	push(t, server, "shop:a", image)
	out, err := ecrClient(server).DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: aws.String("shop"), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("a")}},
	})
	if err != nil || len(out.ImageDetails) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	detail := out.ImageDetails[0]
	if diff := cmp.Diff([]string{"a", "b"}, detail.ImageTags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if !detail.ImagePushedAt.Equal(now) || *detail.ImageSizeInBytes < 3*1024 || *detail.ImageDigest != digestOf(t, image) {
		t.Errorf("got %s, %d bytes, %s", detail.ImagePushedAt, *detail.ImageSizeInBytes, *detail.ImageDigest)
	}
	_, err = ecrClient(server).DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: aws.String("shop"), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("none")}},
	})
	wantAPIError(t, err, "ImageNotFoundException",
		"The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the repository with name 'shop'")
	all, err := ecrClient(server).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: aws.String("shop")})
	if err != nil || len(all.ImageDetails) != 1 {
		t.Errorf("got %+v, %v; want one image", all, err)
	}
}
