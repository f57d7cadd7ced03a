package kubeconfig

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
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

// TestSecretsInProtobuf: the answers to a typed client, which are not JSON, are searched too.
func TestSecretsInProtobuf(t *testing.T) {
	t.Parallel()
	one := core.Secret{Data: map[string][]byte{"a": []byte("canary-in-a-secret")}}
	info, found := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !found {
		t.Fatal("there is no serializer of Protocol Buffers")
	}
	for kind, object := range map[string]runtime.Object{"Secret": &one, "SecretList": &core.SecretList{Items: []core.Secret{{}, one}}} {
		var body bytes.Buffer
		if err := scheme.Codecs.EncoderForVersion(info.Serializer, core.SchemeGroupVersion).Encode(object, &body); err != nil {
			t.Fatal(err)
		}
		cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
			_, _ = w.Write(body.Bytes())
		}))
		t.Cleanup(cluster.Close)
		secrets, config := new(text.Secrets), &rest.Config{Host: cluster.URL}
		CollectSecrets(config, secrets)
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "Secret" {
			_, err = client.CoreV1().Secrets("a").Get(t.Context(), "a", meta.GetOptions{})
		} else {
			_, err = client.CoreV1().Secrets("a").List(t.Context(), meta.ListOptions{})
		}
		if err != nil || secrets.Redact("canary-in-a-secret") != "***" {
			t.Errorf("%s: got %q, %v", kind, secrets.Redact("canary-in-a-secret"), err)
		}
	}
}
