package sts

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/identity"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// Role is a role of the account that jobs may assume, and what its trust policy says.
type Role struct {
	Name      string
	Audiences []string // StringEquals on aud
	Subjects  []string // StringLike on sub; * matches any number of characters
	Life      time.Duration
}

// Roles are the roles of the account, and the audiences that its OIDC provider knows.
type Roles struct {
	Issuer   *identity.Issuer
	Sessions *sigv4.Sessions
	Now      func() time.Time

	mu        sync.Mutex
	roles     map[string]Role
	audiences []string // client ids of the provider; none: there is no provider
}

// Put adds or replaces a role, and lets the account's OIDC provider accept its audiences.
func (r *Roles) Put(role Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.roles == nil {
		r.roles = map[string]Role{}
	}
	r.roles[role.Name] = role
	r.audiences = append(r.audiences, role.Audiences...)
}

const (
	minSession = 15 * time.Minute
	maxSession = time.Hour // the maximum of a role that was not changed
)

// arnPattern matches the ARN of a role; sessionPattern a session's name.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html, "Request Parameters"
var (
	arnPattern     = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/([\w+=,.@/-]+)$`)
	sessionPattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// assumeWithWebIdentity answers AssumeRoleWithWebIdentity, which is not signed.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html; the texts are those that AWS answers with.
func (a API) assumeWithWebIdentity(w http.ResponseWriter, form url.Values) {
	named := arnPattern.FindStringSubmatch(form.Get("RoleArn"))
	duration := maxSession
	if text := form.Get("DurationSeconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || time.Duration(seconds)*time.Second < minSession || time.Duration(seconds)*time.Second > maxSession {
			writeError(w, awsapi.BadRequest("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."))
			return
		}
		duration = time.Duration(seconds) * time.Second
	}
	if named == nil || !sessionPattern.MatchString(form.Get("RoleSessionName")) || form.Get("WebIdentityToken") == "" {
		writeError(w, awsapi.BadRequest("ValidationError", "Request ARN is invalid"))
		return
	}
	a.Roles.mu.Lock()
	role, exists := a.Roles.roles[named[2]]
	audiences := slices.Clone(a.Roles.audiences)
	a.Roles.mu.Unlock()
	claims, err := a.Roles.Issuer.Verify(form.Get("WebIdentityToken"))
	switch {
	case errors.Is(err, identity.ErrExpired):
		writeError(w, awsapi.BadRequest("ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time"))
		return
	case err != nil:
		writeError(w, awsapi.BadRequest("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"))
		return
	case len(audiences) == 0:
		writeError(w, awsapi.BadRequest("InvalidIdentityToken", "No OpenIDConnect provider found in your account for %s", claims.Issuer))
		return
	case !slices.Contains(audiences, claims.Audience):
		writeError(w, awsapi.BadRequest("InvalidIdentityToken", "Incorrect token audience"))
		return
	case !exists || named[1] != a.Account || !slices.Contains(role.Audiences, claims.Audience) || !slices.ContainsFunc(role.Subjects, func(pattern string) bool { return like(pattern, claims.Subject) }):
		writeError(w, &awsapi.Error{Status: http.StatusForbidden, Name: "AccessDenied", Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity"})
		return
	}
	if role.Life != 0 {
		duration = role.Life
	}
	session := sigv4.Session{
		SecretAccessKey: "localaws/session/" + random(), Token: "localaws-session-token-" + random(), Expires: a.Roles.Now().Add(duration),
		Principal: "arn:aws:sts::" + a.Account + ":assumed-role/" + path.Base(named[2]) + "/" + form.Get("RoleSessionName"),
	}
	keyID := "ASIA" + random()[:16]
	a.Roles.Sessions.Add(keyID, session)
	writeXML(w, http.StatusOK, assumed{
		Namespace: namespace, RequestID: requestID, KeyID: keyID, Secret: session.SecretAccessKey, Token: session.Token, Expiration: session.Expires.UTC().Format(time.RFC3339),
		Arn: session.Principal, RoleID: "AROALOCALAWSEXAMPLE00:" + form.Get("RoleSessionName"), Subject: claims.Subject, Provider: claims.Issuer, Audience: claims.Audience,
	})
}

func random() string {
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails
	return base32.StdEncoding.EncodeToString(raw)
}

// like matches as StringLike does, with * only.
func like(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(text)
}

type assumed struct {
	XMLName    xml.Name `xml:"AssumeRoleWithWebIdentityResponse"`
	Namespace  string   `xml:"xmlns,attr"`
	KeyID      string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	Secret     string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
	Token      string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	Expiration string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
	Arn        string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
	RoleID     string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>AssumedRoleId"`
	Subject    string   `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
	Provider   string   `xml:"AssumeRoleWithWebIdentityResult>Provider"`
	Audience   string   `xml:"AssumeRoleWithWebIdentityResult>Audience"`
	RequestID  string   `xml:"ResponseMetadata>RequestId"`
}
