package oidc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/oidc"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	plainSubject     = "repo:octo/shop:environment:production"
	immutableSubject = "repo:octo@11/shop@22:environment:production"
	roleARN          = "arn:aws:iam::000000000000:role/deploy"
)

func production(immutable bool) localaws.Job {
	return localaws.Job{Repository: "octo/shop", OwnerID: "11", RepositoryID: "22", Environment: "production", Ref: "refs/heads/main", Immutable: immutable}
}

// masked holds, for each role, what it masked while it was assumed.
var masked sync.Map

func maskedOf(role *oidc.Role) []string {
	found, _ := masked.Load(role)
	list, _ := found.([]string)
	return list
}

// assume makes a server with a role, and asks for credentials as a job.
func assume(t *testing.T, role localaws.Role, job localaws.Job, audience string) (*localawstest.Server, *oidc.Role, aws.Credentials, error) {
	t.Helper()
	server := localawstest.Start(t)
	role.Name = "deploy"
	server.PutRole(role)
	server.SetJob(job)
	environ := server.EnvMap()
	delete(environ, "AWS_ACCESS_KEY_ID")
	for _, pair := range server.JobEnv() {
		name, value, _ := strings.Cut(pair, "=")
		environ[name] = value
	}
	environ["GITHUB_RUN_ID"] = "77"
	var seen []string
	assumed, err := oidc.New(t.Context(), oidc.Options{Environ: func(name string) string { return environ[name] }, Role: roleARN, Audience: audience, Secrets: new(text.Secrets),
		Mask: func(secret string) { seen = append(seen, secret) }})
	if err != nil {
		t.Fatal(err)
	}
	got, err := assumed.Retrieve(t.Context())
	masked.Store(assumed, slices.Clone(seen))
	return server, assumed, got, err
}

// TestAssume: a job with either form of the subject gets a session's credentials, which AWS accepts.
func TestAssume(t *testing.T) {
	t.Parallel()
	for name, immutable := range map[string]bool{"plain": false, "immutable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, role, got, err := assume(t, localaws.Role{Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plainSubject, immutableSubject}}, production(immutable), "")
			if err != nil {
				t.Fatal(err)
			}
			if got.SessionToken == "" || time.Until(got.Expires) < 30*time.Minute {
				t.Errorf("got credentials until %s", got.Expires)
			}
			client := sts.New(sts.Options{Region: "us-east-1", Credentials: role, BaseEndpoint: aws.String(server.URL())})
			caller, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if err != nil || aws.ToString(caller.Arn) != "arn:aws:sts::000000000000:assumed-role/deploy/onedigest-77" {
				t.Errorf("%+v, %v", caller, err)
			}
			if _, err := role.Retrieve(t.Context()); err != nil || server.IdentityTokens() != 1 {
				t.Errorf("%d tokens for one session, %v", server.IdentityTokens(), err)
			}
		})
	}
}

// TestRenew: credentials that expire soon are renewed, with a new token.
func TestRenew(t *testing.T) {
	t.Parallel()
	server, role, first, err := assume(t, localaws.Role{Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plainSubject}, Life: 2 * time.Minute}, production(false), "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := role.Retrieve(t.Context())
	if err != nil || second.AccessKeyID == first.AccessKeyID || server.IdentityTokens() != 2 {
		t.Errorf("%v; %d tokens", err, server.IdentityTokens())
	}
}

// TestRenewalThatFails: the credentials stay in use while they are valid, and AWS is not asked each time; once they have expired, the refusal is told.
func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	trusting := localaws.Role{Name: "deploy", Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plainSubject}}
	start := func(life time.Duration) (*localawstest.Server, *oidc.Role, aws.Credentials) {
		trusting.Life = life
		server, role, first, err := assume(t, trusting, production(false), "")
		if err != nil {
			t.Fatal(err)
		}
		server.PutRole(localaws.Role{Name: "deploy", Audiences: trusting.Audiences, Subjects: []string{"repo:octo/other:environment:production"}})
		return server, role, first
	}
	server, role, first := start(2 * time.Minute)
	for range 3 {
		second, err := role.Retrieve(t.Context())
		if err != nil || second.AccessKeyID != first.AccessKeyID {
			t.Fatalf("%v; want the credentials that are still valid", err)
		}
	}
	if server.IdentityTokens() != 2 {
		t.Errorf("asked for %d tokens, want 2", server.IdentityTokens())
	}
	_, role, _ = start(time.Second)
	var refusal *release.Refusal
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := role.Retrieve(t.Context())
		if errors.As(err, &refusal) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("got %v of credentials that have expired", err)
		}
	}
}

// TestInvalidToken: a token that AWS could not verify is not sent again; one new token is.
func TestInvalidToken(t *testing.T) {
	t.Parallel()
	server, _, _, err := assume(t, localaws.Role{}, production(false), "")
	if err == nil || server.IdentityTokens() != 2 {
		t.Errorf("%v; %d tokens, want 2", err, server.IdentityTokens())
	}
	var sent int
	for _, request := range server.Requests() {
		if request.Route == localaws.RouteAssumeRole {
			sent++
		}
	}
	if sent != 2 {
		t.Errorf("%d requests for the role, want one for each token", sent)
	}
}

// TestMask: the runner is told the token, the secret key and the session token.
func TestMask(t *testing.T) {
	t.Parallel()
	_, role, got, err := assume(t, localaws.Role{Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plainSubject}}, production(false), "")
	if err != nil {
		t.Fatal(err)
	}
	if masked := maskedOf(role); len(masked) != 3 || !slices.Contains(masked, got.SecretAccessKey) || !slices.Contains(masked, got.SessionToken) {
		t.Errorf("%d values are masked; want the token, the secret key and the session token", len(masked))
	}
}

// TestRefusals: each says what the token says, and what would let it in.
func TestRefusals(t *testing.T) {
	t.Parallel()
	expired := production(false)
	expired.Life = -time.Minute
	ours := localaws.Role{Audiences: []string{oidc.DefaultAudience}, Subjects: []string{plainSubject}}
	for name, test := range map[string]struct {
		role     localaws.Role
		job      localaws.Job
		audience string
		refused  bool
		want     []string
	}{
		"another environment": {localaws.Role{Audiences: ours.Audiences, Subjects: []string{"repo:octo/shop:environment:staging"}}, production(false), "", true,
			[]string{"subject is " + plainSubject + " and", immutableSubject, `"sts:AssumeRoleWithWebIdentity"`, `:sub":["` + plainSubject + `","` + immutableSubject + `"]`, `:aud":"sts.amazonaws.com"`, "arn:aws:iam::000000000000:oidc-provider/"}},
		"the immutable form, to a policy with the plain one": {ours, production(true), "", true,
			[]string{"subject is " + immutableSubject + " and", `:sub":["` + immutableSubject + `","` + plainSubject + `"]`}},
		"another audience": {ours, production(false), "elsewhere", true, []string{"Incorrect token audience", "its audience elsewhere", "--audience"}},
		"no provider":      {localaws.Role{}, production(false), "", true, []string{"No OpenIDConnect provider found"}},
		"a pull request":   {ours, localaws.Job{Repository: "octo/shop", Ref: "refs/pull/7/merge"}, "", true, []string{"no trust policy should accept the subject repo:octo/shop:pull_request", "nobody has reviewed"}},
		"a branch without protection": {ours, localaws.Job{Repository: "octo/shop", Ref: "refs/heads/feature"}, "", true,
			[]string{"no trust policy should accept the subject repo:octo/shop:ref:refs/heads/feature", "not protected"}},
		"the main branch": {ours, localaws.Job{Repository: "octo/shop", Ref: "refs/heads/main"}, "", true, []string{`"StringEquals":{`, `:sub":["repo:octo/shop:ref:refs/heads/main"]`}},
		"a merge queue": {ours, localaws.Job{Repository: "octo/shop", OwnerID: "11", RepositoryID: "22", Ref: "refs/heads/gh-readonly-queue/main/pr-7-0123"}, "", true,
			[]string{`"StringLike":{`, `:sub":["repo:octo/shop:ref:refs/heads/gh-readonly-queue/main/*","repo:octo@11/shop@22:ref:refs/heads/gh-readonly-queue/main/*"]`}},
		"an expired token": {ours, expired, "", false, []string{"Token expired", "clock"}},
		"no token for it":  {ours, localaws.Job{}, "", false, []string{"asking the runner for an identity token", "401"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := assume(t, test.role, test.job, test.audience)
			var refusal *release.Refusal
			if err == nil || errors.As(err, &refusal) != test.refused {
				t.Fatalf("got %v; want a refusal: %t", err, test.refused)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
		})
	}
}

// TestNew: what is refused before anything is sent.
func TestNew(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "y"}
	for want, options := range map[string]oidc.Options{
		"is not the ARN of a role": {Role: "deploy"},
		"add `id-token: write`":    {Role: roleARN},
		"no AWS region is set":     {Role: roleARN, Environ: func(name string) string { return environ[name] }},
	} {
		_, err := oidc.New(t.Context(), options)
		var input *release.InputError
		if !errors.As(err, &input) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
