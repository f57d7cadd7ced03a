package status

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/status"
)

// TestConnect: the time of the release that needs a cluster first does not end the connection for the others, and no error of an attempt is kept.
func TestConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries, takes := 0, 20*time.Second
		all := newConnections(t.Context(), time.Minute, func(ctx context.Context, _ setting.ClusterRef) (status.Cluster, error) {
			tries++
			select {
			case <-time.After(takes):
				return cluster{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		ask := func(limit time.Duration) (status.Cluster, error) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), limit, errors.New("the release's time is up"))
			defer cancel()
			return all.connect(ctx, setting.ClusterRef{})
		}
		if _, err := ask(time.Second); err == nil || err.Error() != "the release's time is up" {
			t.Errorf("a release without time: %v", err)
		}
		for range 2 {
			if found, err := ask(30 * time.Second); err != nil || found == nil || tries != 1 {
				t.Errorf("after it: %v, %d attempts", err, tries)
			}
		}
		all.known, takes = map[setting.ClusterRef]*connection{}, time.Hour
		if _, err := ask(2 * time.Minute); release.ExitCode(err) != release.ExitFault {
			t.Errorf("a cluster that does not answer: %v", err)
		}
		takes = 0
		if found, err := ask(time.Second); err != nil || found == nil || tries != 3 {
			t.Errorf("when it answers again: %v, %d attempts", err, tries)
		}
		all.known, takes = map[setting.ClusterRef]*connection{}, time.Hour
		if _, err := ask(time.Second); err == nil {
			t.Error("a cluster answered")
		}
		start := time.Now()
		if all.close(); time.Since(start) > 0 {
			t.Errorf("an attempt outlived the run by %s", time.Since(start))
		}
	})
}
