// Package diagnose explains why a pod, or a workload's pods, are not ready. It sends no request: its input is what the API
// reported (pods, their events, their workload) and the history of their containers, its output is a Finding.
package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Finding is what is wrong with one pod, or with an object that cannot be created or bound.
type Finding struct {
	Object    release.Object
	UID       types.UID // of the object
	Container string    // "" if the finding is about no container
	Reason    string    // Kubernetes' reason, in CamelCase
	Message   string    // one line, at most 512 bytes
	Code      causes.Code
	// Grace is how long the finding may last before it counts as a failure; GraceNever: time alone never makes it a failure. A
	// finding without a code never counts as a failure.
	Grace time.Duration
	// Dependent: another object of the release, which is not ready yet, may be the cause.
	Dependent bool
	// MayBeCreated is set if an object is missing that a Job or a custom resource of the release may still create.
	MayBeCreated bool
	// Hopeless is set if no node takes the pod and an autoscaler says that none of its nodes would: only a change of the cluster or of the release helps.
	Hopeless bool
	// Leaving is how much longer pods that are being deleted, and that may make room, may take to end; 0 if there are none, or if none can help. The finding's
	// grace counts from their end.
	Leaving time.Duration
	// Report identifies the last report of an attempt that failed, where the kubelet or a controller doubles the pause before each attempt; "" otherwise. The
	// finding says nothing about the time since.
	Report  string
	Runs    int32     // runs of the container that have ended
	Since   time.Time // when it began, if an earlier observation shows it; zero: when it was first seen
	Started bool      // the container has run at least once, so that it has a log
	Killed  bool      // the pod is being deleted, and shows no failure of its own
}

// Key identifies what a finding is about: the object and the container.
func (f Finding) Key() string { return string(f.UID) + "/" + f.Container }

// Short returns a finding in one line of at most some 200 bytes.
func (f Finding) Short() string {
	if f.Message == "" {
		return f.Reason
	}
	return f.Reason + ": " + text.Truncate(f.Message, 160)
}

// PodObject names a pod.
func PodObject(pod *core.Pod) release.Object {
	return release.Object{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
}

// maxMessage bounds a message, in bytes.
const maxMessage = 512

// Message makes a text of the cluster one line of at most 512 bytes, without a full stop, so that another sentence can follow.
func Message(outside string) string {
	return strings.TrimSuffix(text.Line(outside, maxMessage), ".")
}

// terminationMessage describes how a container ended.
func terminationMessage(terminated *core.ContainerStateTerminated) string {
	said := fmt.Sprintf("ended with exit code %d", terminated.ExitCode)
	if terminated.Signal != 0 {
		said = fmt.Sprintf("ended by signal %d", terminated.Signal)
	}
	if terminated.Reason != "" && terminated.Reason != "Error" && terminated.Reason != "Completed" {
		said += " (" + Message(terminated.Reason) + ")"
	}
	if message := Message(terminated.Message); message != "" {
		said += ": " + message
	}
	return said
}
