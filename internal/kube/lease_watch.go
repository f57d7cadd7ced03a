package kube

import (
	"context"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// round reads the Lease and watches it until it is ours, until the watch ends, or until a request goes wrong. Nothing and no
// error: another round may bring more.
func (t *taker) round(ctx context.Context) (*coordination.Lease, error) {
	// A collection's resource version can always be watched from; that of a Lease which nobody renews has expired some time.
	only := meta.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", t.name).String()}
	var list *coordination.LeaseList
	err := t.ask(ctx, "list", func(ctx context.Context) (err error) {
		list, err = t.leases.List(ctx, only)
		return err
	})
	if err != nil {
		return nil, err
	}
	var lease *coordination.Lease
	if len(list.Items) > 0 {
		lease = &list.Items[0]
	}
	if lease, err = t.look(ctx, lease); lease != nil || err != nil || t.seen == nil {
		return lease, err
	}
	only.ResourceVersion = list.ResourceVersion
	changes, err := t.leases.Watch(ctx, only)
	if err := t.noted("watch", err); err != nil {
		return nil, err
	}
	defer changes.Stop()
	return t.await(ctx, changes.ResultChan())
}

// await follows a watch. That it ends says nothing of the holder: what was seen so far stays seen.
func (t *taker) await(ctx context.Context, changes <-chan watch.Event) (lease *coordination.Lease, err error) {
	timer := time.NewTimer(t.due())
	defer timer.Stop()
	for lease == nil && err == nil && t.seen != nil {
		timer.Reset(t.due())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			lease, err = t.ripe(ctx)
		case change, open := <-changes:
			if !open || change.Type == watch.Error {
				return nil, nil
			}
			if current, known := change.Object.(*coordination.Lease); known {
				if change.Type == watch.Deleted {
					current = nil
				}
				lease, err = t.look(ctx, current)
			}
		}
	}
	return lease, err
}
