package kubeconfig

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/client-go/rest"
)

// TestCredentialsAndSecretsAreCollected: what a client sends to identify itself, and what it reads of Secrets, is redacted from then on.
func TestCredentialsAndSecretsAreCollected(t *testing.T) {
	t.Parallel()
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"SecretList","items":[{"type":"Opaque","data":{"a":"Y2FuYXJ5LWluLWEtc2VjcmV0"}},` +
			`{"type":"helm.sh/release.v1","data":{"release":"Y2FuYXJ5LWluLWEtcmVjb3Jk"}}]}`))
	}))
	t.Cleanup(cluster.Close)
	secrets := new(text.Secrets)
	config := &rest.Config{Host: cluster.URL, BearerToken: "canary-token", Password: "canary-password"}
	CollectSecrets(config, secrets)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/namespaces/a/secrets", "/api/v1/namespaces/a/configmaps"} {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, cluster.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	const all = "canary-token canary-password canary-in-a-secret canary-in-a-record"
	if got, want := secrets.Redact(all), "*** *** *** canary-in-a-record"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
