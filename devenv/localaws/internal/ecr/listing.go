package ecr

import (
	"cmp"
	"slices"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// listFilter selects images by whether they have a tag.
type listFilter struct {
	TagStatus   string `json:"tagStatus"`   // TAGGED, UNTAGGED, ANY; "" is ANY
	ImageStatus string `json:"imageStatus"` // ACTIVE, ARCHIVED, ACTIVATING, ANY; "" is ACTIVE
}

func (f listFilter) check() *awsapi.Error {
	if !slices.Contains([]string{"", "TAGGED", "UNTAGGED", "ANY"}, f.TagStatus) {
		return awsapi.InvalidParameter("filter.tagStatus", "Member must satisfy enum value set: [ANY, TAGGED, UNTAGGED]")
	}
	return nil
}

func (f listFilter) lists(tagged bool) bool {
	return f.TagStatus == "" || f.TagStatus == "ANY" || (f.TagStatus == "TAGGED") == tagged
}

type listImagesInput struct {
	inRepository
	paging
	Filter listFilter `json:"filter"`
}

// listImages lists an id for each tag, and one for each image without a tag.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImages.html
func (a *API) listImages(_ string, in listImagesInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal == nil {
		refusal = in.Filter.check()
	}
	if refusal != nil {
		return nil, refusal
	}
	ids := map[string]store.ImageID{}
	for _, image := range found.Images {
		tags := found.TagsOf(image.Digest)
		if !in.Filter.lists(len(tags) > 0) {
			continue
		}
		if len(tags) == 0 {
			ids[image.Digest.String()] = store.ImageID{ImageDigest: image.Digest.String()}
		}
		for _, tag := range tags {
			ids[image.Digest.String()+" "+string(tag)] = store.ImageID{ImageDigest: image.Digest.String(), ImageTag: string(tag)}
		}
	}
	page, next, refusal := takePage(in.paging, sortedKeys(ids))
	if refusal != nil {
		return nil, refusal
	}
	listed := []store.ImageID{}
	for _, key := range page {
		listed = append(listed, ids[key])
	}
	return withNext(map[string]any{"imageIds": listed}, next), nil
}

type describeImagesInput struct {
	inRepository
	paging
	ImageIDs []store.ImageID `json:"imageIds"`
	Filter   listFilter      `json:"filter"`
}

type imageDetail struct {
	RegistryID             string         `json:"registryId"`
	RepositoryName         string         `json:"repositoryName"`
	ImageDigest            string         `json:"imageDigest"`
	ImageTags              []release.Tag  `json:"imageTags,omitempty"`
	ImageSizeInBytes       int64          `json:"imageSizeInBytes"`
	ImagePushedAt          float64        `json:"imagePushedAt"`
	ImageManifestMediaType string         `json:"imageManifestMediaType"`
	ArtifactMediaType      string         `json:"artifactMediaType,omitempty"`
	SubjectManifestDigest  release.Digest `json:"subjectManifestDigest,omitzero"`
	ImageStatus            string         `json:"imageStatus"`
	LastArchivedAt         float64        `json:"lastArchivedAt,omitempty"`
}

// describeImages describes the images in the request, all of which must exist, or all images.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
func (a *API) describeImages(_ string, in describeImagesInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal == nil {
		refusal = in.Filter.check()
	}
	if refusal != nil {
		return nil, refusal
	}
	details := []imageDetail{}
	if len(in.ImageIDs) > 0 {
		if refusal := checkBatch(in.ImageIDs); refusal != nil {
			return nil, refusal
		}
		for _, id := range in.ImageIDs {
			image, failure := found.Resolve(id)
			if failure != nil {
				return nil, awsapi.BadRequest("ImageNotFoundException", "The image with imageId %s does not exist within the "+
					"repository with name '%s' in the registry with id '%s'", id, in.RepositoryName, a.account)
			}
			details = append(details, a.detail(found, image))
		}
		return map[string]any{"imageDetails": details}, nil
	}
	listed := map[string]*store.Image{}
	for _, image := range found.Images {
		if in.Filter.lists(len(found.TagsOf(image.Digest)) > 0) && (in.Filter.ImageStatus == "ANY" || in.Filter.ImageStatus == statusOf(image) || in.Filter.ImageStatus == "" && image.Archived.IsZero()) {
			listed[image.Digest.String()] = image
		}
	}
	page, next, refusal := takePage(in.paging, sortedKeys(listed))
	if refusal != nil {
		return nil, refusal
	}
	for _, key := range page {
		details = append(details, a.detail(found, listed[key]))
	}
	return withNext(map[string]any{"imageDetails": details}, next), nil
}

// detail describes an image in the form of DescribeImages.
func (a *API) detail(in *store.Repository, image *store.Image) imageDetail {
	detail := imageDetail{
		RegistryID: a.account, RepositoryName: in.Name, ImageDigest: image.Digest.String(),
		ImageTags: in.TagsOf(image.Digest), ImageSizeInBytes: image.Size + int64(len(image.Body)),
		ImagePushedAt: awsapi.Epoch(image.Pushed), ImageManifestMediaType: string(image.MediaType),
		ArtifactMediaType: image.ArtifactType, SubjectManifestDigest: image.Subject, ImageStatus: statusOf(image),
	}
	if !image.Archived.IsZero() {
		detail.LastArchivedAt = awsapi.Epoch(image.Archived)
	}
	return detail
}

// statusOf returns an image's status.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html (imageStatus)
func statusOf(image *store.Image) string {
	if image.Archived.IsZero() {
		return "ACTIVE"
	}
	return "ARCHIVED"
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
