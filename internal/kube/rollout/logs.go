package rollout

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
)

// maxCachedLogs is how many logs of ended containers are fetched.
const maxCachedLogs = 50

// endedRun is a run of a container that ended with an error.
type endedRun struct {
	pod       release.Object
	key       string // of the container, as diagnose.Finding.Key
	container string
	run       int32
	previous  bool // the container has started again
}

// endedRuns returns, for each container of a pod, its last run that ended with an error.
func endedRuns(pod *core.Pod) (runs []endedRun) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if last := diagnose.LastTermination(status); last != nil && last.ExitCode != 0 && !diagnose.Killed(pod, last) {
			key := diagnose.Finding{UID: pod.UID, Container: status.Name}.Key()
			runs = append(runs, endedRun{pod: diagnose.PodObject(pod), key: key, container: status.Name,
				run: diagnose.EndedRuns(status), previous: status.State.Terminated == nil})
		}
	}
	return runs
}

// logCache fetches the last log lines of containers that ended. It fetches them early: when a Job fails, its controller deletes
// its pods with their logs. Several goroutines may use it.
type logCache struct {
	read func(endedRun) []string

	fetches sync.WaitGroup
	mu      sync.Mutex
	asked   map[string]bool     // by container and run
	lines   map[string][]string // by container: the last run that logged anything
}

// newLogCache returns a cache whose requests end with the context.
func newLogCache(ctx context.Context, client *kube.Client) *logCache {
	read := func(run endedRun) []string {
		ctx, cancel := context.WithTimeout(ctx, kube.EvidenceTime)
		defer cancel()
		lines, _ := client.ContainerLog(ctx, run.pod, run.container, run.previous)
		return lines
	}
	return &logCache{read: read, asked: map[string]bool{}, lines: map[string][]string{}}
}

// fetch starts to fetch the logs of runs that are not fetched yet.
func (c *logCache) fetch(runs []endedRun) {
	for _, run := range runs {
		if !c.claim(fmt.Sprintf("%s/%d", run.key, run.run)) {
			continue
		}
		c.fetches.Go(func() {
			if lines := c.read(run); len(lines) > 0 {
				c.mu.Lock()
				c.lines[run.key] = lines
				c.mu.Unlock()
			}
		})
	}
}

// claim reports whether the caller must fetch a run's log; it returns true once per run.
func (c *logCache) claim(run string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[run] || len(c.asked) >= maxCachedLogs {
		return false
	}
	c.asked[run] = true
	return true
}

// linesOf returns the last lines of a container's log. It waits for the running requests.
func (c *logCache) linesOf(container string) []string {
	c.fetches.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[container]
}
