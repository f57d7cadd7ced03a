// Package onedigest is the program with all verbs as subcommands.
package onedigest

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/admission"
	"github.com/onedigest/onedigest/internal/app/build"
	"github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/doctor"
	"github.com/onedigest/onedigest/internal/app/history"
	"github.com/onedigest/onedigest/internal/app/initialize"
	"github.com/onedigest/onedigest/internal/app/keyless"
	"github.com/onedigest/onedigest/internal/app/pipeline"
	"github.com/onedigest/onedigest/internal/app/preview"
	"github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/app/scan"
	"github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/app/status"
	"github.com/onedigest/onedigest/internal/app/uninstall"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/spf13/cobra"
)

// program is the program's name on the command line.
const program = "onedigest"

// Verbs returns the verbs, which are subcommands.
func Verbs() []app.Command {
	return []app.Command{build.Command(), deploy.Command(), smoke.Command(), promote.Command(), scan.Command(), pipeline.Command(), history.Command(), admission.Command(), initialize.Command(currentVersion().release()), doctor.Command(), status.Command(), uninstall.Command(), preview.Command()}
}

// Command returns the program.
func Command() app.Command { return app.Command{Run: run, Child: deploy.Command().Child} }

// run executes the subcommand in the arguments and returns its exit code.
func run(ctx context.Context, process app.Process) int {
	code := release.ExitDone
	root := &cobra.Command{
		Use: program, Short: "take one commit to production: what is built once is what runs",
		Long: "A commit is built once, and the digest that production runs is the digest that staging proved.\n\n" +
			"Exit codes: 0 done, 1 failed or refused, 2 bad input, 3 fault (network, registry, AWS, cluster).",
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	completing := len(process.Args) > 0 && strings.HasPrefix(process.Args[0], "__complete")
	process = process.ThroughSink()
	process.Program, process.Release, process.Keyless = program, currentVersion().release(), keyless.Sigstore{}
	for _, verb := range Verbs() {
		root.AddCommand(subcommand(verb, process, completing, &code))
	}
	root.AddCommand(versionCommand(process.Stdout))
	root.SetArgs(process.Args)
	root.SetOut(process.Stdout)
	root.SetErr(process.Stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(process.Stderr, "%s: bad input: %s; --help lists the commands\n", program, strings.Join(strings.Fields(err.Error()), " "))
		return release.ExitInput
	}
	return code
}

// subcommand makes a verb a cobra subcommand. The verb parses its flags itself, to report every problem at once; cobra needs the
// flags for completion.
func subcommand(verb app.Command, process app.Process, completing bool, code *int) *cobra.Command {
	command := &cobra.Command{
		Use: verb.Verb.Name, Short: verb.Verb.Summary, DisableFlagParsing: !completing,
		Run: func(c *cobra.Command, args []string) {
			process.Args = args
			*code = verb.Run(c.Context(), process)
		},
	}
	command.SetHelpFunc(func(c *cobra.Command, _ []string) {
		process.Args = []string{"--help"}
		*code = verb.Run(c.Context(), process)
	})
	verb.AddFlags(command.Flags())
	for _, declared := range verb.Settings().All() {
		complete := cobra.NoFileCompletions
		switch {
		case alternatives.MatchString(declared.Value):
			complete = cobra.FixedCompletions(strings.Split(declared.Value, "|"), cobra.ShellCompDirectiveNoFileComp)
		case strings.Contains(declared.Value, "FILE") || strings.Contains(declared.Value, "DIR"):
			continue // the shell completes files
		}
		if err := command.RegisterFlagCompletionFunc(declared.Name, complete); err != nil {
			panic(err) // the flag was added above
		}
	}
	return command
}

// alternatives matches the placeholder of a value that is one of some words: "auto|go|docker".
var alternatives = regexp.MustCompile(`^[a-z]+(\|[a-z]+)+$`)
