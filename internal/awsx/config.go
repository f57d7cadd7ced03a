// Package awsx is the configuration that the AWS adapters share: credentials, region, endpoints, retries, limits, and the meaning
// of AWS's error codes. It calls no service.
package awsx

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// attemptTimeout limits one attempt of a request.
const attemptTimeout = 30 * time.Second

// Credentials supplies credentials, and renews those that expire.
type Credentials = aws.CredentialsProvider

// Options of Load.
type Options struct {
	Credentials Credentials // instead of those of the environment; nil: the environment's
	// Environ looks up the AWS variables that set endpoints, the region, the profile and static keys. The SDK's default chain
	// (profiles, SSO, the machine's role) supplies the rest. Nil means no variables.
	Environ     func(name string) string
	Region      string        // "": the environment's or profile's
	MaxAttempts int           // of one request
	MaxResponse int64         // of one response, in bytes
	Secrets     *text.Secrets // gets the credentials; may be nil
	WorkTree    worktree.Tree // nothing in which a profile may name
}

// Load reads the configuration for AWS's SDK; it sends no request.
//
// Clients with this configuration retry as the SDK's standard mode does, and also every 429, because the SDK retries a 429 only
// if its body names a code that it knows. The wait before a retry is a random part of 1 s, 2 s, 4 s …, at most 20 s. Redirects
// are not followed.
//
// The error is a *release.InputError if the profile names a program or a file in the work tree.
func Load(ctx context.Context, options Options) (aws.Config, error) {
	loaded, err := config.LoadDefaultConfig(ctx, loadOptions(options)...)
	if err != nil {
		return aws.Config{}, err
	}
	if err := checkProfile(loaded, options.WorkTree); err != nil {
		return aws.Config{}, err
	}
	// The client is wrapped last, since the SDK adds AWS_CA_BUNDLE only to a client of its own kind.
	loaded.HTTPClient = limitedClient{withoutRedirects(loaded.HTTPClient), options.MaxResponse}
	loaded.Credentials = collectCredentials(loaded.Credentials, options.Secrets)
	return loaded, nil
}

// checkProfile refuses a profile that gets credentials from the work tree, or trusts a certificate authority that is there. None of these
// programs was run yet.
func checkProfile(loaded aws.Config, tree worktree.Tree) error {
	var problems []release.Problem
	for _, source := range loaded.ConfigSources {
		profile, is := source.(config.SharedConfig)
		if !is {
			continue
		}
		for from := &profile; from != nil; from = from.Source {
			where := fmt.Sprintf("profile %q of AWS", from.Profile)
			if path := tree.Mentioned(from.CredentialProcess); path != "" {
				problems = append(problems, worktree.Problem("credential_process of "+where, path))
			}
			for _, named := range []struct{ field, path string }{{"web_identity_token_file", from.WebIdentityTokenFile}, {"ca_bundle", from.CustomCABundle}} {
				if tree.Contains(named.path) {
					problems = append(problems, worktree.Problem(named.field+" of "+where, named.path))
				}
			}
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// collectCredentials adds the keys that a provider returns to secrets.
func collectCredentials(provider aws.CredentialsProvider, secrets *text.Secrets) aws.CredentialsProvider {
	if provider == nil || secrets == nil {
		return provider
	}
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		credentials, err := provider.Retrieve(ctx)
		secrets.Add(credentials.SecretAccessKey, credentials.SessionToken)
		return credentials, err
	})
}

// loadOptions passes the given environment to the SDK, which otherwise reads the process's own.
// Source: AWS SDKs and Tools Reference Guide, "Environment variables".
func loadOptions(options Options) []func(*config.LoadOptions) error {
	environ := environment(options.Environ)
	list := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return newRetryer(options.MaxAttempts) }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(attemptTimeout)),
		config.WithAppID("onedigest"),
	}
	if region := first(options.Region, environ("AWS_REGION"), environ("AWS_DEFAULT_REGION")); region != "" {
		list = append(list, config.WithRegion(region))
	}
	if profile := first(environ("AWS_PROFILE"), environ("AWS_DEFAULT_PROFILE")); profile != "" {
		list = append(list, config.WithSharedConfigProfile(profile))
	}
	if file := environ("AWS_CONFIG_FILE"); file != "" {
		list = append(list, config.WithSharedConfigFiles([]string{file}))
	}
	if file := environ("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		list = append(list, config.WithSharedCredentialsFiles([]string{file}))
	}
	if options.Credentials != nil {
		list = append(list, config.WithCredentialsProvider(options.Credentials))
	} else if id, secret := environ("AWS_ACCESS_KEY_ID"), environ("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: environ("AWS_SESSION_TOKEN"), Source: "environment"}
		list = append(list, config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) { return keys, nil })))
	}
	if strings.EqualFold(environ("AWS_EC2_METADATA_DISABLED"), "true") {
		list = append(list, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	return list
}

// newRetryer returns the SDK's standard retryer with maxAttempts, which also retries every 429.
func newRetryer(maxAttempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// Endpoint returns the configured URL that replaces AWS's own for a service, or nil if none is configured. serviceID is the SDK's
// ServiceID ("ECR"). A service's own setting wins over the general one, and the environment wins over the profile.
// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints", also for AWS_IGNORE_CONFIGURED_ENDPOINT_URLS.
func Endpoint(environ func(string) string, loaded aws.Config, serviceID string) *string {
	environ = environment(environ)
	if ignored, found, err := config.GetIgnoreConfiguredEndpoints(context.Background(), loaded.ConfigSources); err == nil && found && ignored ||
		strings.EqualFold(environ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return nil
	}
	variable := "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(serviceID, " ", "_"))
	found := first(environ(variable), profileEndpoint(loaded, serviceID), environ("AWS_ENDPOINT_URL"), aws.ToString(loaded.BaseEndpoint))
	if found == "" {
		return nil
	}
	return &found
}

// profileEndpoint asks the SDK's sources (the process's environment, the profile) for a service's endpoint.
func profileEndpoint(loaded aws.Config, serviceID string) string {
	for _, source := range loaded.ConfigSources {
		provider, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		})
		if !ok {
			continue
		}
		if address, found, err := provider.GetServiceBaseEndpoint(context.Background(), serviceID); err == nil && found {
			return address
		}
	}
	return ""
}

// withoutRedirects makes a client return a redirect instead of following it. The SDK's own client follows a 307 and a 308. The
// APIs used here (ECR, STS, EKS) never redirect: a redirect comes from a proxy or a wrong endpoint, and its target is not AWS.
func withoutRedirects(client aws.HTTPClient) aws.HTTPClient {
	known, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return client
	}
	return &http.Client{
		Transport: known.GetTransport(), Timeout: known.GetTimeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// limitedClient limits the size of responses, so that no endpoint can fill the memory.
type limitedClient struct {
	aws.HTTPClient
	maxResponse int64
}

// Do sends a request and limits the response's body.
func (c limitedClient) Do(request *http.Request) (*http.Response, error) {
	response, err := c.HTTPClient.Do(request)
	if err != nil {
		return response, err
	}
	if err := httpx.LimitBody(response, c.maxResponse); err != nil {
		return nil, err
	}
	return response, nil
}

// environment replaces a nil lookup by one that finds no variable.
func environment(environ func(string) string) func(string) string {
	if environ == nil {
		return func(string) string { return "" }
	}
	return environ
}

// first returns the first value that is not empty, or "".
func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
