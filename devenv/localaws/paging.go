package localaws

import (
	"encoding/base64"
	"fmt"
	"slices"
)

// paging are the members of a call that answers in pages.
type paging struct {
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// cut takes one page out of sorted keys, and the token of the next.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html (maxResults, nextToken)
func cut(asked paging, keys []string) ([]string, string, *apiError) {
	limit := defaultPage
	if asked.MaxResults != nil {
		limit = *asked.MaxResults
		if limit < 1 || limit > maxPage {
			return nil, "", invalidParameter("maxResults", fmt.Sprintf("Member must be between 1 and %d", maxPage))
		}
	}
	if asked.NextToken != "" {
		last, err := base64.RawURLEncoding.DecodeString(asked.NextToken)
		if err != nil {
			return nil, "", invalidParameter("nextToken", "Invalid token")
		}
		at, found := slices.BinarySearch(keys, string(last))
		if found {
			at++
		}
		keys = keys[at:]
	}
	if len(keys) <= limit {
		return keys, "", nil
	}
	return keys[:limit], base64.RawURLEncoding.EncodeToString([]byte(keys[limit-1])), nil
}

func withNext(out map[string]any, next string) map[string]any {
	if next != "" {
		out["nextToken"] = next
	}
	return out
}
