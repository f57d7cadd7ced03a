package kms_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/kms"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/worktree"
)

// environ looks up a variable in KEY=value lines.
func environ(lines []string) func(string) string {
	return func(name string) string {
		for _, line := range lines {
			if value, found := strings.CutPrefix(line, name+"="); found {
				return value
			}
		}
		return ""
	}
}

func connect(t *testing.T, environment []string) *kms.Client {
	t.Helper()
	client, err := kms.New(t.Context(), kms.Options{Environ: environ(environment)})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// account is an account with one key, alias/staging.
func account(t *testing.T) (server *localawstest.Server, arn string) {
	t.Helper()
	server = localawstest.Start(t)
	arn, err := server.CreateKey("alias/staging")
	if err != nil {
		t.Fatal(err)
	}
	return server, arn
}

func TestSign(t *testing.T) {
	t.Parallel()
	server, arn := account(t)
	client := connect(t, server.Env())
	for _, name := range []string{"alias/staging", arn, arn[strings.LastIndex(arn, "/")+1:]} {
		key, err := client.Key(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		made, err := key.Sign(t.Context(), []byte("message"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sum := sha256.Sum256([]byte("message"))
		if !ecdsa.VerifyASN1(key.Public, sum[:], made) {
			t.Errorf("%s: the signature is not the key's", name)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	server, arn := account(t)
	client := connect(t, server.Env())
	if _, err := client.Key(t.Context(), "alias/none"); err == nil || !strings.Contains(err.Error(), "NotFoundException") {
		t.Errorf("got %v", err)
	}
	if _, err := connect(t, []string{"AWS_EC2_METADATA_DISABLED=true"}).Key(t.Context(), "alias/staging"); err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("got %v", err)
	}
	key, err := client.Key(t.Context(), arn)
	if err != nil {
		t.Fatal(err)
	}
	server.Inject(localaws.Fault{Route: localaws.RouteSign, Times: 1, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
	if _, err := key.Sign(t.Context(), []byte("message")); err == nil || !strings.Contains(err.Error(), "allow the role kms:Sign") {
		t.Errorf("got %v", err)
	}
	server.Inject(localaws.Fault{Route: localaws.RouteSign, Do: localaws.APIError(400, "DisabledException", arn+" is disabled.")})
	if _, err := key.Sign(t.Context(), []byte("message")); err == nil || !strings.Contains(err.Error(), "enable the key") {
		t.Errorf("got %v", err)
	}
}

// TestSignWithAnAliasThatIsMoved: a signature by another key than the one whose public part was read is an error that names both.
func TestSignWithAnAliasThatIsMoved(t *testing.T) {
	t.Parallel()
	server, arn := account(t)
	other, err := server.CreateKey("alias/other")
	if err != nil {
		t.Fatal(err)
	}
	key, err := connect(t, server.Env()).Key(t.Context(), "alias/staging")
	if err != nil || key.ARN != arn {
		t.Fatalf("got %+v, %v", key, err)
	}
	if err := server.MoveAlias("alias/staging", "alias/other"); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign(t.Context(), []byte("message")); err == nil || !strings.Contains(err.Error(), arn) || !strings.Contains(err.Error(), other) {
		t.Errorf("got %v", err)
	}
}

// TestAProfileNamesNoProgramOfTheWorkTree: it would run with the job's credentials.
func TestAProfileNamesNoProgramOfTheWorkTree(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(root, "tree")
	profile := filepath.Join(root, "config")
	if err := errors.Join(os.Mkdir(tree, 0o700), os.WriteFile(filepath.Join(tree, "keys"), nil, 0o600),
		os.WriteFile(profile, []byte("[default]\nregion = eu-central-1\ncredential_process = "+tree+"/keys\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = kms.New(t.Context(), kms.Options{Environ: environ([]string{"AWS_CONFIG_FILE=" + profile, "AWS_SHARED_CREDENTIALS_FILE=" + profile + "-none"}),
		WorkTree: worktree.Tree{Root: tree, Dir: tree}})
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "credential_process") {
		t.Errorf("got %v, want bad input", err)
	}
}
