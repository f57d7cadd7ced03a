package releasetest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Facts records facts in memory, each once, as a registry does.
type Facts struct {
	Recorded []fact.Fact
	Err      error  // of every record
	Unsigned error  // of CheckSigning
	OnRecord func() // called before a fact is recorded; nil: nothing
	OnValues func() // called before the digest of values files is taken; nil: nothing
}

// CheckSigning returns Unsigned.
func (f *Facts) CheckSigning(context.Context, release.Image) error { return f.Unsigned }

// RecordFact records a fact that repeats none.
func (f *Facts) RecordFact(_ context.Context, recorded fact.Fact) (record release.Digest, created bool, err error) {
	if f.OnRecord != nil {
		f.OnRecord()
	}
	if f.Err != nil {
		return release.Digest{}, false, f.Err
	}
	for _, earlier := range f.Recorded {
		if recorded.Repeats(earlier) {
			record, err := digestOf(earlier)
			return record, false, err
		}
	}
	f.Recorded = append(f.Recorded, recorded)
	record, err = digestOf(recorded)
	return record, true, err
}

// IsRecorded reports whether a fact of the kind was recorded about the image.
func (f *Facts) IsRecorded(_ context.Context, image release.Image, kind fact.Kind) (bool, error) {
	return slices.ContainsFunc(f.Recorded, func(recorded fact.Fact) bool { return recorded.Kind == kind && recorded.Image == image }), nil
}

// ValuesDigest returns a digest of the files' names.
func (f *Facts) ValuesDigest(files []string) (release.Digest, error) {
	if f.OnValues != nil {
		f.OnValues()
	}
	return release.DigestOf([]byte(strings.Join(files, "\n"))), nil
}

func digestOf(recorded fact.Fact) (release.Digest, error) {
	encoded, err := json.Marshal(recorded)
	if err != nil {
		return release.Digest{}, err
	}
	return release.DigestOf(encoded), nil
}
