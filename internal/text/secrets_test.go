package text

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestSecretsAreRedactedInEveryForm: a value is found as it is, quoted, encoded, cut off and as a part of something longer.
func TestSecretsAreRedactedInEveryForm(t *testing.T) {
	t.Parallel()
	const value = `ca"na<ry/41 x`
	const other = `p/s:w;r&d,e=1?q` // that URLs escape in part
	s := new(Secrets)
	s.Add(value, other)
	quoted, _ := json.Marshal(value)
	nested, _ := json.Marshal(string(quoted))
	for name, shown := range map[string]string{
		"as it is": value, "quoted": fmt.Sprintf("%q", value), "JSON": string(quoted), "URL": "ca%22na%3Cry%2F41%20x", "form": "ca%22na%3Cry%2F41+x",
		"JSON in JSON": string(nested), "small hex digits": "ca%22na%3cry%2f41%20x", "path": url.PathEscape(other), "user": url.UserPassword("u", other).String(),
		"path in small": strings.ToLower(url.PathEscape(other)), "user in small": strings.ToLower(url.UserPassword("u", other).String()),
		"base64": base64.StdEncoding.EncodeToString([]byte(value)), "cut": `ca"na<r…`, "cut before": `…na<ry/41 x`,
		"base64 of more": base64.StdEncoding.EncodeToString([]byte("u:" + value + ":z")), "one line": "it is " + value + ", twice: " + value,
	} {
		got := s.Redact(shown)
		if !strings.Contains(got, Redacted) || strings.Contains(got, "na<ry") || strings.Contains(got, `\u003cry`) || strings.Contains(got, "%3cry") || strings.Contains(got, `ca"na`) {
			t.Errorf("%s: %q becomes %q", name, shown, got)
		}
	}
	if got := s.Redact("nothing of it"); got != "nothing of it" {
		t.Errorf("got %q", got)
	}
}

// TestPartsOfSecretsAreRedacted: what a value is made of is redacted on its own.
func TestPartsOfSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	for value, part := range map[string]string{
		"first line of it\nsecond=canary-2\n":                         "canary-2",
		"postgres://user:canary-3@db/x":                               "canary-3",
		`{"auths":{"r.example.com":{"auth":"dXNlcjpjYW5hcnktNA=="}}}`: "canary-4",
		"-----BEGIN KEY-----\nMIIcanary5xxxxxxxx\n-----END KEY-----":  "MIIcanary5xxxxxxxx",
	} {
		s := new(Secrets)
		s.Add(value)
		if got := s.Redact("got " + part + "."); got != "got ***." {
			t.Errorf("%q shows %q", value, got)
		}
	}
}

// TestWhatIsNoSecret: short values, common words and what a run is about are shown.
func TestWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	s := new(Secrets)
	s.Add("true", "8080", "payments-api", "kubernetes", "Postgres", `{"engine":"postgres","user":"administrator"}`)
	s.AddPossible("LoadBalancer", "info", "canary-possible")
	s.MarkPublic("payments-api")
	const shown = "true 8080 payments-api LoadBalancer info kubernetes Postgres postgres administrator localhost"
	if got := s.Redact(shown); got != shown {
		t.Errorf("got %q", got)
	}
	if got := s.Redact("canary-possible"); got != Redacted {
		t.Errorf("got %q", got)
	}
	if got := (*Secrets)(nil).Redact(shown); got != shown {
		t.Errorf("got %q", got)
	}
}

// TestPartsOfWhatIsPublic: what may be secret is shown as a part of a longer public value, and a secret only as a part of an identity.
func TestPartsOfWhatIsPublic(t *testing.T) {
	t.Parallel()
	const image = "r.example.com/catalog-api@sha256:0123456789abcdef"
	s := new(Secrets)
	s.AddPossible("catalog-api", "89abcdef")
	s.Add("example", "canary-1", "sha256:01234567")
	s.MarkPublic("http://a:canary-1@shop.example.com/", "team/catalog-api", "canary-1")
	s.Add("canary-2")
	s.MarkPublic("http://a:canary-2@b/")
	s.MarkPublicIdentities(image)
	for shown, want := range map[string]string{
		"at " + image + ".": "at " + image + ".", `{"image":"` + image + `"}`: `{"image":"` + image + `"}`,
		"team/catalog-api": "team/catalog-api", "catalog-api, 89abcdef": "***, ***",
		"http://a:canary-2@b/": "http://a:***@b/", "example": "***", "canary-1": "canary-1",
	} {
		if got := s.Redact(shown); got != want {
			t.Errorf("%q becomes %q", shown, got)
		}
		if got := s.RedactJSON(shown); got != want {
			t.Errorf("JSON: %q becomes %q", shown, got)
		}
	}
}

// TestWhatIsPlain: what may be secret is shown where a chart's default is equal to it, and in a reference to an image; a secret is redacted in both.
func TestWhatIsPlain(t *testing.T) {
	t.Parallel()
	const image = "registry.k8s.io/ingress-nginx/certgen:v1.4.0@sha256:0123456789abcdef"
	s := new(Secrets)
	s.AddPossible("k8s.io/ingress-nginx", "canary-default", "canary-other", "--class=canary-default and more")
	s.Add("canary-secret", "v1.4.0@sha256", "canary-both")
	s.MarkPlain("canary-default", "canary-secret", "canary-both")
	s.MarkReferences(image, "canary-other not a reference", "canary-both:1.2.3")
	for shown, want := range map[string]string{
		`pulling "` + strings.Split(image, ":")[0] + `": not found`: `pulling "registry.k8s.io/ingress-nginx/certgen": not found`,
		image:                             "registry.k8s.io/ingress-nginx/certgen:***:0123456789abcdef",
		"k8s.io/ingress-nginx":            "***",
		"--class=canary-default":          "--class=canary-default",
		"--class=canary-default and more": "***",
		"canary-secret, canary-other":     "***, ***",
		"canary-both, canary-both:1.2.3":  "***, ***:1.2.3",
		"updateStrategy OnDelete":         "updateStrategy OnDelete",
	} {
		s.AddPossible("OnDelete")
		if got := s.Redact(shown); got != want {
			t.Errorf("%q becomes %q, want %q", shown, got, want)
		}
	}
}

// TestNamesOfObjects: a short secret is shown as a part of a longer name, and a long one or one that is equal to a name is not.
// TestPathsThatAreNamesOfObjects: a possible secret /NAME is not redacted where a line names an object, and nowhere else.
func TestPathsThatAreNamesOfObjects(t *testing.T) {
	t.Parallel()
	s := new(Secrets)
	s.AddPossible("/alertmanager", "/var/lib/alertmanager")
	s.Add("/prometheus")
	s.MarkPublicNames("alertmanager", "prometheus")
	for text, want := range map[string]string{
		"StatefulSet/alertmanager: OD-107 Pod/alertmanager-0 (StatefulSet/alertmanager)": "StatefulSet/alertmanager: OD-107 Pod/alertmanager-0 (StatefulSet/alertmanager)",
		"--storage.path=/alertmanager":              "--storage.path=***",
		"in data/alertmanager":                      "in data***",
		"/alertmanager":                             "***",
		"StatefulSet/var/lib/alertmanager":          "StatefulSet***",
		"StatefulSet/prometheus and 1/alertmanager": "StatefulSet*** and 1***",
	} {
		if got := s.Redact(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNamesOfObjects(t *testing.T) {
	t.Parallel()
	s := new(Secrets)
	s.Add("frontend", "database", "canary-of-12")
	s.AddPossible("shop-postgres", "postgres-x")
	s.MarkPublicNames("shop-frontend", "database", "shop-canary-of-12", "shop-postgres", "web")
	for shown, want := range map[string]string{
		"Deployment/shop-frontend":   "Deployment/shop-frontend",
		"Pod/shop-frontend-7d9f-x2x": "Pod/shop-frontend-7d9f-x2x",
		"password=frontend":          "password=***",
		"frontend and shop-frontend": "*** and shop-frontend",
		"StatefulSet/database":       "StatefulSet/***", // equal to a secret
		"Job/shop-canary-of-12":      "Job/shop-***",
		"Job/shop-canary-o…":         "Job/shop-***…",
		"host=shop-postgres":         "host=shop-postgres",
		"host=postgres-x":            "host=***",
	} {
		if got := s.Redact(shown); got != want {
			t.Errorf("%q becomes %q, want %q", shown, got, want)
		}
		if got := s.RedactJSON(`{"name":"` + shown + `"}`); got != `{"name":"`+want+`"}` {
			t.Errorf("JSON: %q becomes %q", shown, got)
		}
	}
	(*Secrets)(nil).MarkPublicNames("shop")
}

// TestOverlappingSecrets: of two secrets that overlap, neither shows.
func TestOverlappingSecrets(t *testing.T) {
	t.Parallel()
	s := new(Secrets)
	s.Add("abcdefgh", "efghijkl")
	if got := s.Redact("-abcdefghijkl-"); got != "-***-" {
		t.Errorf("got %q", got)
	}
}

// TestFieldsKeepTheirNames: a short secret, or what only may be one, does not change the names of a document's fields.
func TestFieldsKeepTheirNames(t *testing.T) {
	t.Parallel()
	s := new(Secrets)
	s.Add("digest", "canary-of-a-key")
	s.AddPossible("reusedFromWhere")
	const document = `{"digest" : "digest", "reusedFromWhere": ["digest"], "a-canary-of-a-key": "x:"}`
	if got, want := s.RedactJSON(document), `{"digest" : "***", "reusedFromWhere": ["***"], "a-***": "x:"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzRedactJSON: a redacted document is one still, and nothing in it begins a command of the runner.
func FuzzRedactJSON(f *testing.F) {
	f.Add("::set-output name=a::b", "canary-12-bytes\n##[group]")
	f.Add(`\"n123456`, "\x00\u2028")
	f.Fuzz(func(t *testing.T, key, value string) {
		s := new(Secrets)
		s.Add("canary-12-bytes", "n123456")
		document, err := json.MarshalIndent(map[string]string{key: value}, "", " ")
		if err != nil {
			t.Skip()
		}
		got := s.RedactJSON(string(document))
		if !json.Valid([]byte(got)) || strings.Contains(got, "::") || strings.Contains(got, "##[") || strings.Contains(got, "canary-12-bytes") {
			t.Errorf("%s becomes %s", document, got)
		}
	})
}

func TestNamesSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"DB_PASSWORD": true, "apiKey": true, "Authorization": true, "secret.PASSWORD": true, "GITHUB_TOKEN": true,
		"SIGN_KEY": true, "EVIDENCE_KEY_STAGING": true, "SOPS_AGE_KEY": true, "DEPLOY_KEY": true, "image_key": false, "CACHE_KEY": false, "SSH_KEY_PATH": false,
		"existingSecret": false, "secretName": false, "TOKEN_FILE": false, "imagePullSecrets": false, "PORT": false,
		"SECRETS_BACKEND": false, "COOKIE_DOMAIN": false, "tokenIssuer": false, "PASSWORD_POLICY": false, "AUTHORIZATION_MODE": false, "credentialStore": false, "TOKEN_AUDIENCE": false} {
		if NamesSecret(name) != want {
			t.Errorf("%s: got %t", name, !want)
		}
	}
}

func TestIsSecret(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"-----BEGIN EC PRIVATE KEY-----\nx": true, "-----BEGIN PRIVATE KEY-----": true, "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----": true,
		"# a key\nAGE-SECRET-KEY-1QQ": true, "-----BEGIN PUBLIC KEY-----": false, "age1qq": false, "": false} {
		if IsSecret(value) != want {
			t.Errorf("%q: got %t", value, !want)
		}
	}
}

// TestPercentFormsAreThoseOfURLs compares them with what net/url writes.
func TestPercentFormsAreThoseOfURLs(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	forms := percentFormsOf(all.String())
	for name, want := range map[string]string{"query": url.QueryEscape(all.String()), "segment": url.PathEscape(all.String()),
		"password": strings.TrimPrefix(url.UserPassword("", all.String()).String(), ":")} {
		if !slices.Contains(forms, want) {
			t.Errorf("%s: no form is %q", name, want)
		}
	}
}

// TestHideKeepsWhatIsNoSecret, and finds a secret that a reader does not see as divided.
func TestHideKeepsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	secrets := new(Secrets)
	secrets.Add("canary-4711")
	for given, want := range map[string]string{
		"arn:aws:iam::123:role/x\n::a": "arn:aws:iam::123:role/x\n::a", "of canary-4711\n": "of ***\n", "of ca\x1b[0mnary-47\u200d11\n": "of ***", "": "",
	} {
		if got := secrets.Hide(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
