package kube

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/store"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// routine are the reasons of events that every pod makes and that explain nothing: most of a busy namespace's.
var routine = []string{"Scheduled", "Pulled", "Created", "Started", "ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob"}

// eventsIn are the events of a namespace: what keeps pods from being made, scheduled, filled and found alive is told there
// only. A type of event cannot be chosen: an autoscaler's and the kubelet's word about a probe are Normal ones.
func (c *Client) eventsIn(namespace string) store.Source {
	client := c.Kube.CoreV1().Events(namespace)
	only := "reason!=" + strings.Join(routine, ",reason!=")
	return store.From(&core.Event{}, client.List, client.Watch).WithFields(only)
}

// index sorts the events of all namespaces by what they are about, oldest first.
func (w *watcher) index() {
	w.about = map[types.UID][]*core.Event{}
	for _, feed := range w.events {
		for _, event := range store.All[*core.Event](feed) {
			uid := event.InvolvedObject.UID
			w.about[uid] = append(w.about[uid], event)
		}
	}
	for _, events := range w.about {
		slices.SortFunc(events, inOrder)
	}
}

// inOrder sorts events by when they were last seen, in whole seconds most of them, and then by when they were written.
func inOrder(a, b *core.Event) int {
	return cmp.Or(lastSeen(a).Compare(lastSeen(b)),
		cmp.Compare(len(a.ResourceVersion), len(b.ResourceVersion)), cmp.Compare(a.ResourceVersion, b.ResourceVersion), cmp.Compare(a.Name, b.Name))
}
