package eks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

const (
	// maxAttempts of one request; the SDK waits up to 20 s between two.
	maxAttempts = 5
	// requestTime limits one attempt.
	requestTime = 30 * time.Second
	// maxAnswer is what is read of one answer, in bytes. A described cluster is about 3 KB.
	maxAnswer = 1 << 20
)

// load carries the given environment into the SDK, which reads the process's own.
// Source: AWS SDKs and Tools Reference Guide, "Environment variables".
func load(ctx context.Context, environ func(string) string, region string) (aws.Config, error) {
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
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil {
		loaded.HTTPClient = careful(loaded.HTTPClient) // not before: the SDK adds AWS_CA_BUNDLE to a client that it knows
	}
	return loaded, err
}

// patience is the SDK's standard retrying, and for every 429, not only those whose body names a code that the SDK knows.
func patience() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// endpoint finds the address that replaces AWS's own, nil for AWS's own: that of the service before the general one, the
// environment before the profile. Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
func endpoint(environ func(string) string, loaded aws.Config, service, variable string) *string {
	found := first(environ(variable), configured(loaded, service), environ("AWS_ENDPOINT_URL"), aws.ToString(loaded.BaseEndpoint))
	if found == "" {
		return nil
	}
	return &found
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
		if address, found, err := provider.GetServiceBaseEndpoint(context.Background(), service); err == nil && found {
			return address
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

// careful keeps an endpoint from filling the memory, and from sending the request on: the SDK would follow a 307 with the
// session's token in a header that no redirect drops.
func careful(inner aws.HTTPClient) aws.HTTPClient {
	if known, ok := inner.(*awshttp.BuildableClient); ok {
		inner = &http.Client{
			Transport: known.GetTransport(), Timeout: known.GetTimeout(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return bounded{inner}
}

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
