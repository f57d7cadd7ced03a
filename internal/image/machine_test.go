package image_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

// fakeToolchain is a directory for PATH with a toolchain of another name that compiles as the real one does, and records its
// calls. The go command finds it there (https://go.dev/doc/toolchain, "Toolchain switching").
func fakeToolchain(t *testing.T, name string) (dir, calls string) {
	t.Helper()
	program, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	calls = filepath.Join(t.TempDir(), "calls")
	dir = tree(t, map[string]string{name: "#!/bin/sh\nunset GOTOOLCHAIN_INTERNAL_SWITCH_VERSION\nexport GOTOOLCHAIN=local\n" +
		"echo \"$*\" >>'" + calls + "'\nif [ \"$1\" = env ]; then '" + program + "' \"$@\" | sed 's/" + runtime.Version() + "/" + name + "/'; else exec '" + program + "' \"$@\"; fi\n"})
	if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, calls
}

// The toolchain line decides, also if the machine's Go is newer and GOTOOLCHAIN forbids another.
func TestGoBuildUsesTheToolchainOfTheModule(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"go1.21.13", "go1.99.1"} {
		dir, calls := fakeToolchain(t, name)
		recipe := recipeOf(tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.21\n\ntoolchain " + name + "\n", "main.go": "package main\n\nfunc main() {}\n"}))
		var log []string
		builders := image.New(image.Options{Environ: append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "GOTOOLCHAIN=local"), Log: func(line string) { log = append(log, line) }})
		built, err := builders.Build(t.Context(), image.Go, recipe, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		called, err := os.ReadFile(calls)
		if err != nil || !strings.Contains(string(called), "\nbuild ") {
			t.Errorf("the toolchain %s was called with %q (%v), want it to compile", name, called, err)
		}
		config, err := imageOf(t, built).ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Config.Labels[release.AnnotationToolchain]; got != name {
			t.Errorf("the image says toolchain %q, want %q", got, name)
		}
		if want := fmt.Sprintf("with %s, pinned by go.mod's toolchain line", name); !strings.Contains(strings.Join(log, "\n"), want) {
			t.Errorf("the log is %q, want %q", log, want)
		}
	}
}

func TestGoBuildRefusesAToolchainThatCannotBeHad(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.21\n\ntoolchain go1.99.2\n", "main.go": "package main\n\nfunc main() {}\n"}))
	_, err := image.New(image.Options{Environ: append(os.Environ(), "GOPROXY=off")}).Inputs(t.Context(), image.Go, recipe)
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "go1.99.2 (pinned by go.mod's toolchain line), this machine has "+runtime.Version()) ||
		!strings.Contains(err.Error(), "go mod edit -toolchain="+runtime.Version()) {
		t.Errorf("got %v, want bad input that names both toolchains and what to do", err)
	}
}

// A toolchain that a vendor changed compiles another program, whatever it calls itself.
func TestGoBuildRefusesAVendorsToolchainUnlessItIsPinned(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line, version string
		refused       bool
	}{
		"a suffix":                      {"go1.99.3", "go1.99.3-corp", true},
		"experiments that are built in": {"go1.99.3", "go1.99.3 X:fieldtrack", true},
		"a note":                        {"go1.99.3", "go1.99.3 (corp 1.99.3-2)", true},
		"a suffix that is pinned":       {"go1.99.3-corp", "go1.99.3-corp", false},
		"none":                          {"go1.99.3", "go1.99.3", false},
	} {
		dir, _ := fakeToolchain(t, test.line)
		script := "#!/bin/sh\ncase \"$*\" in *GOVERSION*) '" + filepath.Join(dir, test.line+".real") + "' \"$@\" | sed 's/" + test.line + "\"/" + test.version + "\"/' ;; *) exec '" + filepath.Join(dir, test.line+".real") + "' \"$@\" ;; esac\n"
		if err := os.Rename(filepath.Join(dir, test.line), filepath.Join(dir, test.line+".real")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, test.line), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		recipe := recipeOf(tree(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.21\n\ntoolchain " + test.line + "\n", "main.go": "package main\n\nfunc main() {}\n"}))
		_, err := image.New(image.Options{Environ: append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))}).Inputs(t.Context(), image.Go, recipe)
		if (release.ExitCode(err) == release.ExitInput) != test.refused || (err != nil) != test.refused {
			t.Errorf("%s: got %v, refused %v", name, err, test.refused)
		}
		if test.refused && !strings.Contains(err.Error(), test.version) {
			t.Errorf("%s: got %v, want %q named", name, err, test.version)
		}
	}
}

func TestGoSettingsOfTheMachineAreNotDroppedInSilence(t *testing.T) {
	t.Parallel()
	dir := tree(t, shop)
	file := filepath.Join(tree(t, map[string]string{"env": "GOFLAGS=-tags=fast\n"}), "env")
	for name, test := range map[string]struct {
		environ string
		tags    []string
		want    []string // nil: accepted
	}{
		"tags":                {"GOFLAGS=-tags=fast", nil, []string{"GOFLAGS: ", "-tags=fast", "give --tags fast"}},
		"tags of go env -w":   {"GOENV=" + file, nil, []string{"GOFLAGS: ", "-tags=fast"}},
		"the recipe's tags":   {"GOFLAGS=-tags=fast", []string{"fast"}, nil},
		"other tags":          {"GOFLAGS=--tags=slow", []string{"fast"}, []string{"give --tags slow"}},
		"several":             {"GOFLAGS='-ldflags=-s -w' -race -mod=vendor", nil, []string{"-ldflags=-s", "-race"}},
		"harmless":            {"GOFLAGS=-buildvcs=false -trimpath -mod=readonly -p=2 -modcacherw", nil, nil},
		"an experiment":       {"GOEXPERIMENT=rangefunc", nil, []string{"GOEXPERIMENT: "}},
		"a FIPS module":       {"GOFIPS140=latest", nil, []string{"GOFIPS140: "}},
		"none of the program": {"GODEBUG=http2client=0", nil, nil},
	} {
		recipe := recipeOf(dir)
		recipe.Tags = test.tags
		_, err := image.New(image.Options{Environ: append(os.Environ(), "GOFLAGS=", test.environ)}).Inputs(t.Context(), image.Go, recipe)
		if strings.HasPrefix(test.environ, "GOENV") {
			_, err = image.New(image.Options{Environ: append(unset(os.Environ(), "GOFLAGS"), test.environ)}).Inputs(t.Context(), image.Go, recipe)
		}
		if test.want == nil && err != nil || test.want != nil && release.ExitCode(err) != release.ExitInput {
			t.Errorf("%s: got %v, want bad input with %q", name, err, test.want)
		}
		for _, want := range test.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

func unset(environ []string, name string) (rest []string) {
	for _, pair := range environ {
		if !strings.HasPrefix(pair, name+"=") {
			rest = append(rest, pair)
		}
	}
	return rest
}

func TestGoInputsRefuseCgo(t *testing.T) {
	t.Parallel()
	recipe := recipeOf(tree(t, map[string]string{
		"go.mod":          "module example.com/shop\n\ngo 1.24\n",
		"main.go":         "package main\n\nimport (\n\t_ \"net\"\n\n\t\"example.com/shop/db\"\n)\n\nfunc main() { println(db.Open()) }\n",
		"db/db.go":        "package db\n\n// int one() { return 1; }\nimport \"C\"\n\nfunc Open() int { return int(C.one()) }\n",
		"db/stub.go":      "//go:build !cgo\n\npackage db\n\nfunc Open() int { panic(\"needs cgo\") }\n",
		"db/other.go":     "//go:build windows\n\npackage db\n\nimport \"C\"\n",
		"db/extra_arm.go": "package db\n\nimport \"C\"\n",
	}))
	builders := image.New(image.Options{Environ: os.Environ()})
	_, err := builders.Inputs(t.Context(), image.Go, recipe)
	var input *release.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "example.com/shop/db: uses cgo (db.go)") || !strings.Contains(err.Error(), "--without-cgo") {
		t.Errorf("got %v, want bad input that names the package and its file", err)
	}
	recipe.WithoutCgo = true
	if _, err := builders.Inputs(t.Context(), image.Go, recipe); err != nil {
		t.Errorf("with --without-cgo: %v", err)
	}
}

// The compiler's environment is the builder's own: no secret of the job, no setting of the machine.
func TestGoBuildHasAnEnvironmentOfItsOwn(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "environ")
	dir := tree(t, map[string]string{"go": "#!/bin/sh\n[ \"$1\" = build ] && env >'" + record + "'\nexec '" + program + "' \"$@\"\n"})
	if err := os.Chmod(filepath.Join(dir, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	build(t, recipeOf(tree(t, shop)), "PATH="+dir+":"+os.Getenv("PATH"), "AWS_SECRET_ACCESS_KEY=secret", "INPUT_LABELS=x", "GOROOT=/nowhere", "CC=/nowhere", "CGO_CFLAGS=-x", "GOCACHEPROG=/nowhere")
	environ, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "INPUT_LABELS", "GOROOT", "CC", "CGO_CFLAGS", "GOCACHEPROG", "GOFLAGS"} {
		if strings.Contains("\n"+string(environ), "\n"+name+"=") {
			t.Errorf("the compiler got %s", name)
		}
	}
	if !strings.Contains(string(environ), "\nGOTOOLCHAIN=go1.26.8\n") || !strings.Contains(string(environ), "\nGOENV=off\n") {
		t.Errorf("the compiler's environment is %s, want a pinned toolchain and no file of settings", environ)
	}
}

func TestInputsWarn(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"go.mod": shop["go.mod"], "main.go": shop["main.go"], "Dockerfile": "FROM scratch\n", ".git/config": ""})
	recipe := recipeOf(dir)
	for name, test := range map[string]struct {
		builder string
		environ []string
		want    string // "": no warning
	}{
		"nothing":              {image.Go, nil, ""},
		"the same platform":    {image.Go, []string{"GOARCH=amd64", "GOAMD64=v1"}, ""},
		"another architecture": {image.Go, []string{"GOARCH=arm64"}, "GOARCH=arm64 of the environment is not used for linux/amd64"},
		"a variant":            {image.Go, []string{"GOAMD64=v3"}, "--platforms takes a variant (linux/amd64/…)"},
		"git's directory":      {image.Docker, nil, "Docker gets [\".git\"], which may hold credentials"},
	} {
		var warnings []string
		builders := image.New(image.Options{Environ: append(os.Environ(), test.environ...), Warn: func(line string) { warnings = append(warnings, line) }})
		if _, err := builders.Inputs(t.Context(), test.builder, recipe); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(warnings, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got warnings %q, want %q", name, got, test.want)
		}
	}
}

// A go.work above the context that is not used: its user is told why.
func TestGoInputsWarnOfAWorkspaceAbove(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"go.work": "go 1.24\n\nuse ./services/app\n", "services/app/go.mod": shop["go.mod"], "services/app/main.go": shop["main.go"],
		"tools/go.mod": "module example.com/tools\n\ngo 1.24\n", "tools/main.go": shop["main.go"]})
	for name, test := range map[string]struct{ context, path, committed, want string }{
		"of the commit":              {"services/app", "services/app", "go.work", ""},
		"not of the commit":          {"services/app", "services/app", "", "go.work\" is not in the commit"},
		"of another repository":      {"services/app", ".", "", ""},
		"that does not use a module": {"tools", "tools", "go.work", "go.work\" does not use the module of the main package"},
	} {
		recipe := recipeOf(filepath.Join(root, test.context))
		recipe.Source.Path, recipe.Source.GoWork = test.path, test.committed
		var warnings []string
		builders := image.New(image.Options{Environ: os.Environ(), Warn: func(line string) { warnings = append(warnings, line) }})
		if _, err := builders.Inputs(t.Context(), image.Go, recipe); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(warnings, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got warnings %q, want %q", name, got, test.want)
		}
	}
}
