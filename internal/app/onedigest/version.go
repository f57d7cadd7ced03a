package onedigest

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// These are set by -ldflags "-X github.com/onedigest/onedigest/internal/app/onedigest.version=v1.2.3"; otherwise the Go
// toolchain's build information is used.
var version, commit string

// Version says from what the program was built.
type Version struct {
	Version  string `json:"version"`            // a release, a pseudo-version, or (devel)
	Commit   string `json:"commit,omitempty"`   // "" if unknown
	Modified bool   `json:"modified,omitempty"` // the work tree differed from the commit
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Go       string `json:"go"`                 // version of the toolchain
	Platform string `json:"platform"`           // os/architecture
	Module   string `json:"module"`             // the module that the program was built from
}

// currentVersion reads the program's build information.
func currentVersion() Version {
	v := Version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, found := debug.ReadBuildInfo(); found {
		v.Module = info.Main.Path
		if info.Main.Version != "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		v.Version = version
	}
	if commit != "" {
		v.Commit, v.Modified, v.Time = commit, false, ""
	}
	return v
}

var releasePattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// release returns the version if the program is a release of this module, else "".
func (v Version) release() string {
	if !releasePattern.MatchString(v.Version) || v.Modified {
		return ""
	}
	return v.Version
}

func versionCommand(out io.Writer) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "version", Short: "print the version, the commit, the Go version and what the program was built from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch v := currentVersion(); format {
			case "text":
				return v.print(out)
			case "json":
				encoder := json.NewEncoder(out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(v)
			}
			return fmt.Errorf("--output: %q is not one of text, json", format)
		},
	}
	command.Flags().StringVar(&format, "output", "text", "text or json")
	if err := command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
	return command
}

func (v Version) print(out io.Writer) error {
	source := v.Commit
	if source == "" {
		source = "unknown"
	}
	if v.Modified {
		source += ", with uncommitted changes"
	}
	if v.Time != "" {
		source += ", " + v.Time
	}
	_, err := fmt.Fprintf(out, "%s %s\ncommit  %s\ngo      %s %s\nfrom    %s\n", program, v.Version, source, v.Go, v.Platform, v.Module)
	return err
}
