package release

import (
	"fmt"
	"slices"
	"time"
)

// Deployment is one release to install or upgrade: a chart, its values and the image it is pinned to.
type Deployment struct {
	Name            string // of the Helm release, a DNS label
	Namespace       string
	Environment     Environment
	Image           Image
	Commit          Commit // of the image, "" if not known
	Chart           string // directory or .tgz
	ValuesFiles     []string
	Set             []string // name=value, every value a string
	RunURL          string   // of the run that deploys, "" if none
	Actor           string   // who deploys, "" if not known
	CreateNamespace bool
}

// Object names one object of the cluster.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
}

func (o Object) String() string { return fmt.Sprintf("%s/%s", o.Kind, o.Name) }

// Deployed is what installing or upgrading did.
type Deployed struct {
	Outcome  Outcome // created, changed or unchanged
	Revision int     // of the Helm release, from 1
	Objects  []Object
}

// RolloutStep is one change seen while a rollout is watched.
type RolloutStep struct {
	At      time.Duration // since the watch began
	Object  Object
	Ready   int // pods or replicas ready; -1 where the kind does not count
	Desired int
	Done    bool
	Message string
}

// Diagnosis says why a rollout cannot become ready.
type Diagnosis struct {
	Object    Object // the pod, or the object that could not be created
	Container string
	Reason    string // as the cluster words it: "ImagePullBackOff"
	Message   string
	Events    []string // oldest first, at most 5
	Logs      []string // last lines of the container, at most 20
}

// Running sorts pods by whether one of their containers runs the digest: those that do by name, and of the others what
// they run instead. A pod's further containers, as sidecars, may run what they like.
func Running(images []PodImage, digest Digest) (pods []string, others []PodImage) {
	runs := map[string]bool{}
	for _, image := range images {
		runs[image.Pod] = runs[image.Pod] || image.Digest == digest
	}
	for _, image := range images {
		switch {
		case !runs[image.Pod]:
			others = append(others, image)
		case image.Digest == digest && !slices.Contains(pods, image.Pod):
			pods = append(pods, image.Pod)
		}
	}
	return pods, others
}

// PodImage is what the kubelet reports that a pod's container runs.
type PodImage struct {
	Pod       string
	Container string
	Digest    Digest // of status.containerStatuses[].imageID; zero if the kubelet names none
	Ready     bool
}
