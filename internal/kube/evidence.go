package kube

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// EvidenceTime limits the requests for the evidence of one failure.
const EvidenceTime = 3 * time.Second

// Limits of the evidence.
const (
	maxLogLines        = 20
	maxLogBytes        = 64 << 10 // of all lines
	maxLogLine         = 4 << 10
	maxEventsRequested = 100
)

// Diagnose adds the cluster's events and the container's last log lines to a finding. It takes at most EvidenceTime. It does not
// end with the context, because the failure may be that the context's deadline has passed. It leaves out what cannot be fetched.
func (c *Client) Diagnose(ctx context.Context, found diagnose.Finding) release.Diagnosis {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), EvidenceTime)
	defer cancel()
	diagnosis := release.Diagnosis{Code: found.Code, Object: found.Object, Container: found.Container,
		Reason: text.Line(found.Reason, text.NoLimit), Message: found.Message, Advice: found.Code.Cause().Advice}
	var both sync.WaitGroup
	both.Go(func() { diagnosis.Events = c.eventsAbout(ctx, found) })
	both.Go(func() { diagnosis.Logs, diagnosis.Previous = c.lastLogs(ctx, found) })
	both.Wait()
	return diagnosis
}

// eventsAbout returns the last events about an object, oldest first.
func (c *Client) eventsAbout(ctx context.Context, found diagnose.Finding) []string {
	if found.UID == "" {
		return nil
	}
	list, err := c.Events(found.Object.Namespace).List(ctx, meta.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(found.UID)).String(), Limit: maxEventsRequested,
	})
	if err != nil {
		return nil
	}
	events := make([]*core.Event, len(list.Items))
	for i := range list.Items {
		events[i] = &list.Items[i]
	}
	diagnose.SortEvents(events)
	return diagnose.EventLines(events)
}

// lastLogs returns the last lines of the container's current run and of the previous run. Between two runs the kubelet returns
// the same log for both.
func (c *Client) lastLogs(ctx context.Context, found diagnose.Finding) (present, previous []string) {
	if found.Object.Kind != "Pod" || found.Container == "" || !found.Started {
		return nil, nil
	}
	var both sync.WaitGroup
	both.Go(func() { present, _ = c.ContainerLog(ctx, found.Object, found.Container, false) })
	if found.Runs > 0 {
		both.Go(func() { previous, _ = c.ContainerLog(ctx, found.Object, found.Container, true) })
	}
	both.Wait()
	if len(present) == 0 {
		present, previous = previous, nil
	}
	if slices.Equal(present, previous) {
		previous = nil
	}
	return present, previous
}

// LogRemoved is the start of the line that the kubelet sends instead of a log that was removed (pkg/kubelet/kuberuntime,
// GetContainerLogs).
const LogRemoved = "unable to retrieve container logs for "

// ContainerLog returns the log of a pod's container, or of its previous run: the last 20 lines, at most 64 KiB, each line at most
// 4 KiB. It also returns the lines that it has read if there is an error.
func (c *Client) ContainerLog(ctx context.Context, pod release.Object, container string, previous bool) (lines []string, err error) {
	if err := c.readSecretsOf(ctx, pod); err != nil {
		return nil, err
	}
	tail, limit := int64(maxLogLines), int64(maxLogBytes)
	stream, err := c.podLogs(pod.Namespace, pod.Name, &core.PodLogOptions{
		Container: container, Previous: previous, TailLines: &tail, LimitBytes: &limit,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	scanner := bufio.NewScanner(io.LimitReader(stream, limit))
	scanner.Buffer(make([]byte, 0, 4<<10), maxLogBytes+1)
	for scanner.Scan() {
		if !strings.HasPrefix(scanner.Text(), LogRemoved) {
			lines = append(lines, text.LogLine(scanner.Text(), maxLogLine))
		}
	}
	return lines[max(0, len(lines)-maxLogLines):], cmp.Or(scanner.Err(), ctx.Err())
}

// readSecretsOf reads the Secrets that a pod gets, each once. The client's transport adds their values to those that no output shows
// (kubeconfig.CollectSecrets), because a log may give one back. A Secret that does not exist or may not be read is left out; any other error means that
// the log cannot be shown.
func (c *Client) readSecretsOf(ctx context.Context, pod release.Object) error {
	pods, err := c.Pods(pod.Namespace).List(ctx, meta.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", pod.Name).String()})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxReads)
	for i := range pods.Items {
		for _, name := range secretsOf(&pods.Items[i].Spec) {
			read := c.secretRead(pod.Namespace + "/" + name)
			group.Go(func() error {
				return read.once(func() error {
					_, err := c.secrets(pod.Namespace).Get(ctx, name, meta.GetOptions{})
					return err
				})
			})
		}
	}
	return group.Wait()
}

// secretRead is what is known of reading a Secret.
type secretRead struct {
	mu   sync.Mutex
	done bool
}

// secretRead returns what is known of reading "namespace/name".
func (c *Client) secretRead(name string) *secretRead {
	c.secretReadsMu.Lock()
	defer c.secretReadsMu.Unlock()
	if c.secretReads == nil {
		c.secretReads = map[string]*secretRead{}
	}
	if c.secretReads[name] == nil {
		c.secretReads[name] = new(secretRead)
	}
	return c.secretReads[name]
}

// once reads the Secret unless it is read already.
func (r *secretRead) once(get func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return nil
	}
	err := get()
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		err = nil
	}
	r.done = err == nil
	return err
}

// secretsOf returns the names of the Secrets that a pod's containers get as variables or files.
func secretsOf(spec *core.PodSpec) (names []string) {
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range container.EnvFrom {
			if from.SecretRef != nil {
				names = append(names, from.SecretRef.Name)
			}
		}
		for _, variable := range container.Env {
			if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
				names = append(names, variable.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, volume := range spec.Volumes {
		if volume.Secret != nil {
			names = append(names, volume.Secret.SecretName)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}
