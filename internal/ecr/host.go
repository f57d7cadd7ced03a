package ecr

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// location is where an ECR registry is; the zero value is the default registry of the configured region.
type location struct {
	account   string // 12 digits, or "" for the credentials' own
	region    string
	fips      bool
	dualStack bool
}

// hostPattern matches a private registry's address in every partition.
// Source: Amazon ECR User Guide, "Private registry", and AWS General Reference, "Amazon ECR endpoints and quotas".
var hostPattern = regexp.MustCompile(`^(\d{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9][a-z0-9-]*)\.` +
	`(amazonaws\.com(?:\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.(?:com\.cn|eu)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// parseHost reads account and region from a registry's address; false if it is not an address of ECR.
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

// locate returns the location whose API serves a registry host.
func (c *Client) locate(host string) location {
	at, isECR := parseHost(host)
	if c.region != "" && !isECR {
		at.region = c.region
	}
	return at
}

// emulatedPattern matches a private registry's address under a domain that is not AWS's, which is how emulators of ECR name their
// registries.
var emulatedPattern = regexp.MustCompile(`^\d{12}\.dkr[.-]ecr\.`)

// Owns reports whether a registry host is ECR's: it has ECR's name, it is the host of an endpoint that is configured for ECR alone, or a configured
// endpoint issues tokens for it. The endpoint is asked only about its own host and about hosts named like ECR's. It is not asked about ghcr.io: a
// general AWS_ENDPOINT_URL may be meant for another service.
func (c *Client) Owns(ctx context.Context, host string) (bool, error) {
	if _, isECR := parseHost(host); isECR {
		return true, nil
	}
	if c.endpoint == nil || !strings.EqualFold(host, hostOf(*c.endpoint)) && !emulatedPattern.MatchString(host) {
		return false, nil
	}
	if c.own && strings.EqualFold(host, hostOf(*c.endpoint)) {
		return true, nil
	}
	token, err := c.token(ctx, host)
	if err != nil {
		return false, err
	}
	return token.host == host, nil
}

// accountOf returns the AWS account in a repository's host, or nil if the host contains none.
func accountOf(repo release.Repository) *string {
	if at, isECR := parseHost(repo.Host()); isECR {
		return &at.account
	}
	return nil
}

// hostOf returns the host of an endpoint's URL.
func hostOf(endpoint string) string {
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" {
		return endpoint
	}
	return parsed.Host
}
