package sigv4

import (
	"net/http"
	"sync"
	"time"
)

// Session is a pair of temporary credentials.
type Session struct {
	SecretAccessKey, Token string
	Principal              string // ARN of the session
	Expires                time.Time
}

// Sessions are the temporary credentials that an account has given out, by access key. It is safe for concurrent use.
type Sessions struct {
	mu    sync.Mutex
	byKey map[string]Session
}

// Add adds a session.
func (s *Sessions) Add(accessKeyID string, session Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[string]Session{}
	}
	s.byKey[accessKeyID] = session
}

func (s *Sessions) find(accessKeyID string) (Session, bool) {
	if s == nil {
		return Session{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byKey[accessKeyID]
	return found, ok
}

// Principal returns the ARN of the session that signed a request; "" if it was signed with the verifier's own credentials.
func (v Verifier) Principal(r *http.Request) string {
	claimed, refusal := parseSignature(r)
	if refusal != nil {
		return ""
	}
	session, _ := v.Sessions.find(claimed.keyID)
	return session.Principal
}

// sessionToken returns the token of temporary credentials, which a signed request carries as a header and a presigned one in its query.
func sessionToken(r *http.Request) string {
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
		return token
	}
	return r.URL.Query().Get("X-Amz-Security-Token")
}
