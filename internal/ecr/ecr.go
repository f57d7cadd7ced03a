// Package ecr reads and tags images through Amazon ECR's own API, and gets the passwords of its registries.
package ecr

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// Options of a Client.
type Options struct {
	// Environ looks up the AWS variables that set the endpoint, the region, the profile and static keys. The SDK's default chain
	// (profiles, SSO, the machine's role) supplies the rest. Nil means no variables.
	Environ     func(name string) string
	Region      string           // "": the environment's or profile's; an ECR host names its region itself
	Credentials awsx.Credentials // instead of those of the environment; nil: the environment's
	Secrets     *text.Secrets    // gets the credentials; may be nil
	// WorkTree is where a profile may name neither a program nor a file: New's error is a *release.InputError then.
	WorkTree worktree.Tree
	Log      func(line string) // may be nil
}

// Client talks to ECR. It may be used from several goroutines.
type Client struct {
	config   aws.Config
	endpoint *string // instead of AWS's own; nil: AWS's own
	own      bool    // the endpoint is set for ECR alone
	region   string  // of Options, "" if none
	log      func(line string)

	mu     sync.Mutex // guards the maps
	apis   map[location]*ecr.Client
	tokens map[location]*tokenCache
	pacers map[location]*pacer
}

const (
	// maxAttempts is enough to outlast ECR's throttling: PutImage allows 10 requests a second, and the SDK waits up to 20 s
	// between attempts.
	maxAttempts = 8
	// maxResponse is the longest response, in bytes: two manifests of 4 MiB as JSON strings, with room for escapes.
	maxResponse = 24 << 20
)

// endpointVariable sets an endpoint for ECR alone. Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
const endpointVariable = "AWS_ENDPOINT_URL_ECR"

// New reads the configuration; it sends no request.
func New(ctx context.Context, options Options) (*Client, error) {
	loaded, err := awsx.Load(ctx, awsx.Options{Environ: options.Environ, Credentials: options.Credentials, Region: options.Region, MaxAttempts: maxAttempts, MaxResponse: maxResponse, Secrets: options.Secrets, WorkTree: options.WorkTree})
	var input *release.InputError
	switch {
	case errors.As(err, &input):
		return nil, err
	case err != nil:
		return nil, fault(err, "reading the AWS configuration", "")
	}
	if options.Log == nil {
		options.Log = func(string) {}
	}
	endpoint := awsx.Endpoint(options.Environ, loaded, ecr.ServiceID)
	return &Client{
		log:      options.Log,
		config:   loaded,
		endpoint: endpoint,
		own:      endpoint != nil && options.Environ != nil && options.Environ(endpointVariable) == *endpoint,
		region:   options.Region,
		apis:     map[location]*ecr.Client{},
		tokens:   map[location]*tokenCache{},
		pacers:   map[location]*pacer{},
	}, nil
}

// errNoRegion is returned before a request is sent: AWS would answer it with a misleading error about its signature.
var errNoRegion = errors.New("no AWS region is set")

// api returns the ECR client for a location's region.
func (c *Client) api(at location) (*ecr.Client, error) {
	if at.region == "" && c.config.Region == "" {
		return nil, errNoRegion
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apis[at] == nil {
		c.apis[at] = ecr.NewFromConfig(c.config, func(o *ecr.Options) {
			if at.region != "" {
				o.Region = at.region
			}
			if c.endpoint != nil {
				o.BaseEndpoint = c.endpoint
				return
			}
			if at.fips {
				o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
			}
			if at.dualStack {
				o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
			}
		})
	}
	return c.apis[at], nil
}
