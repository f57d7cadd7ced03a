package survey

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func tree(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return tree
}

// TestBuilds: a Go main package in a directory with a Dockerfile is that directory's, any other one its module's; what is only for tests or examples is none.
func TestBuilds(t *testing.T) {
	t.Parallel()
	found, err := Look(tree(map[string]string{
		"go.mod": "module m\n\nreplace x => ../x\n", "main.go": "package main\n", "lib/lib.go": "package lib\n", "cmd/tool/main.go": "package main\n", "cmd/gen/gen.go": "//go:build ignore\n\npackage main\n",
		"cmd/other/main_windows.go": "package main\n", "web/main.go": "package main\n", "web/Dockerfile": "FROM scratch\n", "examples/a/Dockerfile": "", "cmd/tool/testdata/main.go": "package main\n",
		"api/go.mod": "module api\n", "api/main.go": "package main\n", "work/go.work": "use ./a\n", "work/a/go.mod": "module a\n", "work/a/main.go": "package main\n", "build/Dockerfile": "FROM scratch\nCOPY --chown=1:1 web/ /web\n", ".hidden/Dockerfile": "", "script/main.go/x": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []Build{
		{Dir: ".", Mains: []string{".", "cmd/tool"}},
		{Dir: "api", Mains: []string{"."}, OwnModule: true},
		{Dir: "build", Dockerfiles: []string{"Dockerfile"}, FromRoot: true},
		{Dir: "web", Mains: []string{"."}, Dockerfiles: []string{"Dockerfile"}},
		{Dir: "work/a", Mains: []string{"."}},
	}
	if diff := cmp.Diff(want, found.Builds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestExposed: ports and paths are those of the stage that becomes the image, with variables replaced.
func TestExposed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file         string
		ports, paths []string
	}{
		"variables":       {"FROM a\nARG PORT=80\nENV X ${PORT}80\nexpose $X/TCP \\\n 53/udp 9090\n", []string{"8080", "9090"}, nil},
		"stages":          {"FROM a AS build\nEXPOSE 1\nFROM b\nEXPOSE 2\n", []string{"2"}, nil},
		"a health check":  {"FROM a\nHEALTHCHECK --interval=5s CMD wget -q http://localhost:8080/up?x=1 || exit 1\n", nil, []string{"/up?x=1"}},
		"a here-document": {"FROM a\nRUN <<EOF\nEXPOSE 1\nEOF\n# EXPOSE 2\nEXPOSE 3 $UNKNOWN 4-5\n", []string{"3"}, nil},
		"doubling":        {"FROM a\nENV A=aa\n" + strings.Repeat("ENV A=$A$A\n", 100) + "EXPOSE 1\n", []string{"1"}, nil},
		"nothing":         {"", nil, nil},
	} {
		ports, paths := exposed(test.file)
		if diff := cmp.Diff([][]string{test.ports, test.paths}, [][]string{ports, paths}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRepositoryOfGit: the remote's default branch, and GitHub's repositories only.
func TestRepositoryOfGit(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"[remote \"origin\"]\n\turl = https://github.com/octo/shop.git\n":                               "octo/shop",
		"[remote \"origin\"]\n\tfetch = x\n\turl = ssh://git@github.com/octo/shop\n[branch \"main\"]\n": "octo/shop",
		"[remote \"fork\"]\n\turl = git@github.com:me/shop.git\n":                                       "",
		"[remote \"origin\"]\n\turl = https://example.com/github.com/octo/shop\n":                       "",
		"[remote \"origin\"]\n\turl = https://notgithub.com/octo/shop\n":                                "",
	} {
		branch, gitHub := repository(tree(map[string]string{".git/config": config, ".git/HEAD": "ref: refs/heads/feature\n", ".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/develop\n"}))
		if branch != "develop" || gitHub != want {
			t.Errorf("%s: got %q, %q; want %q", config, branch, gitHub, want)
		}
	}
	if branch, _ := repository(tree(map[string]string{".git/HEAD": "ref: refs/heads/feature\n"})); branch != "" {
		t.Errorf("got the branch %q", branch)
	}
}

// FuzzExposed: no Dockerfile breaks the reader, and what it finds is safe in YAML.
func FuzzExposed(f *testing.F) {
	f.Add("FROM a\nARG PORT=80\nENV X=${PORT}\nEXPOSE $X/tcp\nHEALTHCHECK CMD curl http://localhost:8080/up || exit 1\n")
	f.Add("RUN <<A\nEXPOSE 1\n")
	f.Add("ENV A $A\nENV B=$A$B\n\\\n")
	f.Fuzz(func(t *testing.T, content string) {
		ports, paths := exposed(content)
		for _, port := range ports {
			if strings.Trim(port, "0123456789") != "" {
				t.Errorf("the port %q", port)
			}
		}
		for _, path := range paths {
			if strings.ContainsAny(path, " #{}[],:\"'\n") {
				t.Errorf("the path %q", path)
			}
		}
	})
}

// TestTheFieldsOfAnEnvironment: CalledEnvironment has every field that pipeline.yaml says an environment has, so that init keeps it.
func TestTheFieldsOfAnEnvironment(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../.github/workflows/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	description := regexp.MustCompile(`JSON list of the environments .*`).FindString(string(content))
	whole, err := json.Marshal(CalledEnvironment{Name: "x", Cluster: "x", Region: "x", Role: "x", Values: "x", Checks: "x", Namespace: "x", SignKey: "x", Plan: true, VerifyKey: "x", PlanRole: "x", CodeBuild: "x",
		Via: "x", Application: "x", ConfigRepository: "x", ConfigBranch: "x", ConfigFile: "x", ConfigKey: "x", ConfigPullRequest: true})
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(description, "")
	fields := regexp.MustCompile(`each with (.*) and, where [^,]*, (.*) and (.*?); all but name`).FindStringSubmatch(plain)
	if fields == nil {
		t.Fatalf("got %q", plain)
	}
	for field := range strings.SplitSeq(strings.Join(fields[1:], ","), ",") {
		if field = strings.TrimSpace(field); !strings.Contains(string(whole), `"`+field+`":`) {
			t.Errorf("no field %q", field)
		}
	}
}
