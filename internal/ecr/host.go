package ecr

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// location is where an ECR registry is; the zero value is the configured region's default registry.
type location struct {
	account   string // 12 digits, or "" for the credentials' own
	region    string
	fips      bool
	dualStack bool
}

// hostPattern is a private registry's address in every partition.
// Source: Amazon ECR User Guide, "Private registry", and AWS General Reference, "Amazon ECR endpoints and quotas".
var hostPattern = regexp.MustCompile(`^(\d{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9][a-z0-9-]*)\.` +
	`(amazonaws\.com(?:\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.(?:com\.cn|eu)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// parseHost reads account and region from a registry's address; false if it is not one of ECR's.
func parseHost(host string) (location, bool) {
	parts := hostPattern.FindStringSubmatch(host)
	if parts == nil {
		return location{}, false
	}
	return location{
		account: parts[1], region: parts[3], fips: parts[2] != "",
		dualStack: strings.HasPrefix(parts[4], "on."),
	}, true
}

// at is where requests about a host go.
func (c *Client) at(host string) location {
	at, ours := parseHost(host)
	if c.region != "" && !ours {
		at.region = c.region
	}
	return at
}

// Owns tells whether a registry host is ECR's: by its name, or where a custom ECR endpoint is configured, because that
// endpoint says that it gives tokens for the host.
func (c *Client) Owns(ctx context.Context, host string) (bool, error) {
	if _, ours := parseHost(host); ours {
		return true, nil
	}
	if c.endpoints.ecr == "" {
		return false, nil
	}
	token, err := c.token(ctx, host)
	if err != nil {
		return false, err
	}
	return token.host == host, nil
}

// accountOf is the account to name in a request about a repository, or nil.
func accountOf(repo release.Repository) *string {
	if at, ours := parseHost(repo.Host()); ours {
		return &at.account
	}
	return nil
}

func hostOf(endpoint string) string {
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" {
		return endpoint
	}
	return parsed.Host
}
