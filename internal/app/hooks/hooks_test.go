package hooks

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// log is a reporter that keeps lines.
type log struct {
	release.Reporter
	lines []string
}

func (l *log) Infof(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}
func (l *log) Raw(line string) { l.lines = append(l.lines, line) }

// TestExplain: the pod of a Job that has failed says why; what is not there says nothing.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t)
	client, err := kube.New(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	failed := &batch.Job{TypeMeta: meta.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta.ObjectMeta{Name: "cleanup", Namespace: "staging", UID: "uid-cleanup"}}
	failed.Status.Conditions = []batch.JobCondition{{Type: batch.JobFailed, Status: core.ConditionTrue, Reason: "BackoffLimitExceeded"}}
	controls := true
	pod := &core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta.ObjectMeta{Name: "cleanup-x", Namespace: "staging", UID: "uid-pod",
		OwnerReferences: []meta.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "cleanup", UID: "uid-cleanup", Controller: &controls}}}}
	pod.Spec.Containers = []core.Container{{Name: "app"}}
	pod.Status.Phase = core.PodFailed
	pod.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", State: core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: 7, Reason: "Error"}}}}
	s.Put(failed, pod)
	reporter := new(log)
	hook := []release.Object{{APIVersion: "batch/v1", Kind: "Job", Namespace: "staging", Name: "cleanup"}}
	err = Explain(client, "staging", reporter)(t.Context(), hook)
	var diagnosed release.Diagnosed
	if !release.IsBadRelease(err) || release.ExitCode(err) != release.ExitFailed || !errors.As(err, &diagnosed) || !strings.Contains(err.Error(), "exit code 7") || !strings.Contains(err.Error(), "OD-112") {
		t.Errorf("got %v, and reported %q", err, reporter.lines)
	}
}
