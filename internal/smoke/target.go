package smoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// loadChecks loads the checks and validates the URL, and reports the problems of both at once.
func loadChecks(settings Settings, deps Deps) ([]release.Check, error) {
	checks, err := deps.Checks.Load(settings.Checks)
	if settings.URL == "" {
		return checks, err
	}
	if badURL := deps.Prober.CheckURL(settings.URL); badURL != nil {
		err = errors.Join(err, release.BadSetting("url", badURL.Error(), ""))
	}
	return checks, err
}

// resolveCommits sets the expected commit to that of the main image, and the commits of the further images. It refuses an image of another commit
// than the expected one. An image whose commit is not known is refused, because promote would refuse it.
func resolveCommits(ctx context.Context, settings Settings, deps Deps) (Settings, error) {
	if settings.Image.IsZero() {
		return settings, nil
	}
	var refused error
	commit, err := commitOf(ctx, settings.Image, settings.ExpectCommit, deps)
	switch {
	case err != nil:
		refused = err
	case settings.ExpectCommit != "" && settings.ExpectCommit != commit:
		refused = &release.Refusal{Why: fmt.Sprintf("image %q was built from commit %s, not from %s", settings.Image, commit, settings.ExpectCommit)}
	default:
		settings.ExpectCommit = commit
	}
	settings.Further = slices.Clone(settings.Further)
	for i := range settings.Further {
		further := &settings.Further[i]
		further.Commit, err = commitOf(ctx, further.Image, settings.ExpectCommit, deps)
		refused = errors.Join(refused, err)
	}
	return settings, refused
}

// commitOf returns the commit of an image, as release.CommitOf decides.
func commitOf(ctx context.Context, image release.Image, expected release.Commit, deps Deps) (release.Commit, error) {
	described, found, err := deps.Registry.Describe(ctx, image)
	if err != nil {
		return "", err
	}
	if !found {
		return "", &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", image), Do: "push the image first; its verdict is recorded beside it"}
	}
	return release.CommitOf(ctx, image, described.Revision, expected, deps.Registry)
}

// findSubject finds what the rounds are about: the URL that was given or the external address of the release, which it waits for, and
// the image that the release's pods run.
func findSubject(ctx context.Context, checks []release.Check, settings Settings, deps Deps) (Subject, error) {
	subject := Subject{URL: settings.URL, Checks: checks, Release: settings.Release, Namespace: settings.Namespace, Address: settings.Address,
		Image: settings.Image, Proved: !settings.Image.IsZero()}
	for _, further := range settings.Further {
		subject.Others = append(subject.Others, further.Image)
	}
	if settings.Release == "" {
		return subject, nil
	}
	if subject.Image.IsZero() {
		live, found, err := deps.Cluster.LiveImage(ctx, settings.Namespace, settings.Release)
		if err != nil {
			deps.Reporter.Warnf("the pods are not checked, because the image of release %q is not known: %v", settings.Release, err)
		} else if found {
			subject.Image = live
		}
	}
	if settings.URL != "" {
		return subject, confirmHost(ctx, settings, deps)
	}
	var err error
	subject.URL, err = findURL(ctx, subject, settings, deps)
	return subject, err
}

// findURL returns the external address of the release; "" if it has none and its pods can be checked instead. It waits for the address for
// at most half of the remaining time.
func findURL(ctx context.Context, subject Subject, settings Settings, deps Deps) (string, error) {
	canCheckPods := !subject.Image.IsZero()
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if deadline, limited := ctx.Deadline(); limited && canCheckPods {
		waiting, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	defer cancel()
	url, err := deps.Cluster.Address(waiting, settings.Namespace, settings.Release, subject.Image, settings.Address, func(line string) { deps.Reporter.Infof("%s", line) })
	var none *release.Failure
	switch {
	case errors.As(err, &none) && canCheckPods && ctx.Err() == nil:
		deps.Reporter.Warnf("the release is checked inside its cluster only: %v", err)
		return "", nil
	case err != nil || url != "" || canCheckPods:
		return url, err
	}
	return "", &release.Failure{What: fmt.Sprintf("release %q has no external address, and it is not known which image its pods run", settings.Release),
		Do: "give --image, or say with --address where it is served"}
}

// confirmHost refuses a URL whose host does not belong to the release: its answers would prove nothing about the release.
func confirmHost(ctx context.Context, settings Settings, deps Deps) error {
	given, err := neturl.Parse(settings.URL)
	if err != nil {
		return release.BadSetting("url", err.Error(), "")
	}
	hosts, err := deps.Cluster.Hosts(ctx, settings.Namespace, settings.Release)
	if err != nil {
		return err
	}
	host := strings.ToLower(strings.TrimSuffix(given.Hostname(), "."))
	for _, known := range hosts {
		if known == host || strings.HasPrefix(known, "*.") && strings.HasSuffix(host, known[1:]) && !strings.Contains(strings.TrimSuffix(host, known[1:]), ".") {
			return nil
		}
	}
	names := "none"
	if len(hosts) > 0 {
		names = strings.Join(hosts, ", ")
	}
	return release.BadSetting("url", fmt.Sprintf("host %q is not one of release %q in namespace %q, so that its answers would prove nothing about the release; its Services, Ingresses and routes have: %s",
		host, settings.Release, settings.Namespace, names), "give one of these, or omit --url; --address says where a release is served that has an address of another kind")
}

// contents combines the registry and the cluster for release.Running.Prove.
type contents struct {
	Registry
	Cluster
}

// confirmed is the state of the images' pods in the cluster.
type confirmed struct {
	pods     [][]string // pods that run each image, in the order of the images; nil without images
	ready    bool       // one of the pods is ready
	heldBack bool       // other pods are held back at an older revision (OnDelete, a partition)
	idle     []bool     // of further images: no pod has to run the image, and none does, so that there is no verdict about it
	ended    bool       // no workload of the images wants a pod any more: their Jobs have ended
	// pending is set with an error that may disappear with time: pods of the images have not started yet.
	pending bool
	// controllers are custom resources without pods that have changed a moment ago, whose controllers are given time to create some.
	controllers []release.Object
	patience    time.Duration
	// awaits names a pod that cannot be scheduled, if that is the only reason why pods have not started; "" otherwise.
	awaits string
}

// awaitPods does what confirmPods does, and waits for at most half of the timeout while the only problem is that pods have not started: they may
// have been moved to another node a moment ago. With controllers, it waits, too, for the controller of a custom resource that has changed a moment ago.
func awaitPods(ctx context.Context, controllers bool, settings Settings, deps Deps) (confirmed, error) {
	began, logged := deps.Now(), false
	until := began.Add(settings.Timeout / 2)
	reported := map[string]bool{}
	for {
		found, err := confirmPods(ctx, reported, settings, deps)
		if err != nil && found.awaits != "" && (ctx.Err() != nil || !deps.Now().Before(until)) {
			return found, &release.Fault{Side: "cluster", Err: errors.New(found.awaits + ", so there is no verdict about its image"), Do: "run smoke again when a node is available"}
		}
		patient := controllers && len(found.controllers) > 0 && deps.Now().Sub(began) < found.patience
		if !(patient || err != nil && found.pending) || ctx.Err() != nil || !deps.Now().Before(until) {
			return found, err
		}
		switch {
		case logged:
		case patient:
			deps.Reporter.Infof("waiting up to %s for the controller of %s to create pods", text.Duration(found.patience), found.controllers[0])
			logged = true
		default:
			deps.Reporter.Infof("waiting for the pods: %v", err)
			logged = true
		}
		if deps.Pause(ctx, max(settings.Pause, pauseAfterFailure)); patient && ctx.Err() != nil {
			return found, err
		}
	}
}

// confirmPods lists the pods that run each image. It fails if a pod runs an unexpected image, if no pod runs the image and no hook ran it, or if a Job of the image has failed.
// A further image that no pod has to run is no failure, as it is none for deploy; without a pod of the main image there is no verdict. Without an image it does nothing.
// reported has what earlier calls reported, which is not reported again.
func confirmPods(ctx context.Context, reported map[string]bool, settings Settings, deps Deps) (found confirmed, err error) {
	var problems, idle []string // idle: why the main image needs no pod
	images := settings.images()
	found.ended = len(images) > 0
	pending, down := true, false
	for i, image := range images {
		running, err := deps.Cluster.Running(ctx, settings.Namespace, settings.Release, image.Image)
		if err != nil {
			return confirmed{}, err
		}
		proof, err := running.Prove(ctx, image.Image, contents{deps.Registry, deps.Cluster})
		if err != nil {
			return confirmed{}, err
		}
		problems = append(problems, proof.Problems...)
		if proof.ChangedRecently(deps.Now()) {
			found.controllers, found.patience = append(found.controllers, proof.Awaited...), max(found.patience, proof.Patience)
		}
		failed := false
		for _, workload := range running.Workloads {
			awaits := workload.AwaitsNode()
			found.awaits, down = cmp.Or(found.awaits, awaits), down || awaits == "" && !workload.HasReadyPod() && workload.WantsPods
			if workload.Failed != "" {
				pending, failed = false, true
				problems = append(problems, fmt.Sprintf("%s, which ran the image, has failed: %s", workload.Object, workload.Failed))
			}
		}
		pending = pending && (proof.Pending || len(proof.Problems) == 0)
		unrun := len(proof.Problems) == 0 && len(proof.Pods) == 0 && !proof.Hooked && !failed
		switch {
		case unrun && proof.Idle && i == 0:
			idle = append([]string{fmt.Sprintf("no pod of release %q runs %s", settings.Release, image.Image.Digest)}, append(proof.Notes, proof.Unfound...)...)
		case unrun && !proof.Idle:
			pending = false
			problems = append(problems, fmt.Sprintf("no pod of release %q runs %s", settings.Release, image.Image.Digest))
			problems = append(problems, proof.Notes...)
		}
		if len(problems) == 0 {
			for _, note := range proof.Notes {
				reportOnce(reported, note, deps.Reporter.Infof)
			}
			for _, unfound := range proof.Unfound {
				reportOnce(reported, unfound, deps.Reporter.Warnf)
			}
		}
		found.pods, found.idle = append(found.pods, proof.Pods), append(found.idle, unrun)
		found.ready = found.ready || slices.ContainsFunc(running.Workloads, release.RunningWorkload.HasReadyPod)
		found.heldBack, found.ended = found.heldBack || proof.HeldBack, found.ended && proof.Idle
	}
	if len(problems) > 0 {
		if !pending || down {
			found.awaits = ""
		}
		return confirmed{pending: pending, awaits: found.awaits}, &release.Failure{What: strings.Join(append(problems, idle...), "; "), Do: "deploy the image first, or wait until its rollout has finished"}
	}
	if len(idle) > 0 {
		return confirmed{controllers: found.controllers, patience: found.patience}, &release.Fault{Side: "cluster", Err: fmt.Errorf("the workloads are scaled to zero, are suspended or have finished, so there is no verdict: %s", strings.Join(idle, "; ")),
			Do: "scale the workload up, or start one of its Jobs, then run smoke again"}
	}
	return found, nil
}

// reportOnce reports a line unless it was reported before.
func reportOnce(reported map[string]bool, line string, report func(format string, args ...any)) {
	if !reported[line] {
		reported[line] = true
		report("%s", line)
	}
}
