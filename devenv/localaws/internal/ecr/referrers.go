package ecr

import (
	"slices"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// Limits of a page of referrers.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html (maxResults)
const (
	defaultReferrers = 20
	maxReferrers     = 50
)

type listImageReferrersInput struct {
	inRepository
	paging
	SubjectID struct {
		ImageDigest string `json:"imageDigest"`
	} `json:"subjectId"`
	Filter struct {
		ArtifactStatus string   `json:"artifactStatus"` // ACTIVE, ARCHIVED, ACTIVATING, ANY; "" is ACTIVE
		ArtifactTypes  []string `json:"artifactTypes"`
	} `json:"filter"`
}

// imageReferrer is an artifact of a subject.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageReferrer.html
type imageReferrer struct {
	Digest         string            `json:"digest"`
	MediaType      string            `json:"mediaType"`
	ArtifactType   string            `json:"artifactType,omitempty"`
	Size           int               `json:"size"`
	Annotations    map[string]string `json:"annotations,omitempty"`
	ArtifactStatus string            `json:"artifactStatus"`
}

// listImageReferrers lists the manifests whose subject is a digest.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
func (a *API) listImageReferrers(_ string, in listImageReferrersInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	subject, err := release.ParseDigest(in.SubjectID.ImageDigest)
	if err != nil {
		return nil, awsapi.InvalidParameter("subjectId.imageDigest", err.Error())
	}
	listed := map[string]*store.Image{}
	for _, image := range found.Images {
		if image.Subject == subject && (len(in.Filter.ArtifactTypes) == 0 || slices.Contains(in.Filter.ArtifactTypes, image.ArtifactType)) &&
			(in.Filter.ArtifactStatus == "ANY" || statusOf(image) == in.Filter.ArtifactStatus || in.Filter.ArtifactStatus == "" && image.Archived.IsZero()) {
			listed[image.Digest.String()] = image
		}
	}
	page, next, refusal := takePageOf(in.paging, sortedKeys(listed), defaultReferrers, maxReferrers)
	if refusal != nil {
		return nil, refusal
	}
	referrers := []imageReferrer{}
	for _, key := range page {
		image := listed[key]
		referrers = append(referrers, imageReferrer{Digest: key, MediaType: string(image.MediaType), ArtifactType: image.ArtifactType, Size: len(image.Body),
			Annotations: image.Annotations, ArtifactStatus: statusOf(image)})
	}
	return withNext(map[string]any{"referrers": referrers}, next), nil
}
