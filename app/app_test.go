package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func service(t *testing.T, values map[string]string, log io.Writer) *Service {
	t.Helper()
	config, err := LoadConfig(env(values))
	if err != nil {
		t.Fatal(err)
	}
	return NewService(config, Build{Commit: "abc123", Built: "2026-01-02T03:04:05Z", Digest: config.ImageDigest}, nil, slog.New(slog.NewJSONHandler(log, nil)))
}

func ask(t *testing.T, handler http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return response
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	s := service(t, map[string]string{"ENVIRONMENT": "staging", "GREETING": "Good day", "IMAGE_DIGEST": digest}, io.Discard)
	handler := s.Handler()
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/":        {200, "Good day from staging, commit abc123\n"},
		"/healthz": {200, `"alive"`},
		"/readyz":  {200, `"ready"`},
		"/version": {200, `{"commit":"abc123","built":"2026-01-02T03:04:05Z","digest":"` + digest + `"}`},
		"/nowhere": {404, "not found"},
	} {
		response := ask(t, handler, "GET", path)
		if response.Code != want.status || !strings.Contains(response.Body.String(), want.body) {
			t.Errorf("%s: got %d %q, want %d and %q", path, response.Code, response.Body, want.status, want.body)
		}
		if got := response.Header().Get("X-Commit"); got != "abc123" {
			t.Errorf("%s: X-Commit is %q", path, got)
		}
	}
	if response := ask(t, handler, "POST", "/"); response.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST / answers %d", response.Code)
	}
	metrics := ask(t, s.Metrics(), "GET", "/metrics").Body.String()
	for _, want := range []string{
		`app_build_info{commit="abc123",environment="staging"} 1`,
		`http_request_duration_seconds_count{method="GET",route="GET /version",status="200"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in:\n%s", want, metrics)
		}
	}
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	response := ask(t, service(t, map[string]string{"API_TOKEN": "hunter2", "LOG_LEVEL": "warn"}, io.Discard).Handler(), "GET", "/configs")
	var got struct {
		Environment, Commit string
		Config              map[string]any
		Secrets             map[string]string
	}
	if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"API_TOKEN": "set", "DATABASE_URL": "unset"}, got.Secrets); diff != "" {
		t.Errorf("secrets -want +got:\n%s", diff)
	}
	if got.Environment != "local" || got.Commit != "abc123" || got.Config["logLevel"] != "warn" {
		t.Errorf("got %+v", got)
	}
}

// TestARotatedSecretIsRead rewrites the files that a Secret is mounted as: they decide, not the environment that the process has.
func TestARotatedSecretIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	handler := service(t, map[string]string{"SECRETS_DIR": dir, "API_TOKEN": "old"}, io.Discard).Handler()
	write := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		rotate func()
		want   map[string]string
	}{
		{func() {}, map[string]string{"API_TOKEN": "set", "DATABASE_URL": "unset"}},
		{func() { write("API_TOKEN", ""); write("DATABASE_URL", "new") }, map[string]string{"API_TOKEN": "unset", "DATABASE_URL": "set"}},
		{func() { write("API_TOKEN", "newer") }, map[string]string{"API_TOKEN": "set", "DATABASE_URL": "set"}},
	} {
		step.rotate()
		var got struct{ Secrets map[string]string }
		if err := json.Unmarshal(ask(t, handler, "GET", "/configs").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, got.Secrets); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestNoOutputContainsASecret(t *testing.T) {
	t.Parallel()
	values := map[string]string{"API_TOKEN": "hunter2", "DATABASE_URL": "postgres://shop:hunter2@db/shop", "LOG_LEVEL": "debug"}
	var log strings.Builder
	s := service(t, values, &log)
	for path, handler := range map[string]http.Handler{"/": s.Handler(), "/configs": s.Handler(), "/healthz": s.Handler(),
		"/readyz": s.Handler(), "/version": s.Handler(), "/metrics": s.Metrics(), "/nowhere": s.Handler()} {
		response := ask(t, handler, "GET", path)
		if strings.Contains(response.Body.String(), "hunter2") {
			t.Errorf("%s shows a secret: %s", path, response.Body)
		}
	}
	values["PORT"], values["GREETING"] = "0", strings.Repeat("x", 201)
	_, err := LoadConfig(env(values))
	if err == nil {
		t.Fatal("the configuration is accepted")
	}
	if text := log.String() + err.Error(); strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown: %s", text)
	}
}

// TestMethodsAreFewSeries sends unknown methods: they must not add series to the metrics.
func TestMethodsAreFewSeries(t *testing.T) {
	t.Parallel()
	s := service(t, nil, io.Discard)
	handler := s.Handler()
	for _, method := range []string{"BREW", "PROPFIND", "X1", "X2"} {
		ask(t, handler, method, "/")
	}
	metrics := ask(t, s.Metrics(), "GET", "/metrics").Body.String()
	if want := `http_request_duration_seconds_count{method="other",route="none",status="405"} 4`; !strings.Contains(metrics, want) || strings.Contains(metrics, "BREW") {
		t.Errorf("no %s in:\n%s", want, metrics)
	}
}

func TestLoadConfigReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := LoadConfig(env(map[string]string{"ENVIRONMENT": "No Name", "GREETING": strings.Repeat("x", 201), "PORT": "0", "METRICS_PORT": "65536", "LOG_LEVEL": "loud", "DRAIN_DELAY": "-1s", "DRAIN_LIMIT": "5", "IMAGE_DIGEST": "latest"}))
	var invalid *InvalidConfig
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`ENVIRONMENT: "No Name" is not a name of lower-case letters, digits and -`,
		`GREETING: is 201 characters long, limit 200`,
		`PORT: "0" is not a whole number from 1 to 65535`,
		`METRICS_PORT: "65536" is not a whole number from 1 to 65535`,
		`LOG_LEVEL: "loud" is none of debug, info, warn, error`,
		`IMAGE_DIGEST: "latest" is not sha256: and 64 hex digits`,
		`DRAIN_DELAY: "-1s" is not a duration from 0s to 1h`,
		`DRAIN_LIMIT: "5" is not a duration from 0s to 1h`,
	}
	if diff := cmp.Diff(want, invalid.Problems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	ask(t, service(t, nil, &log).Handler(), "GET", "/version")
	var line map[string]any
	if err := json.Unmarshal([]byte(log.String()), &line); err != nil {
		t.Fatalf("%v in %q", err, log.String())
	}
	if line["path"] != "/version" || line["status"] != 200.0 || line["method"] != "GET" {
		t.Errorf("got %v", line)
	}
}

func TestProbesAreNotLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	handler := service(t, nil, &log).Handler()
	for _, path := range []string{"/healthz", "/readyz"} {
		ask(t, handler, "GET", path)
	}
	if log.Len() > 0 {
		t.Errorf("at level info, probes are logged: %s", log.String())
	}
}

// TestDrainDropsNoRequest stops a server under load: every request that was sent is answered, readiness goes at once,
// and responses ask clients to reconnect.
func TestDrainDropsNoRequest(t *testing.T) {
	t.Parallel()
	config, err := LoadConfig(env(map[string]string{"DRAIN_DELAY": "300ms", "DRAIN_LIMIT": "5s"}))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := NewService(config, Build{Commit: "abc123"}, nil, log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, nil, s, config, log) }()

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: 5 * time.Second}
	var answered, unready, closing atomic.Int64
	var stopped atomic.Bool
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for !stopped.Load() {
				request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/readyz", nil)
				response, err := client.Do(request)
				if err != nil {
					t.Errorf("a request was dropped: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				answered.Add(1)
				if response.StatusCode == http.StatusServiceUnavailable {
					unready.Add(1)
				}
				if response.Close {
					closing.Add(1)
				}
				// Like a load balancer, send nothing new to a server that is not ready.
				if unready.Load() > 50 {
					return
				}
			}
		})
	}
	for answered.Load() < 200 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	load.Wait()
	stopped.Store(true)
	if err := <-served; err != nil {
		t.Errorf("draining: %v", err)
	}
	if unready.Load() == 0 || closing.Load() == 0 {
		t.Errorf("%d answers, %d of them unready, %d asked to reconnect: draining was never seen", answered.Load(), unready.Load(), closing.Load())
	}
}

// TestMetricsAreOnTheirOwnPort serves on both listeners: the one that a load balancer reaches has no metrics, the other nothing else.
func TestMetricsAreOnTheirOwnPort(t *testing.T) {
	t.Parallel()
	config, err := LoadConfig(env(map[string]string{"METRICS_PORT": "9090", "DRAIN_DELAY": "0s"}))
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, listeners[0], listeners[1], NewService(config, Build{Commit: "abc123"}, nil, log), config, log)
	}()
	for i, want := range []map[string]int{
		{"/": http.StatusOK, "/configs": http.StatusOK, "/metrics": http.StatusNotFound},
		{"/": http.StatusNotFound, "/configs": http.StatusNotFound, "/metrics": http.StatusOK},
	} {
		for path, status := range want {
			response, err := http.Get("http://" + listeners[i].Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != status {
				t.Errorf("listener %d: %s answers %d, want %d", i, path, response.StatusCode, status)
			}
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", listeners[1].Addr().String()); err == nil {
		t.Error("metrics are still served after the end")
	}
}

func TestMetricsPortIsNotThePort(t *testing.T) {
	t.Parallel()
	_, err := LoadConfig(env(map[string]string{"PORT": "9090", "METRICS_PORT": "9090"}))
	if err == nil || !strings.Contains(err.Error(), "METRICS_PORT: 9090 is PORT as well") {
		t.Errorf("got %v", err)
	}
}

func TestRunRefusesATakenPort(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if err := run(t.Context(), nil, env(map[string]string{"PORT": port})); err == nil || !strings.Contains(err.Error(), "listening on port "+port) {
		t.Errorf("got %v", err)
	}
}
