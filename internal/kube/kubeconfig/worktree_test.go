package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestTheWorkTreeIsRefused checks every way in which a kubeconfig can run or read what is in the work tree.
func TestTheWorkTreeIsRefused(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree, outside := filepath.Join(root, "tree"), filepath.Join(root, "outside")
	for _, dir := range []string{tree + "/bin", outside + "/bin"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"plugin", "in-" + filepath.Base(filepath.Dir(dir))} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("#!/bin/sh\n"), 0o755); err != nil { //nolint:gosec // a command
				t.Fatal(err)
			}
		}
	}
	for link, target := range map[string]string{outside + "/link": tree + "/bin/plugin", tree + "/link": outside + "/bin/plugin"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", tree+"/bin:"+outside+"/bin")
	const execUser = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, "
	for name, test := range map[string]struct {
		dir           string // of the kubeconfig, by default outside
		cluster, user string // of the kubeconfig
		want          string // "" for accepted
	}{
		"nothing":                            {},
		"a token":                            {user: "token: t"},
		"the kubeconfig":                     {dir: tree, want: `the kubeconfig is "` + tree + `/config"`},
		"the kubeconfig, in a directory":     {dir: tree + "/bin", want: "the kubeconfig is"},
		"a certificate authority":            {cluster: `, certificate-authority: "../tree/bin/plugin"`, want: `the certificate-authority of context "c" is "` + tree + "/bin/plugin"},
		"a token file":                       {user: "tokenFile: " + tree + "/bin/plugin", want: `the tokenFile of context "c"`},
		"a token file by a link":             {user: "tokenFile: " + outside + "/link", want: "the tokenFile of"},
		"a token file by a link of the tree": {user: "tokenFile: " + tree + "/link", want: "the tokenFile of"},
		"a token file outside":               {user: "tokenFile: " + outside + "/bin/plugin"},
		"a client key":                       {user: "client-key: ../tree/bin/plugin", want: "the client-key of"},
		"a client certificate":               {user: "client-certificate: ../tree/bin/plugin", want: "the client-certificate of"},
		"a provider's command":               {user: "auth-provider: {name: x, config: {cmd-path: bin/plugin}}", want: "cmd-path of the auth-provider"},
		"a command":                          {user: execUser + "command: " + tree + "/bin/plugin}", want: `the command for credentials of context "c" is "` + tree + "/bin/plugin"},
		"a command, relative":                {user: execUser + "command: ../tree/bin/plugin}", want: "the command for credentials"},
		"a command that is not there yet":    {user: execUser + "command: ../tree/later}", want: "the command for credentials"},
		"a command by a link":                {user: execUser + "command: ./link}", want: "the command for credentials"},
		"a command of PATH":                  {user: execUser + "command: in-tree}", want: "the command for credentials"},
		"a command of PATH, outside":         {user: execUser + "command: in-outside}"},
		"an argument that names a role":      {user: execUser + "command: in-outside, args: [--role-arn, 'arn:aws:iam::1:bin/plugin']}"},
		"an argument":                        {user: execUser + "command: in-outside, args: [-c, './bin/plugin x']}", want: `an argument of the command for credentials of context "c" is "./bin/plugin"`},
		"an argument with a name":            {user: execUser + "command: in-outside, args: ['--config=" + tree + "/bin/plugin']}", want: "an argument of"},
		"an argument like a directory":       {user: execUser + "command: in-outside, args: [--cluster, bin, a/b]}"},
		"a variable":                         {user: execUser + "command: in-outside, env: [{name: AWS_CONFIG_FILE, value: bin/plugin}]}", want: "AWS_CONFIG_FILE, a variable of the command"},
		"another variable":                   {user: execUser + "command: in-outside, env: [{name: AWS_PROFILE, value: bin}]}"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := test.dir
			if dir == "" {
				dir = outside
			}
			file := filepath.Join(dir, "config")
			defer os.Remove(file)
			content := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'https://one.example.com'" + test.cluster + "}}]\n" +
				"users: [{name: u, user: {" + test.user + "}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(Access{Kubeconfig: file, WorkTree: WorkTree{Root: tree, Dir: tree}})
			var input *release.InputError
			if test.want == "" {
				if errors.As(err, &input) && strings.Contains(err.Error(), "work tree") || err != nil && input == nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "--allow-work-tree-kubeconfig") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := Load(Access{Kubeconfig: file}); err != nil && strings.Contains(err.Error(), "work tree") {
				t.Errorf("allowed, got %v", err)
			}
		})
	}
}
