// Package identity is the fake issuer of the identity tokens that a job of GitHub Actions gets.
package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Path is where the runner's variable ACTIONS_ID_TOKEN_REQUEST_URL leads.
const Path = "/_localaws/identity-token"

// Job is what the tokens say about the job that asks for them. The zero value is no job: it gets no token.
type Job struct {
	Repository   string // owner/name
	OwnerID      string
	RepositoryID string
	Environment  string        // of the job, "" for none
	Ref          string        // such as refs/heads/main
	Immutable    bool          // whether the subject has the ids of owner and repository
	Life         time.Duration // of a token; 0 is the issuer's own, 5 minutes; negative is an expired one
}

// Subject returns the subject of the job's tokens.
// Source: GitHub Docs, "OpenID Connect reference", for jobs with and without an environment and for immutable subject claims.
func (j Job) Subject() string {
	owner, name, _ := strings.Cut(j.Repository, "/")
	if j.Immutable {
		owner, name = owner+"@"+j.OwnerID, name+"@"+j.RepositoryID
	}
	subject := "repo:" + owner + "/" + name
	if j.Environment != "" {
		return subject + ":environment:" + j.Environment
	}
	if strings.HasPrefix(j.Ref, "refs/pull/") {
		return subject + ":pull_request"
	}
	return subject + ":ref:" + j.Ref
}

// Issuer signs tokens and verifies its own.
type Issuer struct {
	URL          func() string // of the issuer
	RequestToken string        // what the runner's variable ACTIONS_ID_TOKEN_REQUEST_TOKEN holds
	Now          func() time.Time

	key *rsa.PrivateKey

	mu     sync.Mutex
	job    Job
	issued int
}

// New makes an issuer with a key of its own.
func New(url func() string, now func() time.Time) (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making the issuer's key: %w", err)
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return &Issuer{URL: url, RequestToken: "request-" + base64.RawURLEncoding.EncodeToString(secret), Now: now, key: key}, nil
}

// SetJob sets the job that asks for tokens from now on.
func (i *Issuer) SetJob(job Job) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.job = job
}

// Issued returns how many tokens were issued.
func (i *Issuer) Issued() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued
}

// Claims are the claims that STS and policies look at.
type Claims struct {
	Issuer       string `json:"iss"`
	Audience     string `json:"aud"`
	Subject      string `json:"sub"`
	Repository   string `json:"repository"`
	RepositoryID string `json:"repository_id"`
	OwnerID      string `json:"repository_owner_id"`
	Environment  string `json:"environment,omitempty"`
	Ref          string `json:"ref"`
	IssuedAt     int64  `json:"iat"`
	Expires      int64  `json:"exp"`
}

// Serve answers a request for a token, as the runner's own service does.
// Source: https://github.com/actions/toolkit, packages/core/src/oidc-utils.ts
func (i *Issuer) Serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	job := i.job
	i.mu.Unlock()
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "bearer "+i.RequestToken || job == (Job{}) {
		http.Error(w, `{"message":"unauthorized"}`, http.StatusUnauthorized)
		return
	}
	audience := r.URL.Query().Get("audience")
	if audience == "" {
		audience = "https://github.com/" + strings.Split(job.Repository, "/")[0]
	}
	token, err := i.issue(job, audience)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"count": len(token), "value": token})
}

// issue returns a signed token (JWT) about a job, for an audience.
func (i *Issuer) issue(job Job, audience string) (string, error) {
	i.mu.Lock()
	i.issued++
	i.mu.Unlock()
	life := job.Life
	if life == 0 {
		life = 5 * time.Minute
	}
	now := i.Now()
	claims, err := json.Marshal(Claims{Issuer: i.URL(), Audience: audience, Subject: job.Subject(), Repository: job.Repository, RepositoryID: job.RepositoryID, OwnerID: job.OwnerID,
		Environment: job.Environment, Ref: job.Ref, IssuedAt: now.Unix(), Expires: now.Add(life).Unix()})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// ErrExpired is the error of Verify for a token that was valid once.
var ErrExpired = errors.New("token expired")

// Verify returns the claims of a token that this issuer signed. The audience is the caller's to compare.
func (i *Issuer) Verify(token string) (Claims, error) {
	var claims Claims
	signed, encoded, found := cutLast(token, ".")
	if !found {
		return claims, errors.New("the token is not a JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return claims, err
	}
	sum := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(&i.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return claims, err
	}
	_, payload, _ := strings.Cut(signed, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return claims, err
	}
	if err := json.Unmarshal(decoded, &claims); err != nil {
		return claims, err
	}
	if !i.Now().Before(time.Unix(claims.Expires, 0)) {
		return claims, ErrExpired
	}
	return claims, nil
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}
