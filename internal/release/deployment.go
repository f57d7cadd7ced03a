package release

import (
	"fmt"
	"slices"
	"time"
)

// Deployment is one release to install or upgrade: a chart, its values and the image it is pinned to.
type Deployment struct {
	Name        string // of the Helm release, a DNS label
	Namespace   string
	Environment Environment
	Image       Image
	Commit      Commit // of the image, "" if not known
	Chart       string // directory or .tgz
	ValuesFiles []string
	Set         []string // name=value, every value a string
	RunURL      string   // of the run that deploys, "" if none
	Actor       string   // who deploys, "" if not known
}

// Object names one object of the cluster.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

func (o Object) String() string { return fmt.Sprintf("%s/%s", o.Kind, o.Name) }

// Deployed is what installing, upgrading or rolling back did.
type Deployed struct {
	Outcome  Outcome // created, changed, unchanged or rolled-back
	Revision int     // of the Helm release, from 1; set with an error too, once the revision was recorded
	Objects  []Object
}

// Revision is one entry of a release's history.
type Revision struct {
	Number      int    // from 1
	Status      string // as Helm words it: deployed, superseded, failed, pending-upgrade…
	At          time.Time
	Commit      Commit // "" if the revision was not made by this pipeline, or from no known commit
	Digest      Digest // zero if the revision was not made by this pipeline
	RunURL      string // of the run that made it, "" if none
	Verified    bool   // its rollout was watched to readiness, and its smoke checks passed if any were asked for
	Description string
}

// Healed is a revision that a dead run had left pending, and that is marked as failed now.
type Healed struct {
	Revision int       `json:"revision"`
	Status   string    `json:"status"` // what it was left as: pending-install, pending-upgrade, pending-rollback, uninstalling
	At       time.Time `json:"at"`
	RunURL   string    `json:"runURL,omitempty"` // of the run that left it, "" if not known
}

// RollbackTarget is what a rollback would go back to, and what keeps it from working.
type RollbackTarget struct {
	Revision  int // the last verified one; 0 if there is none
	Commit    Commit
	Digest    Digest
	Image     Image    // zero if the revision was not made by this pipeline
	Obstacles []string // why going back cannot work, each in one line; none if nothing is known against it
}

// SplitByDigest sorts pods by whether one of their containers runs the digest: those that do by name, and of the others what
// they run instead. A pod's further containers, as sidecars, may run what they like.
func SplitByDigest(images []PodImage, digest Digest) (pods []string, others []PodImage) {
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
