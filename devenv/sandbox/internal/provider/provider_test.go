package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	login "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

// client calls an endpoint with the given answer.
func client(t *testing.T, status int, body any) *ecr.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
			t.Errorf("asked for %q", r.Header.Get("X-Amz-Target"))
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body) //nolint:errcheck,gosec // the client notices
	}))
	t.Cleanup(server.Close)
	return ecr.New(ecr.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("id", "secret", "")),
	})
}

func token(plain string) any {
	return map[string]any{"authorizationData": []map[string]any{{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte(plain)), "expiresAt": time.Now().Add(time.Hour).Unix(),
	}}}
}

const request = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"127.0.0.1:5000/shop@sha256:00"}`

func TestAnswer(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Answer(context.Background(), client(t, 200, token("AWS:pass:word")), strings.NewReader(request), &out); err != nil {
		t.Fatal(err)
	}
	var got login.CredentialProviderResponse
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := login.CredentialProviderResponse{
		TypeMeta:      metav1.TypeMeta{Kind: "CredentialProviderResponse", APIVersion: "credentialprovider.kubelet.k8s.io/v1"},
		CacheKeyType:  login.RegistryPluginCacheKeyType,
		CacheDuration: &metav1.Duration{},
		Auth:          map[string]login.AuthConfig{"127.0.0.1:5000": {Username: "AWS", Password: "pass:word"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, request string
		status        int
		body          any
		want          string
	}{
		{"not JSON", "{", 200, token("AWS:x"), "reading the request"},
		{"another version", strings.Replace(request, "/v1", "/v1beta1", 1), 200, token("AWS:x"), "not CredentialProviderRequest"},
		{"no registry", strings.Replace(request, "127.0.0.1:5000/", "", 1), 200, token("AWS:x"), "names no registry"},
		{"denied", request, 400, map[string]string{"__type": "AccessDeniedException", "message": "no"}, "AccessDenied"},
		{"no token", request, 200, map[string]any{"authorizationData": []any{}}, "expected one token, got 0"},
		{"token without a colon", request, 200, token("sesame"), "not user:password"},
		{"token not base64", request, 200, map[string]any{"authorizationData": []map[string]any{{"authorizationToken": "sesame!"}}}, "illegal base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := Answer(context.Background(), client(t, c.status, c.body), strings.NewReader(c.request), &out)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error contains the password: %v", err)
			}
			if out.Len() > 0 {
				t.Errorf("it answered all the same: %s", out.String())
			}
		})
	}
}
