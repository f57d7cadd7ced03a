package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/ecr"
	"github.com/onedigest/onedigest/devenv/localaws/internal/kms"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"

	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// CreateRepository makes a repository, or gives an existing one the rule. The zero rule is Mutable. The calls in this file are no
// requests and are not counted.
func (s *Server) CreateRepository(name string, rule TagRule) error {
	if refusal := store.CheckName(name); refusal != nil {
		return refusal
	}
	rule, refusal := rule.Check()
	if refusal != nil {
		return refusal
	}
	created, err := s.store.Create(name, rule)
	if err != nil || created {
		return err
	}
	return s.store.SetRule(name, rule)
}

// CheckRepository returns ECR's error for an invalid name or rule; a nil rule is the default.
func CheckRepository(name string, rule *TagRule) error {
	if refusal := store.CheckName(name); refusal != nil {
		return refusal
	}
	if rule == nil {
		return nil
	}
	if rule.Mutability == "" {
		return awsapi.InvalidParameter("imageTagMutability", "Member must not be empty")
	}
	if _, refusal := rule.Check(); refusal != nil {
		return refusal
	}
	return nil
}

// HasRepository reports whether a repository exists.
func (s *Server) HasRepository(name string) bool {
	_, found := s.store.View(name)
	return found
}

// DeleteImage deletes the image with a tag or a digest, and all its tags, as ECR's lifecycle policies do.
func (s *Server) DeleteImage(repository, reference string) error {
	id := store.ImageID{ImageTag: reference}
	if strings.Contains(reference, ":") {
		id = store.ImageID{ImageDigest: reference}
	} else if found, ok := s.store.View(repository); ok {
		id = store.ImageID{ImageDigest: found.Tags[release.Tag(reference)].String()}
	}
	_, failures, err := s.store.DeleteImages(repository, []store.ImageID{id})
	if err == nil && len(failures) > 0 {
		err = fmt.Errorf("deleting %q of %q: %s", reference, repository, failures[0].FailureReason)
	}
	return err
}

// ArchiveImage moves an image to the archive, from where it cannot be pulled.
func (s *Server) ArchiveImage(repository string, digest release.Digest) error {
	archived, err := s.store.Archive(repository, digest)
	if err == nil && !archived {
		err = fmt.Errorf("archiving %s of %q: there is no such image", digest, repository)
	}
	return err
}

type (
	// Scan is what a scan of ECR found in an image.
	Scan = ecr.Scan
	// ScanFinding is one finding of a scan.
	ScanFinding = ecr.ScanFinding
)

// SetScan sets what ECR's scan of an image found; this server scans nothing.
func (s *Server) SetScan(repository string, digest release.Digest, scan Scan) {
	s.ecr.SetScan(repository, digest.String(), scan)
}

// IssueToken returns a registry password.
func (s *Server) IssueToken() string {
	password, _ := s.registry.IssueToken()
	return password
}

// ExpireTokens makes every registry token issued so far expire: the registry answers it with 403 DENIED without a challenge, like ECR.
func (s *Server) ExpireTokens() { s.registry.ExpireTokens() }

// ForgetTokens makes every registry token issued so far unknown: the registry answers it with 401 and a challenge.
func (s *Server) ForgetTokens() { s.registry.ForgetTokens() }

// PutCluster registers a cluster, or changes one. It returns an error for a cluster that EKS could not have.
func (s *Server) PutCluster(cluster Cluster) error { return s.eks.PutCluster(cluster) }

// TokenReviews returns how many tokens the webhooks of all clusters have accepted and refused so far.
func (s *Server) TokenReviews() (accepted, refused int) { return s.eks.TokenReviews() }

// Principal returns the ARN of the one user that the server's credentials belong to.
func (s *Server) Principal() string { return s.options.principal() }

// CheckAlias refuses what is no alias of a key that an account may create.
func CheckAlias(alias string) error { return kms.CheckAlias(alias) }

// CreateKey makes a key of KMS with an alias ("alias/NAME"), unless the alias names one already, and returns its ARN.
func (s *Server) CreateKey(alias string) (arn string, err error) { return s.kms.Create(alias) }

// MoveAlias makes an alias of KMS name the key of another alias, or a key by its ARN, as UpdateAlias does.
func (s *Server) MoveAlias(alias, to string) error { return s.kms.MoveAlias(alias, to) }
