package cluster

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// Bounds of a diagnosis.
const (
	diagnosisTime  = 3 * time.Second
	maxEvents      = 5
	maxEventBytes  = 1 << 10 // of one
	maxLogLines    = 20
	maxLogBytes    = 64 << 10 // of all
	maxLogLine     = 4 << 10
	maxEventsAsked = 100
)

// diagnose adds the cluster's events and the container's last words to a finding. It has its own time: that of the context
// is often what has run out. What cannot be fetched is left out.
func (c *Client) diagnose(ctx context.Context, found finding) release.Diagnosis {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnosisTime)
	defer cancel()
	diagnosis := release.Diagnosis{Object: found.object, Container: found.container, Reason: printable(found.reason), Message: found.message}
	var both sync.WaitGroup
	both.Go(func() { diagnosis.Events = c.eventsOf(ctx, found) })
	both.Go(func() { diagnosis.Logs = c.lastWords(ctx, found) })
	both.Wait()
	return diagnosis
}

// eventsOf are the last events about an object, oldest first.
func (c *Client) eventsOf(ctx context.Context, found finding) (lines []string) {
	if found.uid == "" {
		return nil
	}
	list, err := c.kube.CoreV1().Events(found.object.Namespace).List(ctx, meta.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(found.uid)).String(), Limit: maxEventsAsked,
	})
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list.Items, func(a, b core.Event) int { return lastSeen(a).Compare(lastSeen(b)) })
	for _, event := range list.Items[max(0, len(list.Items)-maxEvents):] {
		times := ""
		if n := max(int(event.Count), seriesCount(event)); n > 1 {
			times = fmt.Sprintf(" (%d times)", n)
		}
		lines = append(lines, cut(printable(fmt.Sprintf("%s %s%s: %s", event.Type, event.Reason, times, event.Message)), maxEventBytes))
	}
	return lines
}

func lastSeen(event core.Event) time.Time {
	latest := event.CreationTimestamp.Time
	for _, t := range []time.Time{event.LastTimestamp.Time, event.EventTime.Time, seriesTime(event)} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

func seriesTime(event core.Event) time.Time {
	if event.Series == nil {
		return time.Time{}
	}
	return event.Series.LastObservedTime.Time
}

func seriesCount(event core.Event) int {
	if event.Series == nil {
		return 0
	}
	return int(event.Series.Count)
}

// lastWords are the last lines of the container's log: of the run that ended, if it is between two.
func (c *Client) lastWords(ctx context.Context, found finding) []string {
	if found.object.Kind != "Pod" || found.container == "" || !found.started {
		return nil
	}
	previous := found.cause != nil && found.cause.crashed && found.cause.reason != "PodFailed" && found.cause.reason != "JobFailed"
	for _, last := range []bool{previous, !previous} {
		if lines, err := c.log(ctx, found, last); err == nil && len(lines) > 0 {
			return lines
		}
	}
	return nil
}

func (c *Client) log(ctx context.Context, found finding, previous bool) (lines []string, err error) {
	tail, limit := int64(maxLogLines), int64(maxLogBytes)
	stream, err := c.kube.CoreV1().Pods(found.object.Namespace).GetLogs(found.object.Name, &core.PodLogOptions{
		Container: found.container, Previous: previous, TailLines: &tail, LimitBytes: &limit,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	scanner := bufio.NewScanner(io.LimitReader(stream, limit))
	scanner.Buffer(make([]byte, 0, 4<<10), maxLogBytes+1)
	for scanner.Scan() {
		lines = append(lines, line(scanner.Text(), maxLogLine))
	}
	return lines[max(0, len(lines)-maxLogLines):], cmp.Or(scanner.Err(), ctx.Err())
}
