package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
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

// Comment is a part of a comment of a pull request.
type Comment struct {
	Pull      int
	Key, Part string // which comment, and which part of it
	// Write returns the part, with at most limit bytes.
	Write    func(limit int) string
	Existing bool // nothing is created
}

// ErrNoComment says that there is no comment to edit.
var ErrNoComment = errors.New("there is no comment")

// Comment writes a part of a comment of a pull request: the first part of a key creates the comment, and later ones edit it in place, a part of the same name
// in its own place. It is found by a marker at its start, which GitHub does not show, and only if the token's own user wrote it: anybody may write a comment with
// the marker. A token of a job or of a GitHub App does not tell whose it is: then any bot's comment is taken. If the other parts leave it less than half of a comment, the longest of them are dropped. Of two parts that are written at the same moment, one may
// be lost: GitHub has no condition for an edit. The error is a *DeniedError if the token may not, for which it needs the permission pull-requests: write.
//
// Sources: https://docs.github.com/en/rest/issues/comments#list-issue-comments, #create-an-issue-comment and #update-an-issue-comment.
func (a API) Comment(ctx context.Context, c Comment) (created bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	marker := markerOf(c.Key)
	found, err := a.findComment(ctx, c.Pull, marker)
	switch {
	case err != nil:
		return false, err
	case found.ID == 0 && c.Existing:
		return false, ErrNoComment
	}
	body := marker + "\n" + joinParts(partsOf(found.Body), c.Part, c.Write)
	method, elements := http.MethodPost, []string{"issues", strconv.Itoa(c.Pull), "comments"}
	if found.ID != 0 {
		method, elements = http.MethodPatch, []string{"issues", "comments", strconv.FormatInt(found.ID, 10)}
	}
	address, err := a.address("", elements...)
	if err != nil {
		return false, err
	}
	return found.ID == 0, a.call(ctx, method, address, map[string]string{"body": body}, new(comment), maxComments)
}

// PullOf returns the number of the pull request by which a commit came into its branch, 0 if there is none: the one that was merged as this commit, or else the
// first that has it. The token needs the permission pull-requests: read.
// Source: https://docs.github.com/en/rest/commits/commits#list-pull-requests-associated-with-a-commit.
func (a API) PullOf(ctx context.Context, commit release.Commit) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	address, err := a.address("per_page=100", "commits", commit.String(), "pulls")
	if err != nil {
		return 0, err
	}
	var pulls []struct {
		Number      int    `json:"number"`
		MergeCommit string `json:"merge_commit_sha"`
	}
	if err := a.call(ctx, http.MethodGet, address, nil, &pulls, maxComments); err != nil || len(pulls) == 0 {
		return 0, err
	}
	for _, one := range pulls {
		if one.MergeCommit == commit.String() {
			return one.Number, nil
		}
	}
	return pulls[0].Number, nil
}

// partMarker begins the line before a part.
const partMarker = "<!-- onedigest part: "

// commentPart is a part of a comment.
type commentPart struct{ marker, body string }

// partsOf divides a comment into its parts. What is before the first one is no part.
func partsOf(body string) (parts []commentPart) {
	for line := range strings.Lines(body) {
		switch {
		case strings.HasPrefix(line, partMarker):
			parts = append(parts, commentPart{marker: strings.TrimRight(line, "\r\n")})
		case len(parts) > 0:
			parts[len(parts)-1].body += line
		}
	}
	return parts
}

// joinParts writes the parts of a comment, one of them anew.
func joinParts(parts []commentPart, name string, write func(limit int) string) string {
	marker := partMarker + inMarker(name) + " -->"
	at := slices.IndexFunc(parts, func(p commentPart) bool { return p.marker == marker })
	if at < 0 {
		at, parts = len(parts), append(parts, commentPart{marker: marker})
	}
	parts[at].body = ""
	length := func() (n int) {
		for _, one := range parts {
			n += len(one.marker) + len(one.body) + len("\n\n")
		}
		return n
	}
	for length() > MaxComment/2 {
		longest := 0
		for i, one := range parts {
			if len(one.body) > len(parts[longest].body) {
				longest = i
			}
		}
		parts = slices.Delete(parts, longest, longest+1)
	}
	at = slices.IndexFunc(parts, func(p commentPart) bool { return p.marker == marker })
	// A log may have a line that would begin a part.
	parts[at].body = strings.ReplaceAll(write(MaxComment-length()), "<!-- onedigest", "<!- onedigest")
	var b strings.Builder
	for _, one := range parts {
		b.WriteString(one.marker + "\n" + strings.TrimRight(one.body, "\n") + "\n")
	}
	return b.String()
}

// markerOf returns the marker of a key.
func markerOf(key string) string { return "<!-- onedigest: " + inMarker(key) + " -->" }

// inMarker returns a key with nothing in it that could end an HTML comment.
func inMarker(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '/' || r == ' ' || r == '_' {
			return r
		}
		return '_'
	}, key)
}

// findComment returns the first comment with a marker that the token's user wrote; one without an ID if there is none.
func (a API) findComment(ctx context.Context, pull int, marker string) (comment, error) {
	login := ""
	for page := 1; page <= maxCommentPages; page++ {
		address, err := a.address(fmt.Sprintf("per_page=100&page=%d", page), "issues", strconv.Itoa(pull), "comments")
		if err != nil {
			return comment{}, err
		}
		var comments []comment
		if err := a.call(ctx, http.MethodGet, address, nil, &comments, maxComments); err != nil {
			return comment{}, err
		}
		for _, one := range comments {
			switch {
			case !strings.HasPrefix(one.Body, marker):
				continue
			case login == "":
				login = a.login(ctx)
			}
			if one.User.Login == login || login == appToken && one.User.Type == "Bot" {
				return one, nil
			}
		}
		if len(comments) < 100 {
			break
		}
	}
	return comment{}, nil
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
