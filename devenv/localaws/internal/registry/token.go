package registry

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// tokenLife is how long a registry token is valid.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
const tokenLife = 12 * time.Hour

// tokens issues and checks the registry's passwords. A password contains its own expiry, signed with the server's key. Nothing is
// stored, so a password stays valid after the server is restarted.
type tokens struct {
	now func() time.Time

	mu      sync.Mutex
	key     []byte
	issued  int // serial number of the last token
	expired int // every token up to this number counts as expired
}

type tokenClaims struct {
	Serial  int       `json:"serial"`
	Expires time.Time `json:"expires"`
}

func newTokens(key []byte, now func() time.Time) *tokens { return &tokens{key: key, now: now} }

// issue returns a password and the time at which it expires.
func (t *tokens) issue() (string, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issued++
	expires := t.now().Add(tokenLife)
	claims, err := json.Marshal(tokenClaims{Serial: t.issued, Expires: expires})
	if err != nil {
		panic(err) // a struct of a number and a time
	}
	payload := base64.RawURLEncoding.EncodeToString(claims)
	return payload + "." + base64.RawURLEncoding.EncodeToString(sigv4.HMAC(t.key, payload)), expires
}

type tokenState int

const (
	tokenUnknown tokenState = iota
	tokenExpired
	tokenValid
)

// check returns whether a password is valid, expired or unknown.
func (t *tokens) check(password string) tokenState {
	t.mu.Lock()
	defer t.mu.Unlock()
	payload, sum, _ := strings.Cut(password, ".")
	got, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, sigv4.HMAC(t.key, payload)) {
		return tokenUnknown
	}
	var claims tokenClaims
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(decoded, &claims) != nil {
		return tokenUnknown
	}
	if claims.Serial <= t.expired || !t.now().Before(claims.Expires) {
		return tokenExpired
	}
	return tokenValid
}

// IssueToken returns a password for the registry's user AWS and the time at which it expires.
func (g *Registry) IssueToken() (string, time.Time) { return g.tokens.issue() }

// ExpireTokens makes every token issued so far expire: the registry answers it with 403 DENIED without a challenge, like ECR.
func (g *Registry) ExpireTokens() {
	g.tokens.mu.Lock()
	defer g.tokens.mu.Unlock()
	g.tokens.expired = g.tokens.issued
}

// ForgetTokens makes every token issued so far unknown: the registry answers it with 401 and a challenge.
func (g *Registry) ForgetTokens() {
	g.tokens.mu.Lock()
	defer g.tokens.mu.Unlock()
	g.tokens.key = sigv4.HMAC(g.tokens.key, "forget")
}

// ErrTokenExpired is ECR's answer to a token that has expired. It is not a 401 and has no challenge, so a client that waits for a
// challenge never authenticates again.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html ("HTTP 403 Errors"); the
// message is what clients print ("denied: Your authorization token has expired. Reauthenticate and try again.").
var ErrTokenExpired = &Error{
	Status: http.StatusForbidden, Code: "DENIED",
	Message: "Your authorization token has expired. Reauthenticate and try again.",
}

// admit reports whether a request has a valid token; if not, it has written the error response.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html (user name AWS, the token as the password)
func (g *Registry) admit(w http.ResponseWriter, r *http.Request) bool {
	user, password, found := r.BasicAuth()
	if !found || user != "AWS" {
		WriteChallenge(w, r)
		return false
	}
	switch g.tokens.check(password) {
	case tokenValid:
		return true
	case tokenExpired:
		WriteError(w, ErrTokenExpired)
	default:
		WriteChallenge(w, r)
	}
	return false
}

// WriteChallenge writes ECR's 401: a Basic challenge with the registry itself as its realm, and a plain body.
func WriteChallenge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("Www-Authenticate", `Basic realm="http://`+r.Host+`/",service="ecr.amazonaws.com"`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("Not Authorized\n"))
}
