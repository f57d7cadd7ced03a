package secretstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/secretstore"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// newStore returns a store that finds AWS at a server and sops in a directory, and what it has read.
func newStore(t *testing.T, server *localawstest.Server, more ...string) (*secretstore.Store, *[]string) {
	t.Helper()
	tree := t.TempDir()
	environ := append(server.Env(), "AWS_CONFIG_FILE="+tree+"/none", "AWS_SHARED_CREDENTIALS_FILE="+tree+"/none")
	environ = append(environ, more...)
	read := new([]string)
	return secretstore.New(secretstore.Options{
		Environ: environ, Getenv: func(name string) string { return execx.Variable(environ, name) },
		Inside: func(path string) (string, error) { return filepath.Join(tree, path), nil },
		Add:    func(secret string) { *read = append(*read, secret) }, Secrets: new(text.Secrets), Tree: worktree.Tree{Root: tree, Dir: tree},
	}), read
}

func reference(t *testing.T, text string) release.SecretRef {
	t.Helper()
	value, err := release.ParseSecretValue("a=" + text)
	if err != nil {
		t.Fatal(err)
	}
	return value.Reference
}

func TestReadsFromAWS(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.PutSecret("shop/db", `{"password": "canary-1", "port": 5432, "nested": {"a.b": "x", "c": "canary-2"}, "d.e": "canary-3", "list": []}`)
	server.PutSecret("plain", "canary-4")
	var references []release.SecretRef
	var want []string
	for i := range 12 { // more than one request may name
		server.PutParameter(fmt.Sprintf("/shop/p%d", i), fmt.Sprintf("canary-p%d", i))
		references, want = append(references, reference(t, fmt.Sprintf("ssm:///shop/p%d", i))), append(want, fmt.Sprintf("canary-p%d", i))
	}
	for _, one := range []struct{ text, want string }{
		{"awssm://shop/db#password", "canary-1"}, {"awssm://shop/db#port", "5432"}, {"awssm://shop/db#nested.c", "canary-2"}, {"awssm://shop/db#d.e", "canary-3"},
		{"awssm://plain", "canary-4"}, {"awssm://arn:aws:secretsmanager:us-east-1:000000000000:secret:plain-AbCdEf", "canary-4"},
	} {
		references, want = append(references, reference(t, one.text)), append(want, one.want)
	}
	store, read := newStore(t, server)
	got, err := store.Read(t.Context(), references)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, *read); diff != "" {
		t.Errorf("joined the secrets: %s", diff)
	}
	if secrets, parameters := server.Count(localaws.RouteGetSecretValue, ""), server.Count(localaws.RouteGetParameters, ""); secrets != 3 || parameters != 2 {
		t.Errorf("%d and %d requests: each secret is read once, and ten parameters at once", secrets, parameters)
	}
}

func TestProblemsAreReportedTogether(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.PutSecret("shop", `{"list": ["canary-1"], "empty": "", "a": "canary-2"}`)
	server.PutSecret("text", "canary-3 is no JSON")
	store, _ := newStore(t, server)
	_, err := store.Read(t.Context(), []release.SecretRef{reference(t, "awssm://gone#a"), reference(t, "ssm://gone"), reference(t, "ssm://lost#b")})
	for _, want := range []string{"awssm://gone: there is no such secret", "ssm://gone: there is no such parameter", "ssm://lost: there is no such parameter"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	_, err = store.Read(t.Context(), []release.SecretRef{reference(t, "awssm://shop#list"), reference(t, "awssm://shop#empty"), reference(t, "awssm://shop#b"), reference(t, "awssm://text#a"), reference(t, "awssm://shop#a.b")})
	for _, want := range []string{`shop#list: its key "list" is neither`, "shop#empty: it is empty", `shop#b: it has no key "b"`, "text#a: a key is given", `it has no key "a.b"`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if release.ExitCode(err) != release.ExitInput || strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("got %v", err)
	}
}

func TestAWSRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		route localaws.Route
		text  string
		want  string
	}{
		{localaws.RouteGetSecretValue, "awssm://shop", "allow secretsmanager:GetSecretValue, and kms:Decrypt"},
		{localaws.RouteGetParameters, "ssm://shop", "allow ssm:GetParameters, and kms:Decrypt"},
	} {
		server := localawstest.Start(t)
		server.PutSecret("shop", "canary-1")
		server.PutParameter("shop", "canary-1")
		server.Inject(localaws.Fault{Route: test.route, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
		store, _ := newStore(t, server)
		_, err := store.Read(t.Context(), []release.SecretRef{reference(t, test.text)})
		if release.ExitCode(err) != release.ExitFault || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

// TestParametersHaveSelectors: a version of a parameter is read, and one that does not exist is named.
func TestParametersHaveSelectors(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.PutParameter("/shop/key", "canary-1")
	store, _ := newStore(t, server)
	got, err := store.Read(t.Context(), []release.SecretRef{reference(t, "ssm:///shop/key"), reference(t, "ssm:///shop/key:1")})
	if err != nil || !cmp.Equal(got, []string{"canary-1", "canary-1"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := store.Read(t.Context(), []release.SecretRef{reference(t, "ssm:///shop/key:2")}); !strings.Contains(fmt.Sprint(err), "ssm:///shop/key:2: there is no such parameter") {
		t.Errorf("got %v", err)
	}
}

// TestAnAnswerWithoutTheParameter is a fault: that the parameter is empty would be a guess.
func TestAnAnswerWithoutTheParameter(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Inject(localaws.Fault{Route: localaws.RouteGetParameters, Do: localaws.Answer(200, nil, "{}")})
	store, _ := newStore(t, server)
	if _, err := store.Read(t.Context(), []release.SecretRef{reference(t, "ssm://shop")}); release.ExitCode(err) != release.ExitFault {
		t.Errorf("got %v", err)
	}
}

// fakeSOPS is a sops that prints what the file has behind its first line, and refuses a file without that line.
const fakeSOPS = `#!/bin/sh
[ "$1 $2 $3" = "--decrypt --output-type json" ] || exit 2
[ "$VAULT_TOKEN" = none ] || { echo "it has the token $VAULT_TOKEN" >&2; exit 3; }
[ "$https_proxy $SSL_CERT_FILE" = "http://localhost:1 /etc/ca.pem" ] || { echo "it has no proxy or no certificates" >&2; exit 4; }
[ "$(head -n 1 "$4")" = "for $SOPS_AGE_KEY" ] || { echo "no key could decrypt the data" >&2; exit 128; }
tail -n +2 "$4"
`

func TestReadsFilesOfSOPS(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sops"), []byte(fakeSOPS), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	tree := t.TempDir()
	for name, content := range map[string]string{"s.yaml": "for key-1\n{\"db\": {\"password\": \"canary-1\"}}\n", "other.yaml": "for key-2\n{}\n", "long.yaml": "for key-1\n" + strings.Repeat("a", 2<<20)} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := func(path string, more ...string) *secretstore.Store {
		environ := append(server.Env(), "PATH="+path+":/usr/bin:/bin", "SOPS_AGE_KEY=key-1", "VAULT_TOKEN=canary-token", "https_proxy=http://localhost:1", "SSL_CERT_FILE=/etc/ca.pem")
		environ = append(environ, more...)
		return secretstore.New(secretstore.Options{Environ: environ, Getenv: func(string) string { return "" }, Add: func(string) {}, Tree: worktree.Tree{Root: tree, Dir: tree},
			Inside: func(path string) (string, error) {
				if strings.HasPrefix(path, "..") {
					return "", errors.New("is outside")
				}
				return filepath.Join(tree, path), nil
			}})
	}
	got, err := store(bin).Read(t.Context(), []release.SecretRef{reference(t, "sops://s.yaml#db.password")})
	if err != nil || !cmp.Equal(got, []string{"canary-1"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for name, test := range map[string]struct {
		path, text, want string
		exit             int
	}{
		"no key":           {bin, "sops://other.yaml#a", "no key could decrypt the data", release.ExitFault},
		"outside the tree": {bin, "sops://../x#a", "is outside", release.ExitInput},
		"too long":         {bin, "sops://long.yaml#a", "it is longer than 1048576 bytes", release.ExitInput},
		"no sops":          {t.TempDir(), "sops://s.yaml#a", `no "sops" on PATH; install sops`, release.ExitInput},
	} {
		_, err := store(test.path).Read(t.Context(), []release.SecretRef{reference(t, test.text)})
		if release.ExitCode(err) != test.exit || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v (exit %d), want %q", name, err, release.ExitCode(err), test.want)
		}
	}
	for name, command := range map[string]string{"SOPS_GPG_EXEC": filepath.Join(tree, "s.yaml"), "SOPS_AGE_KEY_CMD": "sh ./s.yaml"} {
		_, err := store(bin, name+"="+command).Read(t.Context(), []release.SecretRef{reference(t, "sops://s.yaml#db.password")})
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(fmt.Sprint(err), name) || !strings.Contains(fmt.Sprint(err), "is in the work tree") {
			t.Errorf("%s: got %v", command, err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "sops"), []byte(fakeSOPS), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if _, err := store(tree).Read(t.Context(), []release.SecretRef{reference(t, "sops://s.yaml#a")}); !strings.Contains(fmt.Sprint(err), "is in the work tree") {
		t.Errorf("a program of the work tree: got %v", err)
	}
}

func TestParseSecretValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"password":                    "is not path=value",
		"db.password=canary":          "is given no reference",
		"db.password=vault://a#b":     "is given no reference",
		"db.password=awssm://":        "names nothing",
		"db.password=sops://a.yaml":   "names no key",
		"db.password=sops://a.yaml#b": "",
	} {
		value, err := release.ParseSecretValue(text)
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) && want != "" || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		if err == nil && (value.Path != "db.password" || value.Reference.String() != "sops://a.yaml#b") {
			t.Errorf("%s: got %+v", text, value)
		}
	}
}
