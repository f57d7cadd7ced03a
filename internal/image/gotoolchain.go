package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"os"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/mod/modfile"
)

// defaultToolchain compiles modules that name no toolchain, so that the image does not depend on the machine's Go. It is the
// newest that this version of the builder was tested with.
const defaultToolchain = "go1.26.8"

// toolchain is the Go toolchain of a recipe, and the file or rule that names it.
type toolchain struct{ name, by string }

// pinnedToolchain returns the toolchain line of go.work, if one is used, or of go.mod, even if the machine has a newer one. Without that line it
// returns defaultToolchain, or the version of the go line if that is newer (https://go.dev/doc/toolchain, "Configuration").
func pinnedToolchain(context, work string) toolchain {
	named, least, file := toolchainLines(context, work)
	switch {
	case named != "" && version.Compare(named, least) >= 0:
		return toolchain{named, file + "'s toolchain line"}
	case version.Compare(least, defaultToolchain) > 0:
		if strings.Count(least, ".") == 1 && version.Lang(least) == least {
			least += ".0" // a language version; its first release
		}
		return toolchain{least, file + "'s go line"}
	}
	return toolchain{defaultToolchain, "onedigest, as " + file + " has no toolchain line"}
}

// toolchainLines reads the toolchain line of go.work or go.mod, "" if there is none, and the minimum version in its go line. It
// skips a file that cannot be read or parsed: the go command reports that.
func toolchainLines(context, work string) (named, least, file string) {
	var needs *modfile.Go
	if content, err := os.ReadFile(work); err == nil { // #nosec G304 -- as the go command reads it
		if parsed, err := modfile.ParseWork(goWork, content, nil); err == nil {
			file, needs, named = goWork, parsed.Go, toolchainLine(parsed.Syntax)
		}
	} else if content, err := os.ReadFile(moduleFile(context)); err == nil { // #nosec G304 -- as the go command reads it
		if module, err := modfile.ParseLax("go.mod", content, nil); err == nil {
			file, needs, named = "go.mod", module.Go, toolchainLine(module.Syntax)
		}
	}
	if needs != nil {
		least = "go" + needs.Version
	}
	return named, least, file
}

// toolchainLine returns the toolchain in a file, "" for none or the default. It reads the syntax tree: ParseLax accepts
// directives of a newer Go but ignores the toolchain line.
func toolchainLine(syntax *modfile.FileSyntax) string {
	for _, statement := range syntax.Stmt {
		line, isLine := statement.(*modfile.Line)
		if isLine && len(line.Token) == 2 && line.Token[0] == "toolchain" && version.IsValid(line.Token[1]) {
			return line.Token[1]
		}
	}
	return ""
}

// keptVariables are the user's settings about where modules come from and are stored. The image does not depend on them, because
// go.sum contains the modules' hashes.
var keptVariables = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS", "GOPATH", "GOMODCACHE",
	"GOCACHE", "GOTMPDIR"}

// goCommand is the go command with the environment for one recipe. Its program is for compiling; fetching has also the variables that
// modules are fetched with.
type goCommand struct {
	program
	fetching  program
	pin       toolchain
	user      []string          // the user's environment
	workspace string            // the go.work that is used, "" for none
	machine   map[string]string // the user's settings, also those of `go env -w`
}

// toolchain finds the go command, pins its toolchain, and prepares its environment.
func (b GoBuilder) toolchain(ctx context.Context, recipe release.Recipe) (goCommand, error) {
	found, err := findProgram("go", b.options)
	if err != nil {
		return goCommand{}, release.NewFault("builder", "install Go (https://go.dev/dl), or give --builder docker", err, "looking for %q", "go")
	}
	workspace := workspaceOf(recipe, b.options.Environ)
	if workspace != "" && !isFile(workspace) {
		return goCommand{}, release.BadSetting("context", fmt.Sprintf("the commit has %q, and the work tree does not", workspace), "restore it (git restore), or add it to the sparse checkout; GOWORK=off in the environment builds without it")
	}
	pin := pinnedToolchain(recipe.Context, workspace)
	machine, err := goSettings(ctx, found, recipe.Context, pin)
	if err != nil {
		return goCommand{}, err
	}
	fixed := []string{"GOENV=off", "GOTOOLCHAIN=" + pin.name, "GOWORK=" + cmp.Or(workspace, "off"), "CGO_ENABLED=0", "PWD=" + recipe.Context}
	for _, name := range keptVariables {
		fixed = append(fixed, name+"="+machine[name])
	}
	compiling, fetching := found, found
	compiling.environ = append(ownEnviron(b.options.Environ), fixed...)
	fetching.environ = append(withoutGoSettings(b.options.Environ), fixed...)
	compiling.log, fetching.log = onlyProgress(found.log), onlyProgress(found.log)
	return goCommand{program: compiling, fetching: fetching, pin: pin, user: b.options.Environ, workspace: workspace, machine: machine}, nil
}

// goSettings returns the user's settings, including those of `go env -w`. It first checks that the go command switches to the
// pinned toolchain.
func goSettings(ctx context.Context, found program, context string, pin toolchain) (map[string]string, error) {
	// A malformed value of some of them would keep the go command from starting.
	dropped := append([]string{"GOWORK", "GO111MODULE", "GODEBUG", "GOROOT", "GOTOOLCHAIN", "PWD"}, imageVariables...)
	asking := found.withEnviron(dropped, "GOWORK=off", "GOTOOLCHAIN="+pin.name, "PWD="+context)
	asking.log = onlyProgress(found.log)
	names := slices.Concat(keptVariables, imageVariables, []string{"GOVERSION", "GOFLAGS"})
	out, stderr, err := asking.run(ctx, context, append([]string{"env", "-json"}, names...)...)
	settings := map[string]string{}
	if err == nil {
		err = json.Unmarshal([]byte(out), &settings)
	}
	got := settings["GOVERSION"]
	if settings["GOEXPERIMENT"] != "" { // of go env -w; refuseSettings says so
		got, _, _ = strings.Cut(got, " X:")
	}
	if ctx.Err() == nil && err == nil && (strings.HasPrefix(got, pin.name+" ") || strings.HasPrefix(got, pin.name+"-")) {
		return nil, release.BadInput("toolchain", fmt.Sprintf("the image is built with %s (pinned by %s), and this machine's is modified: it reports %q", pin.name, pin.by, got),
			"install the one of https://go.dev/dl, or pin a vendor's by its whole name (go mod edit -toolchain=go1.26.8-vendor)")
	}
	if ctx.Err() == nil && (err != nil || got != pin.name) {
		return nil, unavailable(ctx, found, context, pin, stderr)
	}
	if err != nil {
		return nil, builderFault(ctx, err, stderr, "reading the settings of %q", "go env")
	}
	for _, name := range imageVariables {
		if value := execx.Variable(found.environ, name); value != "" {
			settings[name] = value
		}
	}
	return settings, nil
}

// unavailable returns the error for a go command that does not switch to the pinned toolchain. It is a *release.Fault if the
// network failed.
func unavailable(ctx context.Context, found program, context string, pin toolchain, stderr string) error {
	quiet := found.withEnviron([]string{"GOTOOLCHAIN", "GOWORK"}, "GOTOOLCHAIN=local", "GOWORK=off")
	quiet.log = func(string) {}
	out, localError, err := quiet.run(ctx, context, "env", "GOVERSION")
	has, do := strings.TrimSpace(out), "install it (actions/setup-go with go-version-file), or let the go command fetch it (GOPROXY, GOSUMDB)"
	switch {
	case ctx.Err() != nil || err != nil:
		return builderFault(ctx, err, localError, "running %q", "go env")
	case version.IsValid(has):
		do += ", or pin this machine's: go mod edit -toolchain=" + has
	}
	what := fmt.Sprintf("the image is built with %s (pinned by %s), this machine has %s", pin.name, pin.by, has)
	if stderr == "" {
		return release.BadInput("toolchain", what, do)
	}
	if networkError.MatchString(stderr) {
		return &release.Fault{Side: "builder", Err: fmt.Errorf("%s, and the pinned one cannot be fetched: %w", what, errors.New(stderr)), Do: do}
	}
	return release.BadInput("toolchain", what+", and the pinned one is not available: "+stderr, do)
}

// onlyProgress returns a function that passes on the go command's progress lines ("go: downloading …") and drops all others: the
// compiler's output is in the error.
func onlyProgress(log func(string)) func(string) {
	return func(line string) {
		if strings.HasPrefix(line, "go: ") || strings.HasPrefix(line, "compiling ") {
			log(line)
		}
	}
}
