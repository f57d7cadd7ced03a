package app

import (
	"testing"

	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
	"github.com/onedigest/onedigest/internal/text"
)

// TestNamedImagesAreNoSecrets: the image of a named setting is public without its name, and what any other setting assigns is not.
func TestNamedImagesAreNoSecrets(t *testing.T) {
	t.Parallel()
	const image = "r.example.com/catalog-api@sha256:0123456789abcdef"
	var texts []string
	set := new(setting.Set)
	setting.List(set, &texts, setting.Setting{Name: "image", Help: "An image"}, setting.Text)
	setting.List(set, &texts, setting.Setting{Name: "url", Help: "An address"}, setting.Text)
	if err := settingtest.Apply(set, "--image", "web="+image, "--url", "http://a/?token=canary-token-1"); err != nil {
		t.Fatal(err)
	}
	secrets := new(text.Secrets)
	secrets.Add("r.example.com/catalog-api", "canary-token-1")
	secrets.AddPossible("catalog-api")
	collectSettings(secrets, set)
	if got, want := secrets.Redact("r.example.com/catalog-api is "+image+" canary-token-1"), "r.example.com/catalog-api is "+image+" ***"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDirectoriesAreNoSecrets: a shell's variables for directories have the names of passwords.
func TestDirectoriesAreNoSecrets(t *testing.T) {
	t.Parallel()
	secrets := new(text.Secrets)
	collectEnvironment(secrets, []string{"PWD=/home/runner/work", "OLDPWD=/home/runner/before", "DB_PWD=canary-password-1"})
	if got, want := secrets.Redact("/home/runner/work /home/runner/before canary-password-1"), "/home/runner/work /home/runner/before ***"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNamesStayReadable: a secret that is a part of a name that the caller gives is shown in it, and nowhere else; a password in an address is not shown at all.
func TestNamesStayReadable(t *testing.T) {
	t.Parallel()
	var release, url string
	set := new(setting.Set)
	setting.Var(set, &release, setting.Setting{Name: "release", Help: "A name"}, setting.Text)
	setting.Var(set, &url, setting.Setting{Name: "url", Help: "An address"}, setting.Text)
	if err := settingtest.Apply(set, "--release", "shop-canary-frontend", "--url", "http://shop-canary-frontend:canary-password@canary-host/"); err != nil {
		t.Fatal(err)
	}
	secrets := new(text.Secrets)
	secrets.Add("canary-frontend", "canary-host")
	collectSettings(secrets, set)
	if got, want := secrets.Redact("Pod/shop-canary-frontend-7d9f runs "+url+" with canary-frontend"), "Pod/shop-canary-frontend-7d9f runs http://shop-canary-frontend:***@***/ with ***"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
