package promote

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
)

// prefetchRegistry is a registry whose first Inspect of one image and tag returns a result that was requested earlier, in parallel with the evidence.
type prefetchRegistry struct {
	Registry
	repository release.Repository
	digest     release.Digest
	tag        release.Tag
	answer     chan inspected // empty once the result was returned
}

type inspected struct {
	state release.TagState
	err   error
}

// prefetchInspect starts to read the image and its tag in the background, if the tag is known before the evidence is read, so that promote does not wait
// for one answer after the other. Stop cancels the request.
func prefetchInspect(ctx context.Context, settings Settings, registry Registry) (ahead Registry, stop func()) {
	tag := settings.Tag
	if tag == "" && settings.Commit != "" {
		tag = release.Tag(settings.To.String() + "-" + settings.Commit.String()) // unless the image is an earlier commit's
	}
	if tag == "" {
		return registry, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	reading := &prefetchRegistry{Registry: registry, repository: settings.Image.Repository, digest: settings.Image.Digest, tag: tag, answer: make(chan inspected, 1)}
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

// Inspect returns the prefetched result the first time that it is called for that image and tag, and waits for it.
func (a *prefetchRegistry) Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
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
