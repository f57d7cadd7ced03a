package awsx

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// load reads a configuration that finds nothing on this machine.
func load(t *testing.T, options Options, environment map[string]string) aws.Config {
	t.Helper()
	empty := t.TempDir()
	options.Environ = lookup(map[string]string{"AWS_CONFIG_FILE": empty + "/config", "AWS_SHARED_CREDENTIALS_FILE": empty + "/credentials"}, environment)
	loaded, err := Load(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func lookup(environments ...map[string]string) func(string) string {
	return func(name string) (value string) {
		for _, environment := range environments {
			if found := environment[name]; found != "" {
				value = found
			}
		}
		return value
	}
}

func TestLoadReadsTheGivenEnvironment(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session", "AWS_DEFAULT_REGION": "eu-west-1"}
	loaded := load(t, Options{MaxAttempts: 7, MaxResponse: 10}, keys)
	if loaded.Region != "eu-west-1" || loaded.Retryer().MaxAttempts() != 7 {
		t.Errorf("region %q, %d attempts", loaded.Region, loaded.Retryer().MaxAttempts())
	}
	credentials, err := loaded.Credentials.Retrieve(t.Context())
	if err != nil || credentials.AccessKeyID != "id" || credentials.SecretAccessKey != "secret" || credentials.SessionToken != "session" {
		t.Errorf("credentials %+v, %v", credentials, err)
	}
	keys["AWS_REGION"] = "eu-west-2"
	if got := load(t, Options{}, keys).Region; got != "eu-west-2" {
		t.Errorf("AWS_REGION: region %q", got)
	}
	if got := load(t, Options{Region: "eu-west-3"}, keys).Region; got != "eu-west-3" {
		t.Errorf("a given region: region %q", got)
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nendpoint_url = http://profile\nservices = local\n[services local]\necr =\n  endpoint_url = http://profile-ecr\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		environment map[string]string
		ecr, sts    string
	}{
		"none":        {nil, "", ""},
		"general":     {map[string]string{"AWS_ENDPOINT_URL": "http://general"}, "http://general", "http://general"},
		"one service": {map[string]string{"AWS_ENDPOINT_URL_ECR": "http://ecr"}, "http://ecr", ""},
		"both":        {map[string]string{"AWS_ENDPOINT_URL_ECR": "http://ecr", "AWS_ENDPOINT_URL": "http://general"}, "http://ecr", "http://general"},
		"profile":     {map[string]string{"AWS_CONFIG_FILE": profile}, "http://profile-ecr", "http://profile"},
		"ignored":     {map[string]string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL_ECR": "http://ecr", "AWS_CONFIG_FILE": profile}, "", ""},
		"environment before profile": {
			map[string]string{"AWS_CONFIG_FILE": profile, "AWS_ENDPOINT_URL_ECR": "http://ecr", "AWS_ENDPOINT_URL": "http://general"},
			"http://ecr", "http://general",
		},
	} {
		loaded := load(t, Options{}, test.environment)
		for service, want := range map[string]string{"ECR": test.ecr, "STS": test.sts} {
			if got := aws.ToString(Endpoint(lookup(test.environment), loaded, service)); got != want {
				t.Errorf("%s, %s: got %q, want %q", name, service, got, want)
			}
		}
	}
}

func TestResponsesAreLimited(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 64<<10)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	response, err := send(t, load(t, Options{MaxResponse: limit}, nil), endless.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if got, err := io.ReadAll(response.Body); err == nil || len(got) > limit || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	announced := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("12345678901"))
	}))
	defer announced.Close()
	if _, err := send(t, load(t, Options{MaxResponse: 10}, nil), announced.URL); err == nil || !strings.Contains(err.Error(), "11 bytes long, limit 10") { //nolint:bodyclose // there is none
		t.Errorf("a response that announces more: %v", err)
	}
}

// What a redirect leads to is not AWS.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	response, err := send(t, load(t, Options{MaxResponse: 1 << 10}, nil), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusTemporaryRedirect || reached.Load() {
		t.Errorf("got %s, reached the other host: %t", response.Status, reached.Load())
	}
}

func send(t *testing.T, loaded aws.Config, url string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return loaded.HTTPClient.Do(request)
}

// TestProfilesNameNothingInTheWorkTree: a profile that would run a program of the work tree, or read a file of it, is refused before.
func TestProfilesNameNothingInTheWorkTree(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree, outside := filepath.Join(root, "tree"), filepath.Join(root, "outside")
	for _, file := range []string{tree + "/keys", outside + "/keys"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\ntouch "+root+"/ran\n"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ profile, want string }{
		"a program":                {"credential_process = " + tree + "/keys", `credential_process of profile "default" of AWS: "` + tree + "/keys"},
		"a program, relative":      {"credential_process = ./keys --x", `credential_process of profile "default" of AWS: "./keys"`},
		"an argument":              {"credential_process = sh -c './keys'", "credential_process"},
		"a program outside":        {"credential_process = " + outside + "/keys", ""},
		"a token":                  {"role_arn = arn:aws:iam::1:role/a\nweb_identity_token_file = keys", `web_identity_token_file of profile "default"`},
		"a token outside":          {"role_arn = arn:aws:iam::1:role/a\nweb_identity_token_file = " + outside + "/keys", ""},
		"the profile of a profile": {"role_arn = arn:aws:iam::1:role/a\nsource_profile = b\n[profile b]\ncredential_process = ./keys", `credential_process of profile "b"`},
		"an authority":             {"ca_bundle = " + tree + "/keys", "ca_bundle of"},
		"keys":                     {"aws_access_key_id = a\naws_secret_access_key = b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte("[default]\nregion = eu-central-1\n"+test.profile+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			options := Options{Environ: lookup(map[string]string{"AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": file + "-none"}), WorkTree: worktree.Tree{Root: tree, Dir: tree}}
			_, err := Load(t.Context(), options)
			var input *release.InputError
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &input) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := os.Stat(root + "/ran"); err == nil {
		t.Error("a program was run")
	}
}

// TestCredentialsAreCollected: the keys that the SDK gets, from wherever, are shown nowhere.
func TestCredentialsAreCollected(t *testing.T) {
	t.Parallel()
	secrets := new(text.Secrets)
	loaded := load(t, Options{Secrets: secrets}, map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary-key-1", "AWS_SESSION_TOKEN": "canary-session-1"})
	if _, err := loaded.Credentials.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := secrets.Redact("canary-key-1 canary-session-1"); got != "*** ***" {
		t.Errorf("got %q", got)
	}
}
