package github

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// RunningArtifact is what an organization's page of linked artifacts shows of an image that runs. Environment, Region, Cluster and Name together say which
// deployment it is: a later record of the same replaces it.
type RunningArtifact struct {
	Artifact    string // the image's repository
	Digest      release.Digest
	Commit      release.Commit // "" if it is unknown
	Environment string
	Region      string // "" if it is unknown
	Cluster     string
	Name        string // unique in the cluster
}

// RecordArtifact records that an image runs, for the organization that owns the repository. The error is a *DeniedError if the token may not, for which it needs the
// permission artifact-metadata: write, and if the owner is no organization.
// Source: https://docs.github.com/en/rest/orgs/artifact-metadata#create-an-artifact-deployment-record.
func (a API) RecordArtifact(ctx context.Context, r RunningArtifact) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxAPITime, fmt.Errorf("GitHub did not answer within %s", text.Duration(maxAPITime)))
	defer cancel()
	address, err := a.ofOrganization("artifacts", "metadata", "deployment-record")
	if err != nil {
		return err
	}
	_, repository, _ := strings.Cut(a.Repository, "/")
	body := map[string]string{"name": r.Artifact, "digest": r.Digest.String(), "status": "deployed", "logical_environment": r.Environment, "deployment_name": r.Name, "github_repository": repository}
	for name, value := range map[string]string{"version": r.Commit.String(), "physical_environment": r.Region, "cluster": r.Cluster} {
		if value != "" {
			body[name] = value
		}
	}
	return a.call(ctx, http.MethodPost, address, body, new(struct{}), maxComments)
}
