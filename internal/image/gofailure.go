package image

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// networkError matches the messages of Go's network errors. A module that cannot be fetched does not mean that the source is
// broken.
var networkError = regexp.MustCompile(`dial tcp|no such host|connection re(?:fused|set)|i/o timeout|TLS handshake|network is unreachable|\b50[0-9] [A-Z]|unexpected EOF`)

// failure says why the go command failed in a context, dir. It returns a *release.Fault if the machine or the network does not work, a *release.InputError if a setting is wrong, and
// a *release.Failure if the source does not compile.
func (g goCommand) failure(ctx context.Context, dir string, err error, stderr, what string) error {
	said := beforeCompiler(stderr)
	switch {
	case ctx.Err() != nil || stderr == "":
		return builderFault(ctx, err, stderr, "%s", what)
	case strings.Contains(said, "unsupported GOOS/GOARCH pair"):
		return release.BadSetting(settingPlatforms, stderr, "`go tool dist list` names the platforms")
	case strings.Contains(said, "go.mod file not found"), strings.Contains(said, "directory not found"), strings.Contains(said, "no Go files in"):
		return release.BadSetting(settingMain, firstLine(stderr), "name the directory of a Go main package of a module, relative to the context")
	case isDownloadFailure(said):
		return &release.Fault{Side: "builder", Err: fmt.Errorf("%s: %w", what, errors.New(stderr)), Do: "check that the module proxy can be reached"}
	}
	do := ""
	if strings.Contains(said, "go.sum") || strings.Contains(said, "updates to go.mod needed") {
		do = "run go mod tidy and commit go.mod and go.sum"
	}
	if missing := missingModule.FindStringSubmatch(said); missing != nil && do == "" {
		do = "commit that directory, or fetch it if it is a submodule: git submodule update --init (in a workflow, actions/checkout with submodules: true)"
	}
	if g.workspace != "" && g.workspace != filepath.Join(dir, goWork) {
		do = strings.TrimPrefix(fmt.Sprintf("%s; it was built with %q, GOWORK=off in the environment builds without that", do, g.workspace), "; ")
	}
	return &release.Failure{What: what + " failed", Err: errors.New(firstLines(stderr, maxErrors)), Do: do}
}

// missingModule matches what the go command says of a replacement, or of a module of go.work, whose directory has no go.mod.
var missingModule = regexp.MustCompile(`(?:reading|open) \S+go\.mod: (?:open \S+: )?no such file or directory|replacement directory \S+ does not exist`)

// beforeCompiler returns the go command's own messages, without those of the compiler, the linker and the C compiler, which quote source. A line "# PACKAGE" begins those.
func beforeCompiler(stderr string) string {
	own, _, _ := strings.Cut("\n"+stderr, "\n# ")
	return strings.TrimPrefix(own, "\n")
}

// isDownloadFailure reports whether the go command says that the network did not let it fetch something, whose URL it names. Other messages may quote source.
func isDownloadFailure(said string) bool {
	return slices.ContainsFunc(strings.Split(said, "\n"), func(line string) bool {
		_, after, found := strings.Cut(line, "://")
		return found && networkError.MatchString(after)
	})
}

// builderFault returns a *release.Fault with the builder's output, or with the error if there is no output or the context ended.
func builderFault(ctx context.Context, err error, stderr, format string, subjects ...any) error {
	if ctx.Err() == nil && stderr != "" {
		err = errors.New(stderr)
	}
	return release.NewFault("builder", "", err, format, subjects...)
}

// maxErrors is how many lines of the compiler are shown; the compiler itself stops after ten errors in a package.
const maxErrors = 30

// firstLines returns the first lines of a text, and how many lines follow.
func firstLines(text string, most int) string {
	lines := strings.Split(text, "\n")
	if left := len(lines) - most; left > 0 {
		lines = append(lines[:most], fmt.Sprintf("… and %d more lines", left))
	}
	return strings.Join(lines, "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
