package metrics

import (
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// pair is the last two points of a container or a node, from which its CPU usage is computed.
type pair struct {
	before, last point
}

// next adds a point. A point that is not newer than the last is ignored; after a restart there is no earlier point.
func (p pair) next(now point) pair {
	switch {
	case p.last.at.IsZero():
		return pair{last: now}
	case !now.at.After(p.last.at):
		return p
	case now.started.After(p.last.at) || now.cpu < p.last.cpu:
		return pair{last: now}
	}
	return pair{before: p.last, last: now}
}

// window returns the time over which the CPU usage is computed, 0 if there is only one point.
func (p pair) window() time.Duration {
	if p.before.at.IsZero() {
		return 0
	}
	return p.last.at.Sub(p.before.at)
}

// usage returns CPU in cores, with nanocore precision, and memory in bytes.
func (p pair) usage() core.ResourceList {
	cores := (p.last.cpu - p.before.cpu) / p.window().Seconds()
	cpu := resource.NewScaledQuantity(int64(cores*1e9), resource.Nano)
	return core.ResourceList{core.ResourceCPU: *cpu, core.ResourceMemory: *resource.NewQuantity(int64(p.last.memory), resource.BinarySI)}
}

// history holds the points of all nodes and pods.
type history struct {
	mu    sync.Mutex
	nodes map[string]pair
	pods  map[string]map[types.NamespacedName]map[string]pair // by node
}

// add adds a reading of one node. Pods and containers that are not in it are removed.
func (h *history) add(node string, added reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes == nil {
		h.nodes, h.pods = map[string]pair{}, map[string]map[types.NamespacedName]map[string]pair{}
	}
	if !added.node.at.IsZero() {
		h.nodes[node] = h.nodes[node].next(added.node)
	}
	pods := map[types.NamespacedName]map[string]pair{}
	for name, containers := range added.pods {
		pods[name] = map[string]pair{}
		for container, now := range containers {
			pods[name][container] = h.pods[node][name][container].next(now)
		}
	}
	h.pods[node] = pods
}

// pod returns a pod's containers. Without a rate for one of them there is none for the pod, as in metrics-server, because an
// autoscaler would take the part for the whole.
func (h *history) pod(name types.NamespacedName) (map[string]pair, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pods := range h.pods {
		containers, known := pods[name]
		if !known {
			continue
		}
		for _, container := range containers {
			if container.window() <= 0 {
				return nil, false
			}
		}
		return containers, len(containers) > 0
	}
	return nil, false
}

func (h *history) node(name string) (pair, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, known := h.nodes[name]
	return p, known && p.window() > 0
}
