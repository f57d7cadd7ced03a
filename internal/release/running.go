package release

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Running is what a release's workloads run, as the cluster reports it.
type Running struct {
	Workloads []RunningWorkload // whose pod template names the image
	Others    []string          // containers whose template names another image of the same repository: "Deployment/shop migrate: REPO:TAG"
	Unread    []string          // kinds whose workloads this user may not list, so that none of them is here
}

// RunningWorkload is a workload whose pod template names the image, with its pods.
type RunningWorkload struct {
	Object Object
	Wants  bool   // it wants pods now
	Note   string // why it wants none, or why none can be shown; may be empty
	Pods   []PodImage
}

// PodImage is a container of a pod that is meant to run the image.
type PodImage struct {
	Pod        string
	Container  string
	Node       string
	Digest     Digest     // that the kubelet reports (status.containerStatuses[].imageID); zero if it reports none
	Repository Repository // that the kubelet reports beside it; "" if none
	ImageID    string     // as the kubelet reports it, "" before the container was created
	Ready      bool       // the container is
	Named      bool       // the pod's own spec names the image's digest for this container
	Held       string     // why the pod is meant to stay at an older revision, "" if it is not
	Outdated   bool       // it is of an older revision, and is to be replaced
}

// PlatformImage is the image of one platform that a digest stands for: itself, or a child of an index. Attestations are none.
type PlatformImage struct {
	Platform Platform // zero if the manifest names none
	Manifest Digest
	Config   Digest // of the manifest's config, which names the content of every layer
}

// Contents finds out what images consist of.
type Contents interface {
	// Platforms lists the images that a digest stands for; false if the repository does not have it.
	Platforms(ctx context.Context, image Image) ([]PlatformImage, bool, error)
	// NodePlatform is the platform of a node.
	NodePlatform(ctx context.Context, node string) (Platform, error)
}

// RunningProof is what can be said of a release's pods.
type RunningProof struct {
	Pods     []string // that run the image in every container that is meant to, sorted
	Notes    []string // what else to report: workloads that want no pod, pods that are meant to stay at an older revision
	Problems []string // what contradicts that the release runs the image
	Pending  bool     // the problems are only that no pod has started yet
	Held     bool     // pods are meant to stay at an older revision
	Idle     bool     // no workload wants a pod, so that nothing can run the image
}

// Prove compares what the pods run with the image. Images are compared by content: a node that has pulled the same content by several
// digests (an index that was pushed again with one attestation more, a child of an index, another repository) reports any one of them
// (containerd, internal/cri/server, toContainerStatus: the first of the image's references).
//
// The error says that a question could not be answered, and nothing about the release.
func (r Running) Prove(ctx context.Context, image Image, contents Contents) (RunningProof, error) {
	comparison := &comparison{image: image, contents: contents, platforms: map[Image]found{}}
	proof := RunningProof{Idle: len(r.Workloads) > 0}
	if len(r.Workloads) == 0 {
		problem := fmt.Sprintf("no workload of the release names %s", image.Digest)
		if len(r.Others) > 0 {
			problem += ", but " + strings.Join(r.Others, ", ")
		}
		proof.Problems = append(proof.Problems, problem)
		return proof, nil
	}
	for _, workload := range r.Workloads {
		proof.Idle = proof.Idle && !workload.Wants
		if err := proof.add(ctx, workload, comparison); err != nil {
			return proof, err
		}
	}
	for _, other := range r.Others {
		proof.Notes = append(proof.Notes, "not compared, because it names another image of the repository: "+other)
	}
	if len(r.Unread) > 0 {
		proof.Notes = append(proof.Notes, "not compared, because they may not be listed: workloads of kind "+strings.Join(r.Unread, ", "))
	}
	proof.Pending = len(proof.Problems) > 0 && len(proof.Problems) == comparison.pending
	slices.Sort(proof.Pods)
	return proof, nil
}

// add adds the pods of one workload.
func (p *RunningProof) add(ctx context.Context, workload RunningWorkload, comparison *comparison) error {
	pods := map[string]bool{} // whether every container of the pod runs the image
	held := false
	var starting []string
	for _, container := range workload.Pods {
		if _, seen := pods[container.Pod]; !seen {
			pods[container.Pod] = true
		}
		if container.ImageID == "" && !container.Outdated && container.Held == "" {
			pods[container.Pod] = false
			starting = append(starting, container.Pod)
			continue
		}
		same, err := comparison.runs(ctx, container)
		switch {
		case err != nil:
			return err
		case same:
		case container.Held != "":
			pods[container.Pod], held, p.Held = false, true, true
			p.Notes = append(p.Notes, fmt.Sprintf("pod %q of %s stays at an older revision: %s", container.Pod, workload.Object, container.Held))
		default:
			pods[container.Pod] = false
			p.Problems = append(p.Problems, container.problem(comparison.image.Digest))
		}
	}
	running := 0
	for pod, all := range pods {
		if all {
			running++
			p.Pods = append(p.Pods, pod)
		}
	}
	switch {
	case workload.Wants && running == 0 && len(starting) > 0:
		comparison.pending++
		p.Problems = append(p.Problems, fmt.Sprintf("no pod of %s has started its containers: %s", workload.Object, strings.Join(starting, ", ")))
	case workload.Wants && len(workload.Pods) == 0 && !held:
		comparison.pending++
		what := fmt.Sprintf("no pod of %s runs", workload.Object)
		if workload.Note != "" {
			what += ": " + workload.Note
		}
		p.Problems = append(p.Problems, what)
	case workload.Note != "" && running == 0:
		p.Notes = append(p.Notes, fmt.Sprintf("%s %s", workload.Object, workload.Note))
	}
	return nil
}

// problem says what the container runs instead.
func (i PodImage) problem(wanted Digest) string {
	runs := i.Digest.String()
	if runs == "" {
		runs = fmt.Sprintf("image %q", i.ImageID)
	}
	text := fmt.Sprintf("pod %q runs %s in container %q, not %s", i.Pod, runs, i.Container, wanted)
	if i.Outdated {
		text += " (it is of an older revision that has not been replaced yet)"
	}
	return text
}

// comparison compares the contents of images with one image, and asks for each image once.
type comparison struct {
	image     Image
	contents  Contents
	platforms map[Image]found
	pending   int // problems that time may solve
}

type found struct {
	images []PlatformImage
	exists bool
	err    error
}

// runs reports whether a container runs the content of the image.
func (c *comparison) runs(ctx context.Context, container PodImage) (bool, error) {
	if container.Digest.IsZero() {
		return false, nil
	}
	if container.Digest == c.image.Digest {
		return true, nil
	}
	wanted, err := c.read(ctx, c.image)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(wanted.images, func(i PlatformImage) bool { return i.Manifest == container.Digest || i.Config == container.Digest }) {
		return true, nil
	}
	reported, err := c.reported(ctx, container)
	if err != nil || len(reported) == 0 {
		return false, err
	}
	return c.sameContent(ctx, wanted.images, reported, container)
}

// reported reads what the digest that the kubelet reports stands for: in the image's repository, or in the one that the kubelet names
// if that is in the same registry. No other registry is asked, because a node's status must not choose which hosts get requests. A
// digest that is in neither is another image.
func (c *comparison) reported(ctx context.Context, container PodImage) ([]PlatformImage, error) {
	repositories := []Repository{c.image.Repository}
	if other := container.Repository; other != "" && other != c.image.Repository && other.Host() == c.image.Repository.Host() {
		repositories = append(repositories, other)
	}
	for _, repository := range repositories {
		read, err := c.read(ctx, repository.At(container.Digest))
		if err != nil && repository == c.image.Repository {
			return nil, err
		}
		if err == nil && read.exists {
			return read.images, nil
		}
	}
	return nil, nil
}

func (c *comparison) read(ctx context.Context, image Image) (found, error) {
	known, asked := c.platforms[image]
	if !asked {
		known.images, known.exists, known.err = c.contents.Platforms(ctx, image)
		c.platforms[image] = known
	}
	return known, known.err
}

// sameContent reports whether both stand for the same content on the container's node. The node is asked for its platform only if they
// agree on some platforms and not on others. If this user may not read nodes, a pod whose spec names the wanted digest settles it: the
// runtime has resolved that one, and reports another name of what it found.
func (c *comparison) sameContent(ctx context.Context, wanted, reported []PlatformImage, container PodImage) (bool, error) {
	all, some := compareImages(wanted, reported)
	if all || !some {
		return all, nil
	}
	platform, err := c.contents.NodePlatform(ctx, container.Node)
	if err != nil {
		if container.Named {
			err = nil
		}
		return err == nil, err
	}
	var there []PlatformImage
	for _, image := range reported {
		if image.Platform.OS == platform.OS && image.Platform.Architecture == platform.Architecture {
			there = append(there, image)
		}
	}
	all, _ = compareImages(wanted, there)
	return all, nil
}

// compareImages reports whether all of the reported images are among the wanted ones, and whether some are; neither if there are none.
func compareImages(wanted, reported []PlatformImage) (all, some bool) {
	all = len(reported) > 0
	for _, image := range reported {
		same := slices.ContainsFunc(wanted, func(w PlatformImage) bool {
			return w.Manifest == image.Manifest || w.Config == image.Config && !w.Config.IsZero()
		})
		all, some = all && same, some || same
	}
	return all, some
}
