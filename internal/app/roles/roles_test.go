package roles_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/roles"
	"github.com/onedigest/onedigest/internal/oidc"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	roleARN   = "arn:aws:iam::000000000000:role/deploy"
	plain     = "repo:octo/shop:environment:production"
	immutable = "repo:octo@11/shop@22:environment:production"
	tag       = "1.0.0-prod"
)

var job = localaws.Job{Repository: "octo/shop", OwnerID: "11", RepositoryID: "22", Environment: "production", Ref: "refs/heads/main"}

// jobEnviron is the environment of a job without AWS keys.
func jobEnviron(server *localawstest.Server) []string {
	environ := slices.DeleteFunc(server.Env(), func(pair string) bool {
		return strings.HasPrefix(pair, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(pair, "AWS_SECRET_ACCESS_KEY=") || strings.HasPrefix(pair, "AWS_REGION=") || strings.HasPrefix(pair, "AWS_DEFAULT_REGION=")
	})
	return append(append(environ, server.JobEnv()...), "AWS_EC2_METADATA_DISABLED=true")
}

// TestARoleInPlaceOfKeys: a verb with --role and no keys works with ECR as the role, for either form of the subject; without the role it has no credentials; and a
// role that is refused is told before anything else is asked of AWS, with the subject and the statement that would let it in.
func TestARoleInPlaceOfKeys(t *testing.T) {
	t.Parallel()
	immutableJob, expired := job, job
	immutableJob.Immutable, expired.Life = true, -time.Minute
	trusting := localaws.Role{Name: "deploy", Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plain}}
	both := trusting
	both.Subjects = []string{plain, immutable}
	for name, test := range map[string]struct {
		role localaws.Role
		job  localaws.Job
		args []string
		code int
		want []string // in the log
	}{
		"right":              {trusting, job, []string{"--role", roleARN}, release.ExitDone, []string{"assumed " + roleARN}},
		"the immutable form": {both, immutableJob, []string{"--role", roleARN}, release.ExitDone, []string{"assumed " + roleARN}},
		"another audience":   {localaws.Role{Name: "deploy", Audiences: []string{"ours"}, Subjects: []string{plain}}, job, []string{"--role", roleARN, "--audience", "ours"}, release.ExitDone, nil},
		"no role":            {trusting, job, nil, release.ExitFault, nil},
		"an immutable form that is not trusted": {trusting, immutableJob, []string{"--role", roleARN}, release.ExitFailed,
			[]string{"subject is " + immutable, plain, "sts:AssumeRoleWithWebIdentity"}},
		"a wrong audience": {trusting, job, []string{"--role", roleARN, "--audience", "theirs"}, release.ExitFailed, []string{"its audience theirs"}},
		"an expired token": {trusting, expired, []string{"--role", roleARN}, release.ExitFault, []string{"Token expired"}},
		"no role's name":   {trusting, job, []string{"--role", "deploy"}, release.ExitInput, []string{`"deploy" is not the ARN of a role`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repository := server.Repository("shop")
			digest := push(t, server, repository)
			server.PutRole(test.role)
			server.SetJob(test.job)
			server.ResetRequests()
			var stdout, stderr bytes.Buffer
			code := appbuild.Command().Run(t.Context(), app.Process{Environ: jobEnviron(server), Dir: t.TempDir(), Now: time.Now, Stdout: &stdout, Stderr: &stderr,
				Args: append([]string{"--repository", repository.String(), "--find", tag, "--region", localaws.DefaultRegion}, test.args...)})
			log := stdout.String() + stderr.String()
			if code != test.code {
				t.Errorf("exit %d, want %d:\n%s", code, test.code, log)
			}
			for _, want := range test.want {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
			if test.code == release.ExitDone {
				if !strings.Contains(log, digest.String()) {
					t.Errorf("the log lacks the digest:\n%s", log)
				}
				if server.IdentityTokens() != 1 {
					t.Errorf("asked for %d tokens", server.IdentityTokens())
				}
				return
			}
			for _, request := range server.Requests() {
				if strings.Contains(request.Path, "/v2/") {
					t.Errorf("the registry was asked: %+v", request)
				}
			}
		})
	}
}

// push puts an image into a repository with the server's own keys.
func push(t *testing.T, server *localawstest.Server, repository release.Repository) release.Digest {
	t.Helper()
	run := &app.RunContext{Process: app.Process{Environ: server.Env(), Now: time.Now, Dir: t.TempDir()}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), release.AnnotationCreated: "2026-03-04T05:06:07Z"})
	if err := connected.Push(t.Context(), layout, repository, tag, nil); err != nil {
		t.Fatal(err)
	}
	return layout.Digest
}

// TestTheCredentialsAreShared: the adapters of a run share one session, and its keys are redacted and in no variable.
func TestTheCredentialsAreShared(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.PutRole(localaws.Role{Name: "deploy", Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plain}})
	server.SetJob(job)
	process := app.Process{Environ: append(jobEnviron(server), "AWS_REGION="+localaws.DefaultRegion), Now: time.Now, Dir: t.TempDir()}
	run := &app.RunContext{Process: process, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets), Role: &app.Role{ARN: roleARN}}
	for range 3 {
		credentials, err := roles.Credentials(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		got, err := credentials.Retrieve(t.Context())
		if err != nil || got.SessionToken == "" {
			t.Fatalf("%v", err)
		}
		if shown := run.Secrets.Redact(got.SecretAccessKey + " " + got.SessionToken); strings.Contains(shown, got.SecretAccessKey) || strings.Contains(shown, got.SessionToken) {
			t.Errorf("shown as %s", shown)
		}
	}
	if server.IdentityTokens() != 1 {
		t.Errorf("asked for %d tokens", server.IdentityTokens())
	}
	if none, err := roles.Credentials(t.Context(), &app.RunContext{Process: process}); none != nil || err != nil {
		t.Errorf("without a role: %v, %v", none, err)
	}
}
