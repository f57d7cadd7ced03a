package github

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAPITime bounds what is written to GitHub at the end of a run, retries included.
	maxAPITime = 20 * time.Second
	// MaxComment is GitHub's limit for a comment, in characters; less in bytes is less in characters too.
	MaxComment = 65536 - 1024
	// maxCommentPages is how many pages of comments are searched, 100 comments each.
	maxCommentPages = 30
	maxComments     = 16 << 20 // bytes of a page
	// maxEvent bounds the description of an event, in bytes: GitHub Docs, "Webhook events and payloads", payload cap.
	maxEvent = 25 << 20
)

// PullRequest returns the number of the pull request that the run is of, 0 if it is of none: the payload of the events pull_request and
// pull_request_target has its number, that of issue_comment the issue's. Source: GitHub Docs, "Webhook events and payloads".
func (r *Runner) PullRequest() int {
	file, err := os.Open(r.getenv("GITHUB_EVENT_PATH"))
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	var event struct {
		Number      int       `json:"number"`
		PullRequest *struct{} `json:"pull_request"`
		Issue       struct {
			Number      int       `json:"number"`
			PullRequest *struct{} `json:"pull_request"`
		} `json:"issue"`
	}
	switch err := json.NewDecoder(io.LimitReader(file, maxEvent)).Decode(&event); {
	case err != nil:
		return 0
	case event.PullRequest != nil:
		return event.Number
	case event.Issue.PullRequest != nil:
		return event.Issue.Number
	}
	return 0
}

// comment has the fields of a comment that are used.
type comment struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
	User struct {
		Login string `json:"login"`
		Type  string `json:"type"` // "Bot" or "User"
	} `json:"user"`
}

// Comment writes a comment of a pull request: the first run creates it, and later runs of the same key edit it in place. It is found by a marker at its
// start, which GitHub does not show, and only if the token's own user wrote it: anybody may write a comment with the marker. A token of a job or of a GitHub
// App does not tell whose it is: then any bot's comment is taken. The error is a *DeniedError if the token may not, for which it needs the permission
// pull-requests: write.
//
// Sources: https://docs.github.com/en/rest/issues/comments#list-issue-comments, #create-an-issue-comment and #update-an-issue-comment.
func (a API) Comment(ctx context.Context, pull int, key, body string) (created bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", maxAPITime))
	defer cancel()
	marker := markerOf(key)
	body = marker + "\n" + body
	found, err := a.findComment(ctx, pull, marker)
	if err != nil {
		return false, err
	}
	method, elements := http.MethodPost, []string{"issues", strconv.Itoa(pull), "comments"}
	if found != 0 {
		method, elements = http.MethodPatch, []string{"issues", "comments", strconv.FormatInt(found, 10)}
	}
	address, err := a.address("", elements...)
	if err != nil {
		return false, err
	}
	return found == 0, a.call(ctx, method, address, map[string]string{"body": body}, new(comment), maxComments)
}

// markerOf returns the marker of a key. Nothing in it can end the HTML comment.
func markerOf(key string) string {
	return "<!-- onedigest: " + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '/' || r == ' ' || r == '_' {
			return r
		}
		return '_'
	}, key) + " -->"
}

// findComment returns the ID of the first comment with a marker that the token's user wrote, 0 if there is none.
func (a API) findComment(ctx context.Context, pull int, marker string) (int64, error) {
	login := ""
	for page := 1; page <= maxCommentPages; page++ {
		address, err := a.address(fmt.Sprintf("per_page=100&page=%d", page), "issues", strconv.Itoa(pull), "comments")
		if err != nil {
			return 0, err
		}
		var comments []comment
		if err := a.call(ctx, http.MethodGet, address, nil, &comments, maxComments); err != nil {
			return 0, err
		}
		for _, one := range comments {
			switch {
			case !strings.HasPrefix(one.Body, marker):
				continue
			case login == "":
				login = a.login(ctx)
			}
			if one.User.Login == login || login == appToken && one.User.Type == "Bot" {
				return one.ID, nil
			}
		}
		if len(comments) < 100 {
			break
		}
	}
	return 0, nil
}

// appToken stands for the user of a token that is none of a user: that of a job, or of a GitHub App. What such a token writes is written by a bot.
const appToken = "[bot]"

// login returns the name of the token's user: https://docs.github.com/en/rest/users/users#get-the-authenticated-user, which refuses the tokens of Apps.
func (a API) login(ctx context.Context) string {
	var user struct {
		Login string `json:"login"`
	}
	address := strings.TrimRight(a.URL, "/") + "/user"
	if err := a.call(ctx, http.MethodGet, address, nil, &user, maxComments); err != nil || user.Login == "" {
		return appToken
	}
	return user.Login
}
