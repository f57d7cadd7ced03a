// Package provider answers the kubelet's requests for registry credentials with tokens from Amazon ECR.
package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	login "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

// apiVersion is the one supported version of requests and responses.
const apiVersion = "credentialprovider.kubelet.k8s.io/v1"

// limit is the most bytes of a request, which has an image's name and a service account's annotations.
const limit = 1 << 20

// Tokens issues registry passwords; *ecr.Client does.
type Tokens interface {
	GetAuthorizationToken(context.Context, *ecr.GetAuthorizationTokenInput, ...func(*ecr.Options)) (*ecr.GetAuthorizationTokenOutput, error)
}

// Answer reads one request and answers with the credentials for the registry of its image. The kubelet must not
// cache them: the fake AWS may be restarted without its old tokens at any time, and a request takes milliseconds.
func Answer(ctx context.Context, tokens Tokens, in io.Reader, out io.Writer) error {
	var request login.CredentialProviderRequest
	if err := json.NewDecoder(io.LimitReader(in, limit)).Decode(&request); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if request.APIVersion != apiVersion || request.Kind != "CredentialProviderRequest" {
		return fmt.Errorf("reading the request: it is %s %s, not CredentialProviderRequest %s", request.Kind, request.APIVersion, apiVersion)
	}
	registry, _, found := strings.Cut(request.Image, "/")
	if !found || registry == "" {
		return fmt.Errorf("reading the request: the image %q names no registry", request.Image)
	}
	issued, err := tokens.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return fmt.Errorf("getting a token for %q: %w", registry, err)
	}
	user, password, err := decodeToken(issued)
	if err != nil {
		return fmt.Errorf("reading the token for %q: %w", registry, err)
	}
	return json.NewEncoder(out).Encode(login.CredentialProviderResponse{
		TypeMeta:      metav1.TypeMeta{APIVersion: apiVersion, Kind: "CredentialProviderResponse"},
		CacheKeyType:  login.RegistryPluginCacheKeyType,
		CacheDuration: &metav1.Duration{},
		Auth:          map[string]login.AuthConfig{registry: {Username: user, Password: password}},
	})
}

// decodeToken decodes a token: base64 of user:password.
func decodeToken(issued *ecr.GetAuthorizationTokenOutput) (user, password string, err error) {
	if len(issued.AuthorizationData) != 1 {
		return "", "", fmt.Errorf("expected one token, got %d", len(issued.AuthorizationData))
	}
	token := issued.AuthorizationData[0]
	if token.AuthorizationToken == nil {
		return "", "", errors.New("it lacks the token itself")
	}
	plain, err := base64.StdEncoding.DecodeString(*token.AuthorizationToken)
	if err != nil {
		// The decoder's error does not quote its input, which has the password.
		return "", "", err
	}
	user, password, found := strings.Cut(string(plain), ":")
	if !found || user == "" || password == "" {
		return "", "", errors.New("it is not user:password")
	}
	return user, password, nil
}
