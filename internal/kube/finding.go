package kube

import (
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// finding is what is the matter with one pod, or with an object that cannot be made or filled.
type finding struct {
	object    release.Object
	uid       types.UID
	container string
	reason    string // as the cluster words it
	message   string
	code      causes.Code // "": nothing that is known to be wrong
	// bears is how long it may stand before it counts.
	bears time.Duration
	// dependent: it may come of something else of the release that is not ready yet.
	dependent bool
	// made: what is missing may be made by a Job or a custom resource of the release.
	made    bool
	runs    int32     // of the container that have ended
	since   time.Time // when it began, where a look alone cannot tell; zero: when it was first seen
	started bool      // the container has run, so that there is a log
}

func (f finding) key() string { return string(f.uid) + "/" + f.container }

func podObject(pod *core.Pod) release.Object {
	return release.Object{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
}

// wording is an outsider's text, fit for a message that goes on after it.
func wording(text string) string {
	return cut(strings.TrimSuffix(strings.TrimSpace(printable(text)), "."), 512)
}

// shorten is a finding in one short line.
func shorten(found finding) string {
	if found.message == "" {
		return found.reason
	}
	return found.reason + ": " + cut(found.message, 160)
}

// ending says how a container ended.
func ending(ended *core.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with exit code %d", ended.ExitCode)
	if ended.Signal != 0 {
		text = fmt.Sprintf("ended by signal %d", ended.Signal)
	}
	if ended.Reason != "" && ended.Reason != "Error" && ended.Reason != "Completed" {
		text += " (" + wording(ended.Reason) + ")"
	}
	if message := wording(ended.Message); message != "" {
		text += ": " + message
	}
	return text
}
