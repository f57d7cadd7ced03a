package localaws

import (
	"regexp"
	"strings"

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

// TagRule is a repository's mutability and, for the two settings with exclusion, one to five filters: a tag's
// characters, * standing for any number of any.
type TagRule struct {
	Mutability Mutability `json:"mutability"`
	Exclude    []string   `json:"exclude,omitempty"`
}

// filterPattern and maxFilters are the API's limits.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageTagMutabilityExclusionFilter.html and
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
var filterPattern = regexp.MustCompile(`^[0-9a-zA-Z._*-]{1,128}$`)

const maxFilters = 5

// check returns the rule with its default, or why it is none.
func (t TagRule) check() (TagRule, *apiError) {
	if t.Mutability == "" {
		t.Mutability = Mutable
	}
	excludes := t.Mutability == MutableWithExclusion || t.Mutability == ImmutableWithExclusion
	switch {
	case !excludes && t.Mutability != Mutable && t.Mutability != Immutable:
		return t, invalidParameter("imageTagMutability",
			"Member must satisfy enum value set: [IMMUTABLE, MUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION]")
	case excludes && len(t.Exclude) == 0:
		return t, invalidParameter("imageTagMutabilityExclusionFilters",
			"Member must not be empty when the image tag mutability is "+string(t.Mutability))
	case !excludes && len(t.Exclude) > 0:
		return t, invalidParameter("imageTagMutabilityExclusionFilters",
			"Member must be empty when the image tag mutability is "+string(t.Mutability))
	case len(t.Exclude) > maxFilters:
		return t, invalidParameter("imageTagMutabilityExclusionFilters",
			"Member must have length less than or equal to 5")
	}
	for _, filter := range t.Exclude {
		if !filterPattern.MatchString(filter) {
			return t, invalidParameter("imageTagMutabilityExclusionFilters.member.filter",
				"Member must satisfy regular expression pattern: "+filterPattern.String())
		}
	}
	return t, nil
}

// immutable tells whether a tag, once it is there, stays where it is.
func (t TagRule) immutable(tag release.Tag) bool {
	fixed := t.Mutability == Immutable || t.Mutability == ImmutableWithExclusion
	for _, filter := range t.Exclude {
		if wildcard(filter, string(tag)) {
			return !fixed
		}
	}
	return fixed
}

// wildcard tells whether a tag matches a filter from its first character to its last.
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

type exclusionFilter struct {
	FilterType string `json:"filterType"`
	Filter     string `json:"filter"`
}

type tagRuleMembers struct {
	Mutability Mutability        `json:"imageTagMutability"`
	Filters    []exclusionFilter `json:"imageTagMutabilityExclusionFilters"`
}

func (m tagRuleMembers) rule() (TagRule, *apiError) {
	rule := TagRule{Mutability: m.Mutability}
	for _, filter := range m.Filters {
		if filter.FilterType != "WILDCARD" {
			return rule, invalidParameter("imageTagMutabilityExclusionFilters.member.filterType",
				"Member must satisfy enum value set: [WILDCARD]")
		}
		rule.Exclude = append(rule.Exclude, filter.Filter)
	}
	return rule.check()
}

func exclusionFilters(rule TagRule) []exclusionFilter {
	var filters []exclusionFilter
	for _, filter := range rule.Exclude {
		filters = append(filters, exclusionFilter{FilterType: "WILDCARD", Filter: filter})
	}
	return filters
}
