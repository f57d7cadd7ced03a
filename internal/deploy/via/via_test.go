package via

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

func TestAddressesOfRepositories(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://github.com/team/config.git", "ssh://git@git.example.com:22/config", "git@github.com:team/config.git", "file:///srv/config.git"} {
		if got, err := ParseRepository(good); err != nil || got != good {
			t.Errorf("%q: %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "config", "/srv/config.git", "../config", "http://git.example.com/config", "ext::sh -c id", "-uhttps://x", "git://x/y", "https:///config", "file://", "ssh://"} {
		if _, err := ParseRepository(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, secret := range []string{"https://u:canary@git.example.com/config", "https://u:canary@git.example.com/%zz", "https://canary@git.example.com/config", "http://canary@git.example.com/config", "ssh://u:canary@git.example.com/config"} {
		if _, err := ParseRepository(secret); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
}

func TestBranchesAndApplications(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"main": true, "env/production": true, "v1.2": true, "": false, "-f": false, "a..b": false, "a.lock": false, "a//b": false, "a/": false, "a b": false, "refs:x": false, "+main": false, ".a": false} {
		if _, err := ParseBranch(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for text, want := range map[string]Application{"shop": {"argocd", "shop"}, "gitops/shop.production": {"gitops", "shop.production"}, "a/b/c": {}, "Shop": {}, "/shop": {}, "": {}} {
		if got, err := parseApplication(text); (err == nil) != (want != Application{}) || err == nil && got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestProblemsAreListedTogether(t *testing.T) {
	t.Parallel()
	settings := Settings{Via: ArgoCD, ConfigToken: "t"}
	if got := settings.Problems(false, nil, []string{"set"}, []release.BuiltImage{{}, {Name: "web"}}); len(got) != 6 {
		t.Errorf("got %v", got)
	}
	settings = Settings{ConfigRepository: "https://git.example.com/config", ConfigToken: "t"}
	if got := settings.Problems(true, nil, []string{"set"}, nil); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestDirectoriesOfManifests(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"live/production": "live/production", ".": ".", "./live/": "live", "a/../b": "b", "": "", "/live": "", "..": "", "../x": "", "a/../../x": "", "-x": "", ":x": "", "a*": "", ".git": "", "x/.GIT/y": "", "a\nb": "", `a\b`: ""} {
		if got, err := ParseDirectory(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestProblemsOfManifests(t *testing.T) {
	t.Parallel()
	settings := Settings{Via: ArgoCD, ConfigRepository: "https://git.example.com/config", ConfigPath: "live"}
	if got := settings.Problems(true, nil, []string{"pin-text", "image-alias", "image-values"}, []release.BuiltImage{{}, {Name: "web"}}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	settings.ConfigFile, settings.ConfigKeys = "values.yaml", []setting.Named[string]{{Value: "image.digest"}}
	if got := settings.Problems(false, nil, []string{"set", "secret-values"}, nil); len(got) != 5 {
		t.Errorf("got %v", got)
	}
	if got := (&Settings{ConfigPath: "live"}).Problems(true, nil, nil, nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
