package dockerconfig_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/image/dockerconfig"
)

func configured(t *testing.T, content string) (dir string, environ []string) {
	t.Helper()
	dir = t.TempDir()
	if content != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "cli-plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"DOCKER_CONFIG=" + dir}
}

func TestAddKeepsTheUsersConfiguration(t *testing.T) {
	t.Parallel()
	const own = `{"auths":{"ghcr.io":{"auth":"b3du"}},"credsStore":"desktop","currentContext":"far","credHelpers":{"gcr.io":"gcloud"}}`
	dir, environ := configured(t, own)
	to := filepath.Join(t.TempDir(), "docker")
	variables, err := dockerconfig.Add(environ, to, map[string]dockerconfig.Login{"registry.example.com": {Username: "AWS", Password: "token"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"DOCKER_CONFIG=" + to, "BUILDX_CONFIG=" + filepath.Join(dir, "buildx")}, variables); diff != "" {
		t.Error(diff)
	}
	content, err := os.ReadFile(filepath.Join(to, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"auths":       map[string]any{"ghcr.io": map[string]any{"auth": "b3du"}, "registry.example.com": map[string]any{"auth": "QVdTOnRva2Vu"}},
		"credHelpers": map[string]any{"gcr.io": "gcloud", "registry.example.com": ""}, "credsStore": "desktop", "currentContext": "far",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config.json (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(to, "config.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config.json can be read by others: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(to, "cli-plugins")); err != nil || !info.IsDir() {
		t.Errorf("the plugins are not there: %v", err)
	}
	if untouched, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil || string(untouched) != own {
		t.Errorf("the user's file is %s (%v)", untouched, err)
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	_, environ := configured(t, `{"auths":{"a.example.com":{}},"credHelpers":{"b.example.com":"x"},"credsStore":"y"}`)
	got, err := dockerconfig.Known(environ, []string{"a.example.com", "b.example.com", "c.example.com"})
	if diff := cmp.Diff(map[string]bool{"a.example.com": true, "b.example.com": true, "c.example.com": false}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestAddToNoneOrNothing(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", `{}`, `{"auths":null,"credHelpers":null}`} {
		_, environ := configured(t, content)
		if _, err := dockerconfig.Add(environ, filepath.Join(t.TempDir(), "x"), map[string]dockerconfig.Login{"h": {}}); err != nil {
			t.Errorf("%s: %v", content, err)
		}
	}
	_, environ := configured(t, `{"auths":"secret"}`)
	if _, err := dockerconfig.Add(environ, filepath.Join(t.TempDir(), "x"), nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the file's content", err)
	}
}
