package app

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/spf13/pflag"
)

// Command is one verb as a program.
type Command struct {
	Verb setting.Verb
	// Settings returns a new set of the verb's settings and those that every verb has, for help, completion and reference.
	Settings func() *setting.Set
	// Run reads the settings, runs the verb and returns its exit code.
	Run func(ctx context.Context, process Process) int
	// Child is what the verb does in a child process, which Process.Child starts; nil if it needs none. It returns the exit code.
	Child func(in io.Reader, out io.Writer) int
}

// AddFlags declares the verb's settings as flags, for completion.
func (c Command) AddFlags(flags *pflag.FlagSet) { addFlags(flags, c.Settings()) }

// Wiring makes a Command of a verb. S are its settings, R is its result.
type Wiring[S, R any] struct {
	Verb    setting.Verb
	Declare func(*S) *setting.Set
	// ResolveCommit completes short commit ids in settings; nil if the verb has no setting that is a commit.
	ResolveCommit ResolveCommit
	RunsGo        bool // the verb runs the go command
	Run           func(ctx context.Context, settings *S, run *RunContext) (R, error)
	Outputs       func(R) map[string]string // values by the names in Verb.Outputs; an empty value is not written
	// Page is what the run shows on GitHub; failed is the run's error. A page without a status or a verdict gets those of the error.
	Page func(settings *S, result R, failed error) page.Page
	// Comment says into which comment of its pull request the page goes; nil for a verb whose pages go into none.
	Comment func(settings *S, result R) Comment
}

// NewCommand makes the program of a verb.
func NewCommand[S, R any](w Wiring[S, R]) Command {
	return Command{
		Verb: w.Verb,
		Settings: func() *setting.Set {
			set, _ := withCommon(w.Declare(new(S)))
			return set
		},
		Run: func(ctx context.Context, process Process) int { return run(ctx, process, w) },
	}
}

// run reads the settings, runs the verb, reports the result and returns the exit code.
func run[S, R any](ctx context.Context, process Process, w Wiring[S, R]) (code int) {
	settings := new(S)
	set, common := withCommon(w.Declare(settings))
	process = process.ThroughSink()
	err := readSettings(ctx, set, process, w.ResolveCommit, w.RunsGo)
	if errors.Is(err, pflag.ErrHelp) {
		_, _ = io.WriteString(process.Stdout, help(process.program(w.Verb.Name), w.Verb, set))
		return release.ExitDone
	}
	collectSettings(process.Secrets, set)
	if region := set.Inputs()["region"].Texts; len(region) == 1 {
		process.Environ = append(slices.Clip(process.Environ), "AWS_REGION="+region[0]) // also for what takes its region from the environment
	}
	run := newRunContext(process, w.Verb.Name, common.output == "json")
	if common.role != "" {
		run.Role = &Role{ARN: common.role, Audience: common.audience}
	}
	defer run.recoverPanic(&code)
	if run.runner != nil && len(w.Verb.Outputs) > 0 {
		err = errors.Join(err, run.runner.CheckOutputs())
	}
	if err != nil {
		spellSettings(set, err)
		return run.fail(errors.Join(err, run.report(w.Verb, nil, run.complete(page.Page{}, err, ctx.Err() != nil), nil, err)))
	}
	result, err := w.Run(ctx, settings, run)
	spellSettings(set, err)
	shortenPaths(err, run.Workspace().Root())
	shown := run.complete(w.Page(settings, result, err), err, ctx.Err() != nil)
	err = errors.Join(err, run.report(w.Verb, w.Outputs(result), shown, result, err))
	if w.Comment != nil {
		run.CommentOn(ctx, w.Comment(settings, result), shown)
	}
	if err != nil {
		return run.fail(err)
	}
	return release.ExitDone
}

// readSettings reads the settings, completes short commit ids and validates. All bad inputs are one *release.InputError; a fault,
// such as a failure of git, is returned alone.
func readSettings(ctx context.Context, set *setting.Set, process Process, resolve ResolveCommit, runsGo bool) error {
	values, err := readInput(set, process.Args, process.Environ)
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	unresolved, fault := resolveCommits(ctx, set, values, process, resolve)
	invalid := set.Apply(values) // set before a fault is returned, because it decides how the fault is printed
	if fault != nil {
		return fault
	}
	problems := unresolved
	var input *release.InputError
	if errors.As(err, &input) {
		problems = append(input.Problems, problems...)
	}
	if errors.As(invalid, &input) { // a setting whose commit could not be resolved is reported once
		problems = append(problems, slices.DeleteFunc(input.Problems, func(p release.Problem) bool { return namesSetting(unresolved, p.Setting) })...)
	}
	if problems = append(problems, checkEnvironment(process, runsGo)...); len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// common are the settings that every verb has.
type common struct{ output, role, audience string }

// withCommon adds the settings that every verb has.
func withCommon(set *setting.Set) (*setting.Set, *common) {
	s := new(common)
	declareRole(set, s)
	setting.Var(set, &s.output, setting.Setting{Name: "output", Default: "text", Value: "text|json", Local: true,
		Help: "How to print the result; json goes to standard output and the log to standard error"}, setting.OneOf("text", "json"))
	return set, s
}

// declareRole adds the settings of the AWS role, and the region to the verbs that do not have it for a cluster. A verb that has a role of its own, which it writes
// and does not assume, gets none of them.
func declareRole(set *setting.Set, s *common) {
	if set.Lookup("role") != nil {
		return
	}
	setting.Var(set, &s.role, setting.Setting{Name: "role", Value: "ARN",
		Help: "AWS role to assume with the job's identity token, for which the job needs the permission id-token: write; its credentials are renewed and stay in the process. Without it, the AWS credentials of the environment are used"}, setting.RoleARN)
	setting.Var(set, &s.audience, setting.Setting{Name: "audience", Default: "sts.amazonaws.com", Value: "NAME",
		Help: "Audience of the identity token: a client ID of the account's OIDC provider"}, setting.Text)
	if set.Lookup("region") == nil {
		setting.Var(set, new(string), setting.Setting{Name: "region", Fallback: "AWS_REGION", Value: "REGION",
			Help: "AWS region of the role's token service and of keys that name none"}, setting.Text)
	}
}
