package history

import (
	"context"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// records reads the records beside images as facts.
type records struct{ images *images.Images }

// Facts reads what is recorded about an image. What is no record of ours is returned as a note.
func (r records) Facts(ctx context.Context, image release.Image) (facts []history.Fact, notes []string, err error) {
	statements, notes, err := r.images.Statements(ctx, image)
	if err != nil {
		return nil, nil, err
	}
	for _, statement := range statements {
		fact, err := factOf(statement, image)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s: %s", statement.Record, text.Line(err.Error(), text.NoLimit)))
			continue
		}
		facts = append(facts, fact)
	}
	return facts, notes, nil
}

// maxDetail is the most bytes of a fact's detail.
const maxDetail = 300

func factOf(statement images.Statement, image release.Image) (history.Fact, error) {
	read, err := evidence.Decode(statement.Content)
	if err != nil {
		return history.Fact{}, err
	}
	if read.Image.Digest != image.Digest {
		return history.Fact{}, fmt.Errorf("it is about %s", read.Image.Digest)
	}
	detail := text.Line(fmt.Sprintf("%d rounds of %s", read.Rounds, strings.Join(read.Checks, ", ")), maxDetail)
	return history.Fact{Kind: history.Smoked, Environment: read.Environment, Verdict: read.Verdict, At: read.At, Run: read.Run, Signer: statement.Signer,
		Detail: detail, Predicate: evidence.PredicateType}, nil
}
