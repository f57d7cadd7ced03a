package store

import (
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/internal/release"
)

// Mutability says which tags of a repository may move to another image.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
type Mutability string

// The settings as the API spells them.
const (
	Mutable                Mutability = "MUTABLE"
	Immutable              Mutability = "IMMUTABLE"
	MutableWithExclusion   Mutability = "MUTABLE_WITH_EXCLUSION"   // tags that match a filter are immutable
	ImmutableWithExclusion Mutability = "IMMUTABLE_WITH_EXCLUSION" // tags that match a filter are mutable
)

// TagRule is a repository's mutability and, for the two settings with exclusion, one to five filters; * in a filter matches any
// number of characters.
type TagRule struct {
	Mutability Mutability `json:"mutability"`
	Exclude    []string   `json:"exclude,omitempty"`
}

// filterPattern and maxFilters are the API's limits.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageTagMutabilityExclusionFilter.html and
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
var filterPattern = regexp.MustCompile(`^[0-9a-zA-Z._*-]{1,128}$`)

const maxFilters = 5

// Check returns the rule with its default filled in, or ECR's error for an invalid rule.
func (t TagRule) Check() (TagRule, *awsapi.Error) {
	if t.Mutability == "" {
		t.Mutability = Mutable
	}
	excludes := t.Mutability == MutableWithExclusion || t.Mutability == ImmutableWithExclusion
	switch {
	case !excludes && t.Mutability != Mutable && t.Mutability != Immutable:
		return t, awsapi.InvalidParameter("imageTagMutability",
			"Member must satisfy enum value set: [IMMUTABLE, MUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION]")
	case excludes && len(t.Exclude) == 0:
		return t, awsapi.InvalidParameter("imageTagMutabilityExclusionFilters",
			"Member must not be empty when the image tag mutability is "+string(t.Mutability))
	case !excludes && len(t.Exclude) > 0:
		return t, awsapi.InvalidParameter("imageTagMutabilityExclusionFilters",
			"Member must be empty when the image tag mutability is "+string(t.Mutability))
	case len(t.Exclude) > maxFilters:
		return t, awsapi.InvalidParameter("imageTagMutabilityExclusionFilters",
			"Member must have length less than or equal to 5")
	}
	for _, filter := range t.Exclude {
		if !filterPattern.MatchString(filter) {
			return t, awsapi.InvalidParameter("imageTagMutabilityExclusionFilters.member.filter",
				"Member must satisfy regular expression pattern: "+filterPattern.String())
		}
	}
	return t, nil
}

// immutable reports whether a tag that exists cannot be moved.
func (t TagRule) immutable(tag release.Tag) bool {
	fixed := t.Mutability == Immutable || t.Mutability == ImmutableWithExclusion
	for _, filter := range t.Exclude {
		if wildcard(filter, string(tag)) {
			return !fixed
		}
	}
	return fixed
}

// wildcard reports whether a whole tag matches a filter.
func wildcard(filter, tag string) bool {
	parts := strings.Split(filter, "*")
	if len(parts) == 1 {
		return filter == tag
	}
	rest, found := strings.CutPrefix(tag, parts[0])
	if !found {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
