package app_test

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/git/configrepo"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// The types of this file list the ways out of a run. A way that is added to the product does not compile here, or fails
// TestEveryCommandOfTheRunnerIsKnown, until it is searched for canaries too.

// process has the fields of app.Process.
type process struct {
	Release string
	Program string
	Args    []string
	Environ []string
	Dir     string
	Stdout  io.Writer
	Stderr  io.Writer
	Secrets *text.Secrets
	Now     func() time.Time
	Keyless app.Keyless
	Ask     func(question string) (string, error)
	Child   []string
}

// wiring has the fields of app.Wiring.
type wiring[S, R any] struct {
	Verb          setting.Verb
	Declare       func(*S) *setting.Set
	ResolveCommit app.ResolveCommit
	RunsGo        bool
	Run           func(ctx context.Context, settings *S, run *app.RunContext) (R, error)
	Outputs       func(R) map[string]string
	Page          func(settings *S, result R, failed error) page.Page
	Comment       func(settings *S, result R) app.Comment
}

// reporter has the methods of release.Reporter, all of which talkative calls.
type reporter interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Raw(text string)
	Progress(what string, progress release.Progress)
	Group(title string) (end func())
	Step(step release.RolloutStep)
}

var (
	_ reporter         = release.Reporter(nil)
	_ release.Reporter = reporter(nil)
)

// TestEveryCommandOfTheRunnerIsKnown: talkative reaches each of the runner's commands, by the reporter, its result or its error.
func TestEveryCommandOfTheRunnerIsKnown(t *testing.T) {
	t.Parallel()
	var got []string
	for method := range reflect.TypeFor[*github.Runner]().Methods() {
		got = append(got, method.Name)
	}
	if want := []string{"Actor", "CheckOutputs", "EndGroup", "Error", "Group", "Mask", "On", "PullRequest", "RepositoryURL", "RunURL", "SetOutput", "Summary", "Warning"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: have talkative say canaries by the new ones that write (CheckOutputs does not)", got, want)
	}
}

// TestEveryWayToGitHubAndGitIsKnown: what is sent to GitHub's API, and what is pushed to a configuration repository. Runs with canaries go each way that sends
// text: comments and deployments in e2e's TestSecretsLeaveByNoWay, commits and notes in its TestGitOps, pull requests in TestAPullRequestHasNoSecret. A record of an artifact has names and digests of settings alone, which no secret is. Manifests come of values files, and one with the run's token is refused (internal/gitops, TestManifestsThatAreRefused).
func TestEveryWayToGitHubAndGitIsKnown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		of   reflect.Type
		want []string
	}{
		{reflect.TypeFor[github.API](), []string{"Comment", "Compare", "CreateDeployment", "Deployments", "OpenPullRequest", "PullOf", "RecordArtifact", "SetDeployment"}},
		{reflect.TypeFor[*configrepo.Repository](), []string{"Changes", "Commit", "CommitFiles", "Dir", "Files", "Head", "Includes", "Note", "Propose", "ProposeFiles", "Read", "Refresh", "Relative"}},
	} {
		var got []string
		for method := range test.of.Methods() {
			got = append(got, method.Name)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q: have a run with canaries go the new ways", test.of, got, test.want)
		}
	}
}

// emitted is all that leaves a run.
type emitted = apptest.Emitted

// runInJob runs a command as a step of a job, and returns its exit code and all that leaves it.
func runInJob(ctx context.Context, t *testing.T, command app.Command, dir string, environ, args []string, asked *apptest.Servers) (int, emitted) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	environ, files := apptest.InJob(t, environ)
	code := command.Run(ctx, app.Process(process{"", "", args, environ, dir, &stdout, &stderr, nil, time.Now, nil, nil, nil}))
	return code, emitted{Stdout: stdout.String(), Stderr: stderr.String(), Outputs: apptest.Read(t, files[0]), Summary: apptest.Read(t, files[1]), Sent: asked.Requests()}
}
