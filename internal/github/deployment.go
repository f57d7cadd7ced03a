package github

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// DeploymentState is the state of a deployment on GitHub.
type DeploymentState string

// The states that are used.
const (
	DeploymentInProgress DeploymentState = "in_progress"
	DeploymentSuccess    DeploymentState = "success"
	DeploymentFailure    DeploymentState = "failure"
	DeploymentError      DeploymentState = "error" // it was stopped, or its end is not known
	DeploymentInactive   DeploymentState = "inactive"
)

// Deployment is what GitHub shows of a deploy.
type Deployment struct {
	Commit      release.Commit
	Environment string // GitHub's name
	Digest      release.Digest
	Production  bool
	Transient   bool // the environment ends, such as a preview
}

// DeploymentStatus is how far a deploy has come.
type DeploymentStatus struct {
	State       DeploymentState
	Description string // one line
	URL         string // address of the service, "" if it has none
	Log         string // address of the run
}

// maxDescription is GitHub's limit, in characters.
const maxDescription = 140

// CreateDeployment creates a deployment of a commit, which GitHub neither merges nor holds until its checks have passed, and returns its ID. The error is a
// *DeniedError if the token may not, for which it needs the permission deployments: write.
// Source: https://docs.github.com/en/rest/deployments/deployments#create-a-deployment.
func (a API) CreateDeployment(ctx context.Context, d Deployment) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	address, err := a.address("", "deployments")
	if err != nil {
		return 0, err
	}
	var created struct {
		ID int64 `json:"id"`
	}
	request := map[string]any{
		"ref": d.Commit.String(), "environment": d.Environment, "auto_merge": false, "required_contexts": []string{}, "production_environment": d.Production,
		"description": d.Digest.Short(), "payload": map[string]string{"digest": d.Digest.String()},
	}
	if d.Transient {
		request["transient_environment"] = true
	}
	err = a.call(ctx, http.MethodPost, address, request, &created, maxComments)
	if err == nil && created.ID == 0 {
		err = fmt.Errorf("the answer names no deployment")
	}
	return created.ID, err
}

// RecordedDeployment is a deployment that CreateDeployment has made.
type RecordedDeployment struct {
	ID     int64
	Digest release.Digest // zero if it names none
}

// Deployments returns the newest deployments to an environment, newest first and at most 100; of a commit alone, unless that is "".
// Source: https://docs.github.com/en/rest/deployments/deployments#list-deployments.
func (a API) Deployments(ctx context.Context, environment string, commit release.Commit) (all []RecordedDeployment, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	query := url.Values{"per_page": {"100"}, "environment": {environment}}
	if commit != "" {
		query.Set("sha", commit.String())
	}
	address, err := a.address(query.Encode(), "deployments")
	if err != nil {
		return nil, err
	}
	var found []struct {
		ID      int64           `json:"id"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := a.call(ctx, http.MethodGet, address, nil, &found, maxComments); err != nil {
		return nil, err
	}
	for _, one := range found {
		var payload struct{ Digest string }
		_ = json.Unmarshal(one.Payload, &payload) // a text, of another program's deployment
		digest, _ := release.ParseDigest(payload.Digest)
		all = append(all, RecordedDeployment{ID: one.ID, Digest: digest})
	}
	return all, nil
}

// SetDeployment adds a status to a deployment. Success makes GitHub call earlier deployments to the environment inactive, except those to a
// production environment, which stay active (auto_inactive).
// Source: https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status.
func (a API) SetDeployment(ctx context.Context, id int64, status DeploymentStatus) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	address, err := a.address("", "deployments", strconv.FormatInt(id, 10), "statuses")
	if err != nil {
		return err
	}
	body := map[string]any{"state": status.State, "description": truncate(text.Line(status.Description, text.NoLimit), maxDescription)}
	for name, value := range map[string]string{"environment_url": status.URL, "log_url": status.Log} {
		if value != "" {
			body[name] = value
		}
	}
	return a.call(ctx, http.MethodPost, address, body, new(struct{}), maxComments)
}
