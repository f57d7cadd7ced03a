package localaws

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// What tests and the command do to a server without a request, and so without a count.

// CreateRepository makes a repository without a request, for tests and for the command; an existing one of that name
// gets the rule. The zero rule is Mutable.
func (s *Server) CreateRepository(name string, rule TagRule) error {
	if refusal := checkName(name); refusal != nil {
		return refusal
	}
	rule, refusal := rule.check()
	if refusal != nil {
		return refusal
	}
	created, err := s.store.create(name, rule)
	if err != nil || created {
		return err
	}
	return s.store.setRule(name, rule)
}

// CheckRepository tells whether a repository can have that name and that rule; a nil rule is the default.
func CheckRepository(name string, rule *TagRule) error {
	if refusal := checkName(name); refusal != nil {
		return refusal
	}
	if rule == nil {
		return nil
	}
	if rule.Mutability == "" {
		return invalidParameter("imageTagMutability", "Member must not be empty")
	}
	if _, refusal := rule.check(); refusal != nil {
		return refusal
	}
	return nil
}

// HasRepository tells whether a repository is there.
func (s *Server) HasRepository(name string) bool {
	_, found := s.store.view(name)
	return found
}

// DeleteImage deletes the image that a tag or digest names, with all its tags, without a request: what a lifecycle
// policy does behind a pipeline's back.
func (s *Server) DeleteImage(repository, reference string) error {
	id := imageID{ImageTag: reference}
	if strings.Contains(reference, ":") {
		id = imageID{ImageDigest: reference}
	} else if found, ok := s.store.view(repository); ok {
		id = imageID{ImageDigest: found.tags[release.Tag(reference)].String()}
	}
	_, failures, err := s.store.delete(repository, []imageID{id})
	if err == nil && len(failures) > 0 {
		err = fmt.Errorf("deleting %q of %q: %s", reference, repository, failures[0].FailureReason)
	}
	return err
}

// IssueToken issues a registry password without a request.
func (s *Server) IssueToken() string {
	password, _ := s.tokens.issue()
	return password
}
