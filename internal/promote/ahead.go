package promote

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
)

// aheadRegistry answers the first Inspect of an image and a tag with what was read while the evidence was.
type aheadRegistry struct {
	Registry
	repository release.Repository
	digest     release.Digest
	tag        release.Tag
	answer     chan inspected // empty once it was taken
}

type inspected struct {
	state release.TagState
	err   error
}

// inspectAhead starts to read the image and its tag, if the tag is known before the evidence is: promote would otherwise wait for one answer
// after the other. Stop ends the reading.
func inspectAhead(ctx context.Context, settings Settings, registry Registry) (ahead Registry, stop func()) {
	tag := settings.Tag
	if tag == "" && settings.Commit != "" {
		tag = release.Tag(settings.To.String() + "-" + settings.Commit.String()) // unless the image is an earlier commit's
	}
	if tag == "" {
		return registry, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	reading := &aheadRegistry{Registry: registry, repository: settings.Image.Repository, digest: settings.Image.Digest, tag: tag, answer: make(chan inspected, 1)}
	go func() {
		defer close(reading.answer)
		state, err := registry.Inspect(ctx, reading.repository, reading.digest, reading.tag)
		reading.answer <- inspected{state, err}
	}()
	return reading, func() {
		cancel()
		for range reading.answer { // until it is closed
		}
	}
}

// Inspect waits for what is being read, if it is asked for that for the first time.
func (a *aheadRegistry) Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	if repository == a.repository && digest == a.digest && tag == a.tag {
		select {
		case found, isFirst := <-a.answer:
			if isFirst {
				return found.state, found.err
			}
		case <-ctx.Done():
			return release.TagState{}, ctx.Err()
		}
	}
	return a.Registry.Inspect(ctx, repository, digest, tag)
}
