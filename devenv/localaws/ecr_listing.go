package localaws

import (
	"cmp"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// listFilter narrows a listing.
type listFilter struct {
	TagStatus string `json:"tagStatus"` // TAGGED, UNTAGGED, ANY; "" is ANY
}

func (f listFilter) check() *apiError {
	if !slices.Contains([]string{"", "TAGGED", "UNTAGGED", "ANY"}, f.TagStatus) {
		return invalidParameter("filter.tagStatus", "Member must satisfy enum value set: [ANY, TAGGED, UNTAGGED]")
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

// listImages lists an id for each tag, and one for each image without.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImages.html
func (s *Server) listImages(_ string, in listImagesInput) (any, error) {
	found, refusal := s.repository(in.inRepository)
	if refusal == nil {
		refusal = in.Filter.check()
	}
	if refusal != nil {
		return nil, refusal
	}
	ids := map[string]imageID{}
	for _, image := range found.images {
		tags := found.tagsOf(image.digest)
		if !in.Filter.lists(len(tags) > 0) {
			continue
		}
		if len(tags) == 0 {
			ids[image.digest.String()] = imageID{ImageDigest: image.digest.String()}
		}
		for _, tag := range tags {
			ids[image.digest.String()+" "+string(tag)] = imageID{image.digest.String(), string(tag)}
		}
	}
	page, next, refusal := cut(in.paging, sortedKeys(ids))
	if refusal != nil {
		return nil, refusal
	}
	listed := []imageID{}
	for _, key := range page {
		listed = append(listed, ids[key])
	}
	return withNext(map[string]any{"imageIds": listed}, next), nil
}

type describeImagesInput struct {
	inRepository
	paging
	ImageIDs []imageID  `json:"imageIds"`
	Filter   listFilter `json:"filter"`
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
}

// describeImages tells about the images asked for, all of which must be there, or about all of them.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
func (s *Server) describeImages(_ string, in describeImagesInput) (any, error) {
	found, refusal := s.repository(in.inRepository)
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
			image, failure := found.resolve(id)
			if failure != nil {
				return nil, badRequest("ImageNotFoundException", "The image with imageId %s does not exist within the "+
					"repository with name '%s' in the registry with id '%s'", id, in.RepositoryName, s.options.Account)
			}
			details = append(details, s.detail(found, image))
		}
		return map[string]any{"imageDetails": details}, nil
	}
	listed := map[string]*image{}
	for _, image := range found.images {
		if in.Filter.lists(len(found.tagsOf(image.digest)) > 0) {
			listed[image.digest.String()] = image
		}
	}
	page, next, refusal := cut(in.paging, sortedKeys(listed))
	if refusal != nil {
		return nil, refusal
	}
	for _, key := range page {
		details = append(details, s.detail(found, listed[key]))
	}
	return withNext(map[string]any{"imageDetails": details}, next), nil
}

func (s *Server) detail(in *repository, image *image) imageDetail {
	return imageDetail{
		RegistryID: s.options.Account, RepositoryName: in.name, ImageDigest: image.digest.String(),
		ImageTags: in.tagsOf(image.digest), ImageSizeInBytes: image.size + int64(len(image.body)),
		ImagePushedAt: epoch(image.pushed), ImageManifestMediaType: string(image.mediaType),
		ArtifactMediaType: image.artifactType, SubjectManifestDigest: image.subject,
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
