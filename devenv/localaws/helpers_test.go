package localaws_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

// credentials returns static credentials for the SDK's clients.
func credentials(id, secret string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
	})
}

func ecrClient(server *localawstest.Server, change ...func(*ecr.Options)) *ecr.Client {
	return ecr.New(ecr.Options{
		Region: localaws.DefaultRegion, BaseEndpoint: aws.String(server.URL()), RetryMaxAttempts: 1,
		Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey),
	}, change...)
}

func stsClient(server *localawstest.Server) *sts.Client {
	return sts.New(sts.Options{
		Region: localaws.DefaultRegion, BaseEndpoint: aws.String(server.URL()), RetryMaxAttempts: 1,
		Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey),
	})
}

// wantAPIError checks an error's AWS name and a part of its message.
func wantAPIError(t *testing.T, err error, code, message string) {
	t.Helper()
	var failure smithy.APIError
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	if failure.ErrorCode() != code || !strings.Contains(failure.ErrorMessage(), message) {
		t.Errorf("got %s: %q, want %s with %q", failure.ErrorCode(), failure.ErrorMessage(), code, message)
	}
}

// options returns go-containerregistry's options, with a new token and no retries.
func options(server *localawstest.Server) []remote.Option {
	return []remote.Option{
		remote.WithAuth(&authn.Basic{Username: "AWS", Password: server.IssueToken()}),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryStatusCodes(),
	}
}

func reference(t *testing.T, server *localawstest.Server, rest string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(server.Address() + "/" + rest)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 3)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(t *testing.T, image interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func push(t *testing.T, server *localawstest.Server, rest string, image v1.Image) {
	t.Helper()
	if err := remote.Write(reference(t, server, rest), image, options(server)...); err != nil {
		t.Fatalf("pushing %q: %v", rest, err)
	}
}

// wantRegistryError checks an error's status, its code and a part of its message.
func wantRegistryError(t *testing.T, err error, status int, code transport.ErrorCode, message string) {
	t.Helper()
	var failure *transport.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want %d %s", err, status, code)
	}
	if failure.StatusCode != status {
		t.Errorf("got status %d, want %d (%v)", failure.StatusCode, status, err)
	}
	if len(failure.Errors) != 1 || failure.Errors[0].Code != code || !strings.Contains(failure.Errors[0].Message, message) {
		t.Errorf("got errors %+v, want %s with %q", failure.Errors, code, message)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request with a valid token.
func ask(t *testing.T, server *localawstest.Server, method, path, contentType string, body []byte) answer {
	t.Helper()
	got, err := try(server, method, path, contentType, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func try(server *localawstest.Server, method, path, contentType string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address := path
	if strings.HasPrefix(path, "/") {
		address = server.URL() + path
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.SetBasicAuth("AWS", server.IssueToken())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func hash(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
