// Package ecr reads and writes images through Amazon ECR's own API, and gives the passwords of its registries.
package ecr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Options of a Client.
type Options struct {
	// Environ looks up the AWS variables by which the endpoint, the region, the profile and static keys are set. What it
	// does not set, and if it is nil all of it, the SDK finds as it always does (profiles, SSO, roles of the machine).
	Environ func(name string) string
	Region  string // "": the environment's or profile's; a host of ECR's own names its region itself
}

// Client talks to ECR and STS. It may be used from several goroutines.
type Client struct {
	config    aws.Config
	endpoints endpoints
	region    string // that Options demand, "" if none

	mu     sync.Mutex
	apis   map[location]*ecr.Client
	tokens map[location]*tokenCell
}

// endpoints are the addresses that replace AWS's own, "" for AWS's own.
type endpoints struct{ ecr, sts string }

const (
	// maxAttempts outlasts ECR's throttling: PutImage allows 10 a second, and the SDK waits up to 20 s between attempts.
	maxAttempts = 8
	// requestTime limits one attempt.
	requestTime = 30 * time.Second
	// maxAnswer is what is read of one answer, in bytes: two manifests of 4 MiB, as JSON strings, and then some.
	maxAnswer = 24 << 20
)

// New reads the configuration; no request is made for it.
func New(ctx context.Context, options Options) (*Client, error) {
	environ := options.Environ
	if environ == nil {
		environ = func(string) string { return "" }
	}
	loaded, err := config.LoadDefaultConfig(ctx, loadOptions(environ, options.Region)...)
	if err != nil {
		return nil, fault(err, "reading the AWS configuration", "")
	}
	loaded.HTTPClient = bounded{loaded.HTTPClient} // not before: the SDK adds AWS_CA_BUNDLE to a client that it knows
	client := &Client{
		config:    loaded,
		endpoints: endpointsOf(environ, loaded),
		region:    options.Region,
		apis:      map[location]*ecr.Client{},
		tokens:    map[location]*tokenCell{},
	}
	return client, nil
}

// loadOptions carries the given environment into the SDK, which reads the process's own.
// Source: AWS SDKs and Tools Reference Guide, "Environment variables".
func loadOptions(environ func(string) string, region string) []func(*config.LoadOptions) error {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(patience),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(requestTime)),
		config.WithAppID("onedigest"),
	}
	if region = first(region, environ("AWS_REGION"), environ("AWS_DEFAULT_REGION")); region != "" {
		options = append(options, config.WithRegion(region))
	}
	if profile := first(environ("AWS_PROFILE"), environ("AWS_DEFAULT_PROFILE")); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	if file := environ("AWS_CONFIG_FILE"); file != "" {
		options = append(options, config.WithSharedConfigFiles([]string{file}))
	}
	if file := environ("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		options = append(options, config.WithSharedCredentialsFiles([]string{file}))
	}
	if id, secret := environ("AWS_ACCESS_KEY_ID"), environ("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: environ("AWS_SESSION_TOKEN"), Source: "environment"}
		options = append(options, config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) { return keys, nil })))
	}
	if strings.EqualFold(environ("AWS_EC2_METADATA_DISABLED"), "true") {
		options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	return options
}

// patience is the SDK's standard retrying, longer, and for every 429, not only those whose body names a code that the
// SDK knows. It waits a random part of 1 s, 2 s, 4 s … at most 20 s.
func patience() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// endpointsOf finds the addresses that replace AWS's own: those of one service before the general one, the environment
// before the profile. Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
func endpointsOf(environ func(string) string, loaded aws.Config) endpoints {
	general := first(environ("AWS_ENDPOINT_URL"), aws.ToString(loaded.BaseEndpoint))
	return endpoints{
		ecr: first(environ("AWS_ENDPOINT_URL_ECR"), configured(loaded, ecr.ServiceID), general),
		sts: first(environ("AWS_ENDPOINT_URL_STS"), configured(loaded, sts.ServiceID), general),
	}
}

// configured asks the SDK's sources (the process's environment, the profile) for a service's endpoint.
func configured(loaded aws.Config, service string) string {
	for _, source := range loaded.ConfigSources {
		provider, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		})
		if !ok {
			continue
		}
		if endpoint, found, err := provider.GetServiceBaseEndpoint(context.Background(), service); err == nil && found {
			return endpoint
		}
	}
	return ""
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// errNoRegion stops a request that AWS could only answer with a riddle about its signature.
var errNoRegion = errors.New("no AWS region is set")

// api is the client for a location.
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
			if c.endpoints.ecr != "" {
				o.BaseEndpoint = aws.String(c.endpoints.ecr)
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

// Account is the number of the account that the credentials belong to.
func (c *Client) Account(ctx context.Context) (string, error) {
	if c.config.Region == "" {
		return "", fault(errNoRegion, "asking whose credentials these are", "")
	}
	api := sts.NewFromConfig(c.config, func(o *sts.Options) {
		if c.endpoints.sts != "" {
			o.BaseEndpoint = aws.String(c.endpoints.sts)
		}
	})
	identity, err := api.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fault(err, "asking whose credentials these are", "sts:GetCallerIdentity")
	}
	return aws.ToString(identity.Account), nil
}

// bounded keeps an endpoint from filling the memory.
type bounded struct{ inner aws.HTTPClient }

func (b bounded) Do(request *http.Request) (*http.Response, error) {
	response, err := b.inner.Do(request)
	if err != nil {
		return response, err
	}
	if response.ContentLength > maxAnswer {
		_ = response.Body.Close()
		return nil, fmt.Errorf("reading the answer: it is %d bytes long, limit %d", response.ContentLength, maxAnswer)
	}
	response.Body = &boundedBody{ReadCloser: response.Body, left: maxAnswer}
	return response, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(buffer []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("reading the answer: it is longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(buffer[:min(int64(len(buffer)), b.left)])
	b.left -= int64(n)
	return n, err
}
