// Package localawstest starts a localaws server for a test.
package localawstest

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

// Server is a server that is closed when its test ends.
type Server struct {
	*localaws.Server
	t testing.TB
}

// Option changes the options of a started server.
type Option func(*localaws.Options)

// Start starts a server in memory on a free port of 127.0.0.1 and closes it when the test ends.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	var chosen localaws.Options
	for _, option := range options {
		option(&chosen)
	}
	server, err := localaws.New(chosen)
	if err != nil {
		t.Fatalf("making the local AWS: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("closing the local AWS: %v", err)
		}
	})
	if err := server.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("starting the local AWS: %v", err)
	}
	return &Server{Server: server, t: t}
}

// EnvMap returns Env as a map.
func (s *Server) EnvMap() map[string]string {
	values := map[string]string{}
	for _, line := range s.Env() {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return values
}

// Setenv sets the environment for the test. A parallel test cannot do that; it passes Env on instead.
func (s *Server) Setenv() {
	s.t.Helper()
	for name, value := range s.EnvMap() {
		s.t.Setenv(name, value)
	}
}

// Repository creates a repository with mutable tags and returns its full name, 127.0.0.1:PORT/name.
func (s *Server) Repository(name string) release.Repository {
	s.t.Helper()
	return s.RepositoryWith(name, localaws.TagRule{})
}

// RepositoryWith creates a repository like Repository, with a rule for its tags.
func (s *Server) RepositoryWith(name string, rule localaws.TagRule) release.Repository {
	s.t.Helper()
	if err := s.CreateRepository(name, rule); err != nil {
		s.t.Fatalf("creating repository %q: %v", name, err)
	}
	repository, err := release.ParseRepository(s.Address() + "/" + name)
	if err != nil {
		s.t.Fatalf("naming repository %q: %v", name, err)
	}
	return repository
}
