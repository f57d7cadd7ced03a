package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"

	core "k8s.io/api/core/v1"
)

// maxKept bounds how many logs of containers that ended are kept.
const maxKept = 50

// keeper fetches the last lines of containers that ended while they can be had: a Job's controller deletes its pods when the Job
// fails, and their logs go with them.
type keeper struct {
	begin   func(fetch func(context.Context)) // in the time of the watch
	mu      sync.Mutex
	asked   map[string]bool     // by container and run
	lines   map[string][]string // by container, of the last run that had any
	fetches sync.WaitGroup
}

// of are the kept lines of a container, once those on their way have come.
func (k *keeper) of(key string) []string {
	k.fetches.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lines[key]
}

func (k *keeper) once(run string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked == nil {
		k.asked, k.lines = map[string]bool{}, map[string][]string{}
	}
	if k.asked[run] || len(k.asked) >= maxKept {
		return false
	}
	k.asked[run] = true
	return true
}

// keep fetches the log of each run of a pod's containers that ended badly.
func (w *watcher) keep(pod *core.Pod) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		last := lastEnd(status)
		if last == nil || last.ExitCode == 0 {
			continue
		}
		found := finding{object: podObject(pod), uid: pod.UID, container: status.Name}
		if !w.kept.once(fmt.Sprintf("%s/%d", found.key(), ended(status))) {
			continue
		}
		previous := status.State.Terminated == nil
		w.kept.begin(func(ctx context.Context) {
			if lines, _ := w.client.log(ctx, found, previous); len(lines) > 0 {
				w.kept.mu.Lock()
				w.kept.lines[found.key()] = lines
				w.kept.mu.Unlock()
			}
		})
	}
}
