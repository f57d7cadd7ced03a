package localaws

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tokenLife is how long a registry token is good.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
const tokenLife = 12 * time.Hour

// tokens issues and checks the passwords of the registry. A password carries its own expiry, signed with the server's
// key: nothing is stored, and one issued before a restart is still good after it.
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

// issue makes a password and tells when it ends.
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
	return payload + "." + base64.RawURLEncoding.EncodeToString(mac(t.key, payload)), expires
}

type tokenState int

const (
	tokenUnknown tokenState = iota
	tokenExpired
	tokenGood
)

func (t *tokens) check(password string) tokenState {
	t.mu.Lock()
	defer t.mu.Unlock()
	payload, sum, _ := strings.Cut(password, ".")
	got, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, mac(t.key, payload)) {
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
	return tokenGood
}

// ExpireTokens makes every registry token issued so far as good as twelve hours old: the registry answers it as ECR
// does, 403 DENIED without a challenge.
func (s *Server) ExpireTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.expired = s.tokens.issued
}

// ForgetTokens makes every registry token issued so far unknown: the registry answers it 401 with a challenge.
func (s *Server) ForgetTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.key = mac(s.tokens.key, "forget")
}

// errTokenExpired is ECR's answer to a token it issued and that has ended. It is no 401 and carries no challenge, so a
// client that waits for one never authenticates again.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/common-errors-docker.html ("HTTP 403 Errors"); the
// wording is what clients print ("denied: Your authorization token has expired. Reauthenticate and try again.").
var errTokenExpired = &registryError{
	status: http.StatusForbidden, code: "DENIED",
	message: "Your authorization token has expired. Reauthenticate and try again.",
}

// admit answers a registry request that may not pass, and tells whether it may.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html (user name AWS, the token as the
// password)
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	user, password, given := r.BasicAuth()
	if !given || user != "AWS" {
		writeChallenge(w, r)
		return false
	}
	switch s.tokens.check(password) {
	case tokenGood:
		return true
	case tokenExpired:
		writeRegistryError(w, errTokenExpired)
	default:
		writeChallenge(w, r)
	}
	return false
}

// writeChallenge words the 401 as ECR does: a Basic challenge whose realm is the registry itself, and a plain body.
func writeChallenge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("Www-Authenticate", `Basic realm="http://`+r.Host+`/",service="ecr.amazonaws.com"`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("Not Authorized\n"))
}
