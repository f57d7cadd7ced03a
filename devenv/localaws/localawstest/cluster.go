package localawstest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/onedigest/onedigest/devenv/localaws"
)

// Cluster registers an EKS cluster with the handler as its API server, behind TLS and the webhook: a request without a valid token
// gets 401, as from Kubernetes. The server's own principal may log in, as a member of groups; the handler finds the user in the
// header X-Remote-User and the groups in X-Remote-Group.
func (s *Server) Cluster(name string, handler http.Handler, groups ...string) *httptest.Server {
	s.t.Helper()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := s.review(r.Context(), name, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			unauthorized(w)
			return
		}
		r.Header.Set("X-Remote-User", user.Username)
		r.Header["X-Remote-Group"] = user.Groups
		handler.ServeHTTP(w, r)
	}))
	s.t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	err := s.PutCluster(localaws.Cluster{
		Name: name, Endpoint: web.URL, Access: []localaws.AccessEntry{{Groups: groups}},
		CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}),
	})
	if err != nil {
		s.t.Fatalf("making cluster %q: %v", name, err)
	}
	return web
}

type reviewedUser struct {
	Username string
	Groups   []string
}

// review calls the webhook over the network, like an API server.
func (s *Server) review(ctx context.Context, cluster, token string) (reviewedUser, error) {
	question, err := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]string{"token": token},
	})
	if err != nil {
		return reviewedUser{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+localaws.ReviewPath(cluster), bytes.NewReader(question))
	if err != nil {
		return reviewedUser{}, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return reviewedUser{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status struct {
			Authenticated bool
			User          reviewedUser
			Error         string
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return reviewedUser{}, err
	}
	if !answer.Status.Authenticated {
		return reviewedUser{}, fmt.Errorf("not authenticated: %s", answer.Status.Error)
	}
	return answer.Status.User, nil
}

// unauthorized writes Kubernetes' answer to a request without a valid token.
func unauthorized(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",`+
		`"message":"Unauthorized","reason":"Unauthorized","code":401}`)
}
