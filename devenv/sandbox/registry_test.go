package main_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const password = "the-only-password"

// guarded is a registry that wants a password, and the ECR API that issues it.
type guarded struct {
	registry, ecr *httptest.Server
	refused       atomic.Int64 // requests without the password
	pulled        atomic.Int64 // manifests given out
	tokens        atomic.Int64 // tokens issued
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{}
	inner := registry.New(registry.Logger(discard()))
	g.registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, given, ok := r.BasicAuth(); !ok || user != "AWS" || given != password {
			g.refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
			g.pulled.Add(1)
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(g.registry.Close)
	g.ecr = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
			http.Error(w, `{"__type":"UnknownOperationException"}`, http.StatusBadRequest)
			return
		}
		g.tokens.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if err := json.NewEncoder(w).Encode(map[string]any{"authorizationData": []map[string]any{{
			"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + password)),
			"expiresAt":          time.Now().Add(12 * time.Hour).Unix(),
			"proxyEndpoint":      g.registry.URL,
		}}}); err != nil {
			t.Errorf("issuing a token: %v", err)
		}
	}))
	t.Cleanup(g.ecr.Close)
	return g
}

// host is the registry's HOST:PORT.
func (g *guarded) host() string { return strings.TrimPrefix(g.registry.URL, "http://") }

// push builds the test workload from scratch and pushes it; it gives the image's reference by digest.
func (g *guarded) push(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "answer")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./testdata/answer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the workload: %v\n%s", err, output)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	if err := files.WriteHeader(&tar.Header{Name: "answer", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer.Bytes(), types.DockerUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.Config(image, v1.Config{Entrypoint: []string{"/answer"}, Labels: map[string]string{"registry": g.host()}, User: "65532:65532"}); err != nil {
		t.Fatal(err)
	}
	repository, err := name.NewRepository(g.host()+"/answer", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	reference := repository.Digest(digest.String())
	if err := remote.Write(reference, image, remote.WithAuth(&authn.Basic{Username: "AWS", Password: password})); err != nil {
		t.Fatalf("pushing: %v", err)
	}
	return reference.String()
}
