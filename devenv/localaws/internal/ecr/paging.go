package ecr

import (
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
)

// paging holds the members of a call that answers in pages.
type paging struct {
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// takePage returns one page of sorted keys, and the token of the next page.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html (maxResults, nextToken)
func takePage(request paging, keys []string) ([]string, string, *awsapi.Error) {
	return takePageOf(request, keys, defaultPage, maxPage)
}

// takePageOf does what takePage does in a call with other limits.
func takePageOf(request paging, keys []string, limit, most int) ([]string, string, *awsapi.Error) {
	if request.MaxResults != nil {
		limit = *request.MaxResults
		if limit < 1 || limit > most {
			return nil, "", awsapi.InvalidParameter("maxResults", fmt.Sprintf("Member must be between 1 and %d", most))
		}
	}
	if request.NextToken != "" {
		last, err := base64.RawURLEncoding.DecodeString(request.NextToken)
		if err != nil {
			return nil, "", awsapi.InvalidParameter("nextToken", "Invalid token")
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

// withNext adds the token of the next page to an answer, if there is one.
func withNext(out map[string]any, next string) map[string]any {
	if next != "" {
		out["nextToken"] = next
	}
	return out
}
