package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// treeAndHome returns a work tree and a home directory, each with the given files.
func treeAndHome(t *testing.T, files ...string) (tree, home string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree, home = filepath.Join(root, "tree"), filepath.Join(root, "home")
	for _, file := range append(files, ".git/HEAD", "a/program") {
		for _, dir := range []string{tree, home} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tree, home
}

// TestTheWorkTreeDecidesAboutNoCredentials gives each variable a path in the work tree, as it is, relative and by a link, and one outside.
func TestTheWorkTreeDecidesAboutNoCredentials(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	if err := os.Symlink(filepath.Join(tree, "a"), filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}
	type given struct{ name, value string }
	tests := map[given]bool{
		{"GIT_ASKPASS", "echo"}: false, {"GOENV", "off"}: false, {"GIT_SSH", "ssh"}: false, {"GIT_CONFIG_GLOBAL", "/dev/null"}: false, {"DOCKER_CONFIG", ""}: false,
		{"GIT_SSH_COMMAND", "ssh -F ./a/program"}: true, {"SSL_CERT_DIR", "/etc/ssl/certs:" + tree + "/a"}: true, {"PORT", tree + "/a/program"}: false,
	}
	for _, name := range slices.Concat(pathVariables, commandVariables, goVariables) {
		tests[given{name, tree + "/a/program"}], tests[given{name, "./a/program"}], tests[given{name, home + "/link/program"}] = true, true, true
		tests[given{name, home + "/a/program"}] = false
	}
	for of, want := range tests {
		process := Process{Dir: tree, Environ: []string{"HOME=" + home, of.name + "=" + of.value}}
		got := checkEnvironment(process, true)
		if refused := len(got) == 1 && got[0].Where == of.name && strings.Contains(got[0].What, "is in the work tree"); refused != want || !want && len(got) > 0 {
			t.Errorf("%s=%s: got %v", of.name, of.value, got)
		}
	}
	process := Process{Dir: tree, Environ: []string{"HOME=" + home, "GIT_CONFIG_COUNT=2", "GIT_CONFIG_VALUE_0=x", "GIT_CONFIG_VALUE_1=!./a/program"}}
	if got := checkEnvironment(process, true); len(got) != 1 || got[0].Where != "GIT_CONFIG_VALUE_1" {
		t.Errorf("got %v", got)
	}
}

// TestOnlyBuildRunsGo: the go command's settings decide about nothing of the other verbs.
func TestOnlyBuildRunsGo(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	process := Process{Dir: tree, Environ: []string{"HOME=" + home, "GOFLAGS=-modfile=a/program", "GOROOT=" + tree + "/a", "GOENV=" + tree + "/a/program"}}
	if got := checkEnvironment(process, false); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := checkEnvironment(process, true); len(got) != 3 {
		t.Errorf("build: got %v", got)
	}
}

// TestGitTrustsTheWorkTree: safe.directory, as the job of a container sets it, names the work tree. Another key may not.
func TestGitTrustsTheWorkTree(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	process := Process{Dir: tree, Environ: []string{"HOME=" + home, "GITHUB_WORKSPACE=" + tree, "GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=" + tree,
		"GIT_CONFIG_KEY_1=Safe.Directory", "GIT_CONFIG_VALUE_1=" + tree, "GIT_CONFIG_KEY_2=core.sshCommand", "GIT_CONFIG_VALUE_2=" + tree + "/a/program"}}
	if got := checkEnvironment(process, true); len(got) != 1 || got[0].Where != "GIT_CONFIG_VALUE_2" {
		t.Errorf("got %v", got)
	}
}

// TestTheDiskAndTheHomeAreNoWorkTree: programs and files of the machine and of its user are used where a verb is started in / or at home.
func TestTheDiskAndTheHomeAreNoWorkTree(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	if err := os.RemoveAll(filepath.Join(tree, ".git")); err != nil {
		t.Fatal(err)
	}
	for name, process := range map[string]Process{
		"the root":             {Dir: "/", Environ: []string{"HOME=" + home}},
		"the home directory":   {Dir: tree, Environ: []string{"HOME=" + tree}},
		"above it":             {Dir: filepath.Dir(tree), Environ: []string{"HOME=" + tree}},
		"a repository at home": {Dir: home, Environ: []string{"HOME=" + home}},
	} {
		given := home + "/a"
		process.Environ = append(process.Environ, "PATH="+given, "DOCKER_CONFIG="+given, "GIT_SSH_COMMAND="+given+"/program")
		if path, dropped := trustedPath(process); path != given || len(dropped) > 0 {
			t.Errorf("%s: got PATH %q, dropped %q", name, path, dropped)
		}
		if got := checkEnvironment(process, true); len(got) > 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestAHomeInTheWorkTree: what a home directory in the work tree has for programs with credentials is refused. One that is itself a
// repository is the user's.
func TestAHomeInTheWorkTree(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t, ".aws/config", ".docker/config.json", ".gitconfig", "sub/.aws/credentials")
	for name, test := range map[string]struct {
		environ []string
		want    []string
	}{
		"outside":                   {[]string{"HOME=" + home}, nil},
		"a directory of it":         {[]string{"HOME=" + tree + "/sub"}, []string{tree + "/sub/.aws/credentials"}},
		"none":                      {nil, []string{".aws/config", ".docker", ".gitconfig"}},
		"it, of the runner":         {[]string{"HOME=" + tree, "GITHUB_WORKSPACE=" + tree}, []string{tree + "/.aws/config", tree + "/.docker", tree + "/.gitconfig"}},
		"it, a repository of files": {[]string{"HOME=" + tree}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, problem := range checkEnvironment(Process{Dir: tree, Environ: test.environ}, true) {
				got = append(got, fmt.Sprint(problem.Where, " ", problem.What))
			}
			var want []string
			for _, path := range test.want {
				want = append(want, fmt.Sprintf("HOME %q is in the work tree, so a commit could change it and misuse this job's credentials", path))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTrustedPath(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	process := Process{Dir: tree, Environ: []string{"PATH=" + strings.Join([]string{"/usr/bin", ".", "", tree + "/a", home + "/a", "a"}, ":")}}
	path, dropped := trustedPath(process)
	if path != "/usr/bin:"+home+"/a" || !slices.Equal(dropped, []string{tree + "/a"}) {
		t.Errorf("got %q, dropped %q", path, dropped)
	}
}
