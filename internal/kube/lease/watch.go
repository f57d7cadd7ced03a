package lease

import (
	"context"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// listAndWatch reads the Lease and watches it until this run holds it, the watch ends, or a request fails. If it returns neither
// a Lease nor an error, the caller calls it again.
func (a *acquirer) listAndWatch(ctx context.Context) (*coordination.Lease, error) {
	// A watch can always start from a list's resource version. The version of a Lease that nobody renews may have been compacted.
	only := meta.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", a.name).String()}
	var list *coordination.LeaseList
	err := a.send(ctx, "list", func(ctx context.Context) (err error) {
		list, err = a.leases.List(ctx, only)
		return err
	})
	if err != nil {
		return nil, err
	}
	var lease *coordination.Lease
	if len(list.Items) > 0 {
		lease = &list.Items[0]
	}
	if lease, err = a.evaluate(ctx, lease); lease != nil || err != nil || a.observed == nil {
		return lease, err
	}
	only.ResourceVersion = list.ResourceVersion
	changes, err := a.leases.Watch(ctx, only)
	if err := a.recordAnswer("watch", err); err != nil {
		return nil, err
	}
	defer changes.Stop()
	return a.followWatch(ctx, changes.ResultChan())
}

// followWatch evaluates each change of the Lease, and each missing heartbeat. It keeps a.observed when the watch ends, because
// that says nothing about the holder.
func (a *acquirer) followWatch(ctx context.Context, changes <-chan watch.Event) (lease *coordination.Lease, err error) {
	timer := time.NewTimer(a.untilOverdue())
	defer timer.Stop()
	for lease == nil && err == nil && a.observed != nil {
		timer.Reset(a.untilOverdue())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			lease, err = a.onHeartbeatOverdue(ctx)
		case change, open := <-changes:
			if !open || change.Type == watch.Error {
				return nil, nil
			}
			if current, ok := change.Object.(*coordination.Lease); ok {
				if change.Type == watch.Deleted {
					current = nil
				}
				lease, err = a.evaluate(ctx, current)
			}
		}
	}
	return lease, err
}
