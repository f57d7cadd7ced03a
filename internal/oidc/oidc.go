// Package oidc gets AWS credentials for a job of GitHub Actions: it asks the runner for an identity token and assumes a role with it. The
// credentials stay in the process, and are renewed before they expire.
package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/idtoken"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// Options say which role is assumed.
type Options struct {
	Environ  func(name string) string // the variables of the job; nil: none
	Role     string                   // ARN
	Region   string                   // whose STS is asked; "": the environment's
	Audience string                   // "": DefaultAudience
	Secrets  *text.Secrets            // gets the token and the credentials; may be nil
	Mask     func(secret string)      // is called with the token, the secret key and the session token before they are used; may be nil
	WorkTree worktree.Tree
}

const (
	// DefaultAudience is what AWS's own documentation sets up. Source: GitHub Docs, "Configuring OpenID Connect in Amazon Web Services".
	DefaultAudience = "sts.amazonaws.com"

	maxAttempts  = 5
	maxResponse  = 1 << 20          // bytes
	tokenTimeout = 30 * time.Second // of one request for a token, with its retries
	renewal      = 5 * time.Minute  // before they expire, credentials are renewed
	renewalPause = 30 * time.Second // after a renewal that failed, while the credentials are valid
	secondToken  = time.Second      // before a role is asked for with a second token
)

// invalidToken is the code of AWS for a token that it could not verify.
const invalidToken = "InvalidIdentityToken"

// Role is a role that a job assumes. It may be used from several goroutines.
type Role struct {
	options     Options
	environ     func(string) string
	arn         release.RoleARN
	credentials aws.CredentialsProvider

	mu     sync.Mutex
	claims claims // of the last token
}

// New checks the options; it sends nothing. A missing permission of the job is a *release.InputError.
func New(ctx context.Context, options Options) (*Role, error) {
	r := &Role{options: options, environ: options.Environ}
	if r.environ == nil {
		r.environ = func(string) string { return "" }
	}
	if r.options.Audience == "" {
		r.options.Audience = DefaultAudience
	}
	arn, err := release.ParseRoleARN(options.Role)
	if err != nil {
		return nil, release.BadSetting("role", err.Error(), "give the ARN of the role")
	}
	r.arn = arn
	if !idtoken.Allowed(r.environ) {
		return nil, release.BadSetting("role", "this job may not ask for an identity token", "add `id-token: write` to the job's permissions; a pull request from a fork never has it")
	}
	loaded, err := awsx.Load(ctx, awsx.Options{Environ: r.environ, Region: options.Region, MaxAttempts: maxAttempts, MaxResponse: maxResponse, Secrets: options.Secrets, WorkTree: options.WorkTree})
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" {
		return nil, release.BadSetting("region", "no AWS region is set, and STS is asked in one", "give the region of the role's resources")
	}
	client := sts.NewFromConfig(loaded, func(o *sts.Options) { o.BaseEndpoint = awsx.Endpoint(r.environ, loaded, sts.ServiceID) })
	session := &session{provider: stscreds.NewWebIdentityRoleProvider(plainClient{client}, options.Role, r, func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = sessionName(r.environ("GITHUB_RUN_ID"))
	})}
	r.credentials = aws.NewCredentialsCache(session, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewal })
	return r, nil
}

// plainClient leaves out the options of stscreds, which retry InvalidIdentityToken with the token that was not accepted.
type plainClient struct{ client *sts.Client }

// AssumeRoleWithWebIdentity implements stscreds.AssumeRoleWithWebIdentityAPIClient.
func (c plainClient) AssumeRoleWithWebIdentity(ctx context.Context, input *sts.AssumeRoleWithWebIdentityInput, _ ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return c.client.AssumeRoleWithWebIdentity(ctx, input)
}

// session assumes the role. A renewal that fails leaves the earlier credentials in use until they expire. Its methods are not called at once:
// the cache that holds it makes one request at a time.
type session struct {
	provider aws.CredentialsProvider
	expires  time.Time // of the last credentials, as AWS said it
}

// Retrieve implements aws.CredentialsProvider. InvalidIdentityToken also stands for keys of GitHub that AWS could not read in time, so it is followed by
// one request with a new token. Source: AWS STS API Reference, AssumeRoleWithWebIdentity, "Errors".
func (s *session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := s.provider.Retrieve(ctx)
	if awsx.Code(err) == invalidToken {
		select {
		case <-ctx.Done():
			return aws.Credentials{}, err
		case <-time.After(secondToken):
		}
		found, err = s.provider.Retrieve(ctx)
	}
	if err == nil {
		s.expires = found.Expires
	}
	return found, err
}

// HandleFailToRefresh implements aws.HandleFailRefreshCredentialsCacheStrategy. The cache subtracts the window from what is returned.
func (s *session) HandleFailToRefresh(_ context.Context, earlier aws.Credentials, err error) (aws.Credentials, error) {
	now := time.Now()
	if !earlier.HasKeys() || !now.Before(s.expires) {
		return aws.Credentials{}, err
	}
	next := now.Add(renewalPause)
	if s.expires.Before(next) {
		next = s.expires
	}
	earlier.Expires = next.Add(renewal)
	return earlier, nil
}

// sessionName names the run in CloudTrail.
func sessionName(run string) string {
	if !regexp.MustCompile(`^\d{1,20}$`).MatchString(run) {
		return "onedigest"
	}
	return "onedigest-" + run
}

// Retrieve implements aws.CredentialsProvider. A refusal is a *release.Refusal that names the token's subject and the statement of a trust
// policy that accepts it.
func (r *Role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := r.credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, r.explain(err)
	}
	r.hide(found.SecretAccessKey)
	r.hide(found.SessionToken)
	return found, nil
}

// GetIdentityToken implements stscreds.IdentityTokenRetriever, which has no context.
func (r *Role) GetIdentityToken() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	token, err := idtoken.Request(ctx, r.environ, r.options.Audience)
	if err != nil {
		return nil, &tokenError{err}
	}
	r.hide(token)
	read, err := parseClaims(token)
	if err != nil {
		return nil, &tokenError{err}
	}
	r.mu.Lock()
	r.claims = read
	r.mu.Unlock()
	return []byte(token), nil
}

// Subject returns the subject of the job's identity token for an audience. Of the options it uses Environ, Audience, Secrets and Mask.
func Subject(options Options) (string, error) {
	if options.Audience == "" {
		options.Audience = DefaultAudience
	}
	r := &Role{options: options, environ: options.Environ}
	if _, err := r.GetIdentityToken(); err != nil {
		return "", err
	}
	return text.Line(r.claims.Subject, maxSubject), nil
}

// maxSubject is how much of a subject is shown, in bytes.
const maxSubject = 512

// hide keeps a secret out of everything that is shown from now on.
func (r *Role) hide(secret string) {
	if r.options.Mask != nil {
		r.options.Mask(secret)
	}
	r.options.Secrets.Add(secret)
}

// tokenError is an error of the runner's token service.
type tokenError struct{ err error }

func (e *tokenError) Error() string {
	return "asking the runner for an identity token: " + e.err.Error()
}
func (e *tokenError) Unwrap() error { return e.err }

// claims are those that say who asks. They are read without verification: STS verifies.
type claims struct {
	Issuer       string `json:"iss"`
	Audience     string `json:"aud"`
	Subject      string `json:"sub"`
	Repository   string `json:"repository"`
	RepositoryID string `json:"repository_id"`
	OwnerID      string `json:"repository_owner_id"`
}

// parseClaims reads the claims of a JWT without verifying its signature.
func parseClaims(token string) (claims, error) {
	var read claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return read, errors.New("the token is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &read) != nil {
		return read, errors.New("the token is not a JWT")
	}
	return read, nil
}

// subjects returns the token's subject and its other form, with or without the numeric ids of owner and repository. Repositories that
// were made or renamed since the summer of 2026 have the ids. Source: GitHub Docs, "OpenID Connect reference", "Immutable subject claims".
func (c claims) subjects() []string {
	owner, name, found := strings.Cut(c.Repository, "/")
	plain := "repo:" + owner + "/" + name + ":"
	immutable := "repo:" + owner + "@" + c.OwnerID + "/" + name + "@" + c.RepositoryID + ":"
	if !found || c.OwnerID == "" || c.RepositoryID == "" {
		return []string{c.Subject}
	}
	if rest, is := strings.CutPrefix(c.Subject, plain); is {
		return []string{c.Subject, immutable + rest}
	}
	if rest, is := strings.CutPrefix(c.Subject, immutable); is {
		return []string{c.Subject, plain + rest}
	}
	return []string{c.Subject} // a form that the organization has chosen
}

// queueBranch matches the branch of one entry of a merge queue, and what all entries of that queue have in common.
// Source: GitHub Docs, "Managing a merge queue".
var queueBranch = regexp.MustCompile(`(:ref:refs/heads/gh-readonly-queue/.+/)pr-[^/]*$`)

// condition returns the operator and the subjects by which a trust policy accepts the token: whole subjects, or for a merge queue, whose branches
// have a new name each time, the start of them.
func (c claims) condition() (operator string, subjects []string) {
	subjects = c.subjects()
	if !queueBranch.MatchString(c.Subject) {
		return "StringEquals", subjects
	}
	for i := range subjects {
		subjects[i] = queueBranch.ReplaceAllString(subjects[i], "${1}*")
	}
	return "StringLike", subjects
}

// danger returns why no trust policy should accept the token's subject; "" if nothing speaks against it. protected is the runner's
// GITHUB_REF_PROTECTED. Source: GitHub Docs, "OpenID Connect reference", "Example subject claims".
func (c claims) danger(protected string) string {
	if strings.HasSuffix(c.Subject, ":pull_request") {
		return "it is that of every pull request, whose workflow nobody has reviewed"
	}
	_, branch, found := strings.Cut(c.Subject, ":ref:refs/heads/")
	if found && branch != "main" && branch != "master" && protected != "true" && !queueBranch.MatchString(c.Subject) {
		return "its branch is not protected, so whoever may push to it could assume the role"
	}
	return ""
}

// statement returns the statement of a trust policy that accepts the token in both forms, as JSON.
func (r *Role) statement(c claims) string {
	host := strings.TrimPrefix(c.Issuer, "https://")
	condition := map[string]map[string]any{"StringEquals": {host + ":aud": c.Audience}}
	operator, subjects := c.condition()
	if condition[operator] == nil {
		condition[operator] = map[string]any{}
	}
	condition[operator][host+":sub"] = subjects
	content, err := json.Marshal(map[string]any{
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
		"Principal": map[string]string{"Federated": "arn:" + r.arn.Partition + ":iam::" + r.arn.Account + ":oidc-provider/" + host},
		"Condition": condition,
	})
	if err != nil {
		return ""
	}
	return string(content)
}

// explain says why a role was not assumed. Source: AWS STS API Reference, AssumeRoleWithWebIdentity, "Errors".
func (r *Role) explain(err error) error {
	r.mu.Lock()
	c := r.claims
	r.mu.Unlock()
	var token *tokenError
	switch code := awsx.Code(err); {
	case errors.As(err, &token):
		return release.NewFault("GitHub", "", token.err, "asking the runner for an identity token")
	case code == "AccessDenied" || code == "AccessDeniedException":
		_, subjects := c.condition()
		do := fmt.Sprintf("correct the role, or let its trust policy accept %s by the statement %s (the first subject is this token's, the other one its other form)", strings.Join(quoted(subjects), " or "), line(r.statement(c)))
		if danger := c.danger(r.environ("GITHUB_REF_PROTECTED")); danger != "" {
			do = fmt.Sprintf("let the job run on a protected branch, or in a GitHub environment with rules, and trust that; no trust policy should accept the subject %s: %s", line(c.Subject), danger)
		}
		return &release.Refusal{
			Why: fmt.Sprintf("AWS does not let this job assume %s: the token's subject is %s and its audience %s, which the role's trust policy does not accept, or there is no such role",
				r.options.Role, line(c.Subject), line(c.Audience)),
			Do: do,
		}
	case code == invalidToken:
		return &release.Refusal{
			Why: fmt.Sprintf("AWS does not accept the job's identity token (%s): its issuer is %s and its audience %s", (&awsx.Error{Err: err}).Error(), line(c.Issuer), line(c.Audience)),
			Do:  "create an IAM OIDC provider for that issuer in the account with that audience as a client ID, or give a client ID of the existing provider with --audience",
		}
	case code == "ExpiredTokenException" || code == "ExpiredToken":
		return release.NewFault("AWS", "check this machine's clock, and run again", &awsx.Error{Err: err}, "assuming "+r.options.Role)
	}
	return release.NewFault("AWS", awsx.Advice(err), &awsx.Error{Err: err}, "assuming "+r.options.Role)
}

func quoted(list []string) []string {
	made := make([]string, len(list))
	for i, one := range list {
		made[i] = line(one)
	}
	return made
}

// line makes text of a token one printable line of at most 1,000 bytes.
func line(s string) string { return text.Line(s, 1000) }
