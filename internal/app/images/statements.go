package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Tags lists the tags of a repository.
func (i *Images) Tags(ctx context.Context, repository release.Repository) ([]release.Tag, error) {
	return i.registry.Tags(ctx, repository)
}

// Statement is an in-toto statement that is attached to an image.
type Statement struct {
	Record  release.Digest // of the referrer's manifest
	Content []byte
	Signer  string // ID of the trusted key that signed it; "" without trusted keys
}

// Statements reads all statements that are attached to an image, the newest first. What cannot be read, or what no trusted key signed, is no
// statement: it is returned as a note.
func (i *Images) Statements(ctx context.Context, image release.Image) (statements []Statement, notes []string, err error) {
	for referrer, err := range i.registry.Referrers(ctx, image, registry.ReferrerQuery{ArtifactTypes: recordTypes}) {
		var skipped *registry.SkippedReferrerError
		if errors.As(err, &skipped) {
			notes = append(notes, text.Line(skipped.Error(), text.NoLimit))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		content, by, untrusted := i.open(referrer)
		if untrusted != nil {
			notes = append(notes, fmt.Sprintf("%s: %s", referrer.Digest, text.Line(untrusted.Error(), text.NoLimit)))
			continue
		}
		statements = append(statements, Statement{Record: referrer.Digest, Content: content, Signer: by})
	}
	return statements, notes, nil
}
