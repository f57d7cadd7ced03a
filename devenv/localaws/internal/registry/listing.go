package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// maxTagPage is the most tags that one answer lists.
const maxTagPage = 1000

// serveTags lists the tags of a repository, in pages of n if the query has n.
// Source: OCI distribution-spec, "Listing Tags".
func serveTags(w http.ResponseWriter, r *http.Request, in *store.Repository) {
	if r.Method != http.MethodGet {
		WriteError(w, errUnsupported)
		return
	}
	limit := maxTagPage
	if text := r.URL.Query().Get("n"); text != "" {
		requested, err := strconv.Atoi(text)
		if err != nil || requested < 1 {
			WriteError(w, newError(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID",
				fmt.Sprintf("n is %q, not a number of tags", text)))
			return
		}
		limit = min(limit, requested)
	}
	tags := []string{}
	for tag := range in.Tags {
		if string(tag) > r.URL.Query().Get("last") {
			tags = append(tags, string(tag))
		}
	}
	slices.Sort(tags)
	if len(tags) > limit {
		tags = tags[:limit]
		next := url.Values{"n": {strconv.Itoa(limit)}, "last": {tags[limit-1]}}
		w.Header().Set("Link", "</v2/"+in.Name+"/tags/list?"+next.Encode()+`>; rel="next"`)
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	awsapi.WriteJSON(w, http.StatusOK, awsapi.JSONType, map[string]any{"name": in.Name, "tags": tags})
}

// maxReferrersPage is the most referrers that one answer lists.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html (maxResults)
const maxReferrersPage = 50

// serveReferrers lists the manifests whose subject is a digest, as an index, with their annotations, in pages.
// Source: OCI distribution-spec, "Listing Referrers", and https://docs.aws.amazon.com/AmazonECR/latest/userguide/images.html
// (ECR supports OCI 1.1 reference artifacts).
func serveReferrers(w http.ResponseWriter, r *http.Request, target Target, in *store.Repository) {
	if r.Method != http.MethodGet {
		WriteError(w, errUnsupported)
		return
	}
	subject, err := release.ParseDigest(target.Reference)
	if err != nil {
		WriteError(w, newError(http.StatusBadRequest, "DIGEST_INVALID", err.Error()))
		return
	}
	wanted, last := r.URL.Query().Get("artifactType"), r.URL.Query().Get("last")
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	listed := []referrer{}
	for _, found := range in.SortedImages() {
		if found.Subject == subject && (wanted == "" || wanted == found.ArtifactType) && found.Digest.String() > last {
			listed = append(listed, referrer{
				MediaType: string(found.MediaType), Digest: found.Digest, Size: len(found.Body),
				ArtifactType: found.ArtifactType, Annotations: found.Annotations,
			})
		}
	}
	slices.SortFunc(listed, func(a, b referrer) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	if len(listed) > maxReferrersPage {
		listed = listed[:maxReferrersPage]
		next := url.Values{"last": {listed[maxReferrersPage-1].Digest.String()}}
		if wanted != "" {
			next.Set("artifactType", wanted)
		}
		w.Header().Set("Link", "<"+r.URL.Path+"?"+next.Encode()+`>; rel="next"`)
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	awsapi.WriteJSON(w, http.StatusOK, ociIndexType, map[string]any{
		"schemaVersion": 2, "mediaType": ociIndexType, "manifests": listed,
	})
}

type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       release.Digest    `json:"digest"`
	Size         int               `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}
