package kube

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
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
	diagnosis := release.Diagnosis{Code: found.code, Object: found.object, Container: found.container,
		Reason: printable(found.reason), Message: found.message, Advice: found.code.Cause().Advice}
	var both sync.WaitGroup
	both.Go(func() { diagnosis.Events = c.eventsOf(ctx, found) })
	both.Go(func() { diagnosis.Logs, diagnosis.Previous = c.lastWords(ctx, found) })
	both.Wait()
	return diagnosis
}

// diagnose is the client's, with what the watch itself has heard and kept where the cluster has nothing to say any more.
func (w *watcher) diagnose(ctx context.Context, found finding) release.Diagnosis {
	diagnosis := w.client.diagnose(ctx, found)
	if len(diagnosis.Events) == 0 {
		diagnosis.Events = lines(w.about[found.uid])
	}
	if len(diagnosis.Logs) == 0 {
		diagnosis.Logs = w.kept.of(found.key())
	}
	if w.hook {
		diagnosis = hookUnderlying(diagnosis)
	}
	return diagnosis
}

// eventsOf are the last events about an object, oldest first.
func (c *Client) eventsOf(ctx context.Context, found finding) []string {
	if found.uid == "" {
		return nil
	}
	list, err := c.Kube.CoreV1().Events(found.object.Namespace).List(ctx, meta.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(found.uid)).String(), Limit: maxEventsAsked,
	})
	if err != nil {
		return nil
	}
	events := make([]*core.Event, len(list.Items))
	for i := range list.Items {
		events[i] = &list.Items[i]
	}
	slices.SortFunc(events, inOrder)
	return lines(events)
}

// lines are the last of some events, oldest first, a line each.
func lines(events []*core.Event) (told []string) {
	for _, event := range events[max(0, len(events)-maxEvents):] {
		times := ""
		if n := max(int(event.Count), seriesCount(event)); n > 1 {
			times = fmt.Sprintf(" (%d times)", n)
		}
		told = append(told, cut(printable(fmt.Sprintf("%s %s%s: %s", event.Type, event.Reason, times, event.Message)), maxEventBytes))
	}
	return told
}

// lastWords are the last lines of the container's log, and of its run before. Between two runs the kubelet gives the same for
// both.
func (c *Client) lastWords(ctx context.Context, found finding) (last, before []string) {
	if found.object.Kind != "Pod" || found.container == "" || !found.started {
		return nil, nil
	}
	var both sync.WaitGroup
	both.Go(func() { last, _ = c.log(ctx, found, false) })
	if found.runs > 0 {
		both.Go(func() { before, _ = c.log(ctx, found, true) })
	}
	both.Wait()
	if len(last) == 0 {
		last, before = before, nil
	}
	if slices.Equal(last, before) {
		before = nil
	}
	return last, before
}

// logGone is what the kubelet sends, as if it were the log, when the log has been taken away (pkg/kubelet/kuberuntime,
// GetContainerLogs).
const logGone = "unable to retrieve container logs for "

func (c *Client) log(ctx context.Context, found finding, previous bool) (lines []string, err error) {
	tail, limit := int64(maxLogLines), int64(maxLogBytes)
	stream, err := c.Kube.CoreV1().Pods(found.object.Namespace).GetLogs(found.object.Name, &core.PodLogOptions{
		Container: found.container, Previous: previous, TailLines: &tail, LimitBytes: &limit,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	scanner := bufio.NewScanner(io.LimitReader(stream, limit))
	scanner.Buffer(make([]byte, 0, 4<<10), maxLogBytes+1)
	for scanner.Scan() {
		if !strings.HasPrefix(scanner.Text(), logGone) {
			lines = append(lines, line(scanner.Text(), maxLogLine))
		}
	}
	return lines[max(0, len(lines)-maxLogLines):], cmp.Or(scanner.Err(), ctx.Err())
}
