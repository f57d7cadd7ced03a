package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Running lists what a release's workloads run, as the cluster reports it.
type Running struct {
	Workloads []RunningWorkload // workloads whose pod template contains the image
	Others    []string          // containers whose template contains another image of the same repository: "Deployment/shop migrate: REPO:TAG"
	Unread    []string          // kinds whose workloads this user may not list; they are missing in Workloads
	// RecordUnread: Helm's record of the release may not be read, so that only workloads with a label of the release are in Workloads.
	RecordUnread bool
	Hooks        []Object // hooks of the live revision that name the image and succeeded
	Named        []Object // other objects and hooks of the live revision that name the image, whose pods, if they have any, are not compared
}

// RunningWorkload is a workload whose pod template contains the image, with its pods.
type RunningWorkload struct {
	Object    Object
	WantsPods bool   // it wants pods at present
	Note      string // why it wants no pods, or why none can be shown; may be empty
	Failed    string // why a Job has failed for good; "" if it has not
	Unfound   string // why the pods of a custom resource that names the image outside of a pod template cannot be compared; "" if they are
	// Patience is how long its controller is given to make pods, if it is a custom resource without pods and no field says how many it wants; 0 otherwise.
	Patience time.Duration
	Changed  time.Time // with Patience, when its spec last changed, by the cluster's clock
	// ByPods: its status does not say whether its pods are ready, so that only those that are count as running the image.
	ByPods bool
	Pods   []PodImage
	// Terminating are pods that are being deleted and have not ended, of any revision. A load balancer may send them new connections yet.
	Terminating []string
}

// PodImage is a container of a pod that should run the image.
type PodImage struct {
	Pod         string
	Container   string
	Node        string
	Digest      Digest     // reported by the kubelet (status.containerStatuses[].imageID); zero if it reports none
	Repository  Repository // reported by the kubelet with the digest; "" if none
	ImageID     string     // container id reported by the kubelet; "" before the container was created
	Ready       bool       // the container is ready, and its pod is
	Unready     bool       // the pod has started, and a container of it is not ready
	Restarts    int        // of the container
	Restarting  bool       // the pod is not ready because a container of it has ended, and has not become ready again
	Unscheduled bool       // the scheduler has not assigned the pod to a node
	Named       bool       // the pod's own spec contains the image's digest for this container
	HeldBack    string     // why the pod stays at an older revision, "" if it should be replaced
	Outdated    bool       // it is of an older revision, and will be replaced
}

// HasReadyPod reports whether a pod is ready in every container that runs the image. Pods of an older revision that will be replaced
// do not count.
func (w RunningWorkload) HasReadyPod() bool {
	isReady := map[string]bool{}
	for _, container := range w.Pods {
		before, seen := isReady[container.Pod]
		isReady[container.Pod] = (before || !seen) && container.Ready && !container.Outdated
	}
	return slices.Contains(slices.Collect(maps.Values(isReady)), true)
}

// RestartsByPods returns how often the containers have restarted of which only their pods say whether they are ready; false if there are none.
func (r Running) RestartsByPods() (restarts int, found bool) {
	for _, workload := range r.Workloads {
		for _, container := range workload.Pods {
			if workload.ByPods && container.Named {
				restarts, found = restarts+container.Restarts, true
			}
		}
	}
	return restarts, found
}

// Down says why a workload does not serve the image: it wants pods and none is ready, or a pod of its current revision ends again and again. It
// returns "" otherwise. A pod that is starting is no reason while another is ready: an autoscaler may have added it.
func (w RunningWorkload) Down() string {
	switch {
	case !w.WantsPods:
		return ""
	case !w.HasReadyPod() && len(w.Pods) == 0 && w.Note != "":
		return fmt.Sprintf("%s has no ready pod: %s", w.Object, w.Note)
	case !w.HasReadyPod():
		return fmt.Sprintf("%s has no ready pod", w.Object)
	}
	for _, container := range w.Pods {
		if container.Restarting && container.Named && !container.Outdated {
			return fmt.Sprintf("pod %q of %s restarts and is not ready", container.Pod, w.Object)
		}
	}
	return ""
}

// AwaitsNode returns the reason if a workload is down only because no pod of its current revision can be scheduled. A node may be added, so this says
// nothing about the image. It returns "" otherwise.
func (w RunningWorkload) AwaitsNode() string {
	if w.Down() == "" {
		return ""
	}
	var pods []string
	for _, container := range w.Pods {
		switch {
		case container.Outdated || container.HeldBack != "":
		case !container.Unscheduled:
			return ""
		case !slices.Contains(pods, container.Pod):
			pods = append(pods, container.Pod)
		}
	}
	if len(pods) == 0 {
		return ""
	}
	return fmt.Sprintf("no node takes pod %q of %s", pods[0], w.Object)
}

// PlatformImage is an image for one platform: the image of a digest itself, or a child of an index. Attestations are not
// included.
type PlatformImage struct {
	Platform Platform // zero if neither the index nor the image's config says it
	Manifest Digest
	Config   Digest // of the manifest's config, which names the content of every layer
}

// Contents reads what images consist of.
type Contents interface {
	// Platforms lists the images of a digest: the digest itself, or the children of an index; false if the repository does not
	// have it.
	Platforms(ctx context.Context, image Image) ([]PlatformImage, bool, error)
	// NodePlatform returns the platform of a node.
	NodePlatform(ctx context.Context, node string) (Platform, error)
}

// RunningProof is the result of comparing a release's pods with the image.
type RunningProof struct {
	Pods     []string // pods that run the image in every container that should, sorted
	Notes    []string // remarks: workloads that want no pod, pods that stay at an older revision
	Unfound  []string // custom resources whose pods cannot be compared, and why
	Problems []string // evidence that the release does not run the image
	Pending  bool     // the only problem is that no pod has started yet
	HeldBack bool     // some pods are held back at an older revision by their workload's settings (OnDelete, a partition)
	Held     []string // those of Notes that say which pods are
	Idle     bool     // no workload wants a pod, so that nothing runs the image
	Awaited  []Object // custom resources without pods whose controllers may still make some
	// Patience is the longest of theirs, and Changed when the newest of them changed.
	Patience time.Duration
	Changed  time.Time
	Hooked   bool // no workload names the image, and hooks ran it to their end
}

// recentChange is how old a change of a custom resource may be whose controller is waited for. It is well above the patience, because the clocks of the cluster and
// the run may differ.
const recentChange = 10 * time.Minute

// ChangedRecently reports whether the controllers of the custom resources without pods may still be about to make some.
func (p RunningProof) ChangedRecently(now time.Time) bool { return now.Sub(p.Changed) < recentChange }

// Prove compares what the pods run with the image. It compares content, not only digests. A node may have pulled the same content
// by several digests: of an index that was pushed again with one more attestation, of an index's child, or in another repository.
// It then reports any of them (containerd, internal/cri/server, toContainerStatus: the first of the image's references).
//
// An error means that a question could not be answered; it says nothing about the release.
func (r Running) Prove(ctx context.Context, image Image, contents Contents) (RunningProof, error) {
	comparison := &comparison{image: image, contents: contents, platforms: map[Image]found{}}
	proof := RunningProof{Idle: len(r.Workloads) > 0}
	if len(r.Workloads) == 0 && len(r.Hooks) > 0 {
		for _, hook := range r.Hooks {
			proof.Notes = append(proof.Notes, fmt.Sprintf("hook %s ran %s to its end", hook, image.Digest.Short()))
		}
		proof.Idle, proof.Hooked = true, true
		return proof, nil
	}
	if len(r.Workloads) == 0 && len(r.Named) > 0 && len(r.Others) == 0 {
		for _, object := range r.Named {
			proof.Notes = append(proof.Notes, fmt.Sprintf("%s names %s outside of a workload, so no pod is compared", object, image.Digest.Short()))
		}
		proof.Idle = true
		return proof, nil
	}
	if len(r.Workloads) == 0 {
		problem := fmt.Sprintf("no workload of the release names %s", image.Digest)
		if len(r.Others) > 0 {
			problem += ", but " + strings.Join(r.Others, ", ")
		}
		if r.RecordUnread {
			problem += "; Helm's record of it may not be read, so only workloads with its label were looked at: allow get and list of secrets, as docs/rbac/smoke.yaml does"
		}
		proof.Problems = append(proof.Problems, problem)
		return proof, nil
	}
	for _, workload := range r.Workloads {
		proof.Idle = proof.Idle && !workload.WantsPods
		proof.await(workload)
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

// await adds a workload whose controller may still create pods.
func (p *RunningProof) await(workload RunningWorkload) {
	if workload.Patience <= 0 {
		return
	}
	p.Awaited, p.Patience = append(p.Awaited, workload.Object), max(p.Patience, workload.Patience)
	if workload.Changed.After(p.Changed) {
		p.Changed = workload.Changed
	}
}

// add compares the pods of one workload and adds the result to the proof.
func (p *RunningProof) add(ctx context.Context, workload RunningWorkload, comparison *comparison) error {
	pods := map[string]bool{} // every container of the pod runs the image
	held := false
	var starting, unready []string
	for _, container := range workload.Pods {
		if _, seen := pods[container.Pod]; !seen {
			pods[container.Pod] = true
		}
		if container.ImageID == "" && !container.Outdated && (container.HeldBack == "" || container.Named) {
			pods[container.Pod] = false
			starting = append(starting, container.Pod)
			continue
		}
		same, err := comparison.runs(ctx, container)
		switch {
		case err != nil:
			return err
		case same && workload.ByPods && !container.Ready:
			pods[container.Pod] = false
			unready = append(unready, container.Pod)
		case same:
		case container.HeldBack != "":
			pods[container.Pod], held, p.HeldBack = false, true, true
			stays := fmt.Sprintf("pod %q of %s stays at an older revision: %s", container.Pod, workload.Object, container.HeldBack)
			p.Notes, p.Held = append(p.Notes, stays), append(p.Held, stays)
		default:
			pods[container.Pod] = false
			p.Problems = append(p.Problems, container.problem(comparison.image.Digest))
			if container.Named { // its pod was changed in place, and the kubelet may not have started the container again
				comparison.pending++
			}
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
	case workload.WantsPods && running == 0 && len(starting) > 0:
		comparison.pending++
		p.Problems = append(p.Problems, fmt.Sprintf("no pod of %s has started its containers: %s", workload.Object, strings.Join(starting, ", ")))
	case workload.WantsPods && running == 0 && len(unready) > 0:
		slices.Sort(unready)
		comparison.pending++
		p.Problems = append(p.Problems, fmt.Sprintf("no pod of %s that runs the image is ready: %s", workload.Object, strings.Join(slices.Compact(unready), ", ")))
	case workload.WantsPods && running == 0 && held && workload.ByPods && workload.Object.Kind != "ReplicationController":
		// Its controller has not made a pod with the image yet, or has given up on it. A ReplicationController never replaces a pod by itself.
		comparison.pending++
		p.Problems = append(p.Problems, fmt.Sprintf("no pod of %s runs the image", workload.Object))
	case workload.WantsPods && len(workload.Pods) == 0 && !held:
		comparison.pending++
		what := fmt.Sprintf("no pod of %s runs", workload.Object)
		if workload.Note != "" {
			what += ": " + workload.Note
		}
		p.Problems = append(p.Problems, what)
	case workload.Unfound != "":
		p.Unfound = append(p.Unfound, fmt.Sprintf("%s %s", workload.Object, workload.Unfound))
	case workload.Note != "" && running == 0:
		p.Notes = append(p.Notes, fmt.Sprintf("%s %s", workload.Object, workload.Note))
	}
	return nil
}

// problem describes what the container runs instead of the image.
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

// comparison compares the contents of images with those of one image. It reads each image once.
type comparison struct {
	image     Image
	contents  Contents
	platforms map[Image]found
	pending   int // problems that may disappear with time
}

type found struct {
	images []PlatformImage
	exists bool
	err    error
}

// runs reports whether a container runs the same content as c.image.
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
	reported, err := c.imagesOfReportedDigest(ctx, container)
	if err != nil || len(reported) == 0 {
		return false, err
	}
	return c.sameContent(ctx, wanted.images, reported, container)
}

// imagesOfReportedDigest reads the images of the digest that the kubelet reports. It looks in the image's repository, and in the repository
// that the kubelet reports if that is on the same registry. It asks no other registry, because a node's status must not choose
// which hosts get requests. A digest that neither repository has is another image.
func (c *comparison) imagesOfReportedDigest(ctx context.Context, container PodImage) ([]PlatformImage, error) {
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

// read reads the platform images of a digest, once.
func (c *comparison) read(ctx context.Context, image Image) (found, error) {
	known, asked := c.platforms[image]
	if !asked {
		known.images, known.exists, known.err = c.contents.Platforms(ctx, image)
		c.platforms[image] = known
	}
	return known, known.err
}

// sameContent reports whether both lists of images have the same content on the container's node. It asks for the node's platform
// only if the lists agree on some platforms and differ on others. If this user may not read nodes, a pod whose spec contains the
// wanted digest counts as the same: the runtime resolved that digest, and reports another reference of the same content.
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

// compareImages returns whether all of the reported images are among the wanted ones, and whether some are; both are false if
// there are none.
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

// ByArgoCD is a release whose workloads Argo CD applies, of which Helm has no record.
type ByArgoCD struct {
	Application string    // "" if Argo CD applies none of the workloads
	Workloads   []Object  // that Argo CD applies
	References  []string  // of the images in their pod templates, each once, sorted
	Since       time.Time // when the newest rollout of a Deployment was complete; zero if none is
	Unread      []string  // kinds that this user may not list
}

// Image returns the image of the release: the only one that is named by a digest, or of several the only one whose repository ends in the release's name; false if that is none.
func (a ByArgoCD) Image(name string) (Image, bool) {
	var all, named []Image
	for _, reference := range a.References {
		repository, digest, found := strings.Cut(reference, "@")
		if at := strings.LastIndex(repository, ":"); at > strings.LastIndex(repository, "/") {
			repository = repository[:at] // its tag
		}
		image, err := ParseImage(repository + "@" + digest)
		if !found || err != nil {
			continue
		}
		all = append(all, image)
		if path := image.Repository.Path(); path[strings.LastIndex(path, "/")+1:] == name {
			named = append(named, image)
		}
	}
	for _, images := range [][]Image{all, named} {
		if len(images) == 1 {
			return images[0], true
		}
	}
	return Image{}, false
}

// Count says how many there are of something whose plural ends in s.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// PodsRun begins a sentence about what n pods run.
func PodsRun(n int) string {
	if n == 1 {
		return "1 pod runs"
	}
	return fmt.Sprintf("%d pods run", n)
}
