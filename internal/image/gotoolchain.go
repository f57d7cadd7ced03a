package image

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// droppedVariables are the user's settings that change what the compiler builds (go help environment).
var droppedVariables = []string{"GOFLAGS", "GOEXPERIMENT", "GOOS", "GOARCH", "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64",
	"GORISCV64", "GOWASM", "GOFIPS140", "GODEBUG", "GO111MODULE", "GOWORK", "GOENV", "CGO_ENABLED", "GO_EXTLINK_ENABLED", "GOROOT_FINAL", "GOBIN"}

// keptVariables are the user's settings that say where modules come from and where they are stored. The image does not
// depend on them, because go.sum holds the modules' hashes.
var keptVariables = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS", "GOPATH", "GOMODCACHE",
	"GOCACHE", "GOTMPDIR", "GOTOOLCHAIN"}

// toolchain finds the go command and removes the user's settings, also those of `go env -w`, except for keptVariables.
func (b GoBuilder) toolchain(ctx context.Context, recipe release.Recipe) (golang, error) {
	program, err := findProgram("go", b.options)
	if err != nil {
		return golang{}, release.NewFault("builder", "install Go (https://go.dev/dl), or give --builder docker", err, "looking for %q", "go")
	}
	unchanged := program.withEnviron(slices.DeleteFunc(slices.Clone(droppedVariables), func(name string) bool { return name == "GOENV" }))
	out, stderr, err := unchanged.run(ctx, recipe.Context, append([]string{"env", "-json"}, keptVariables...)...)
	settings := map[string]string{}
	if err == nil {
		err = json.Unmarshal([]byte(out), &settings)
	}
	if err != nil {
		return golang{}, builderFault(ctx, err, stderr, "reading the settings of %q", "go env")
	}
	workspace := "off" // a go.work above the context is not part of the recipe
	if _, err := os.Stat(filepath.Join(recipe.Context, "go.work")); err == nil {
		workspace = filepath.Join(recipe.Context, "go.work")
	}
	fixed := []string{"GOENV=off", "GOWORK=" + workspace, "CGO_ENABLED=0", "PWD=" + recipe.Context}
	for name, value := range settings {
		fixed = append(fixed, name+"="+value)
	}
	program = program.withEnviron(append(slices.Clone(droppedVariables), "PWD"), fixed...)
	program.log = onlyProgress(program.log)
	return golang{program}, nil
}

// onlyProgress returns a function that passes on the lines in which the go command reports progress ("go: downloading …"), and drops
// the others: the compiler's output is in the error.
func onlyProgress(log func(string)) func(string) {
	return func(line string) {
		if strings.HasPrefix(line, "go: ") || strings.HasPrefix(line, "compiling ") {
			log(line)
		}
	}
}
