package release_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// fakeRegistry is a registry and the nodes: what digests stand for, by repository and digest.
type fakeRegistry struct {
	images map[string][]release.PlatformImage
	err    error
	node   release.Platform
	nodeNo error
	asked  []string
}

func (s *fakeRegistry) Platforms(_ context.Context, image release.Image) ([]release.PlatformImage, bool, error) {
	s.asked = append(s.asked, image.Repository.String()+"@"+image.Digest.String()[7:8])
	images, found := s.images[image.Repository.Path()+"@"+image.Digest.String()[7:8]]
	return images, found, s.err
}

func (s *fakeRegistry) NodePlatform(context.Context, string) (release.Platform, error) {
	return s.node, s.nodeNo
}

func TestPodsAreComparedByContent(t *testing.T) {
	t.Parallel()
	digest := func(hex string) release.Digest { return releasetest.Digest(t, hex) }
	amd, arm := release.Platform{OS: "linux", Architecture: "amd64"}, release.Platform{OS: "linux", Architecture: "arm64"}
	one := func(platform release.Platform, manifest, config string) release.PlatformImage {
		return release.PlatformImage{Platform: platform, Manifest: digest(manifest), Config: digest(config)}
	}
	const repository = release.Repository("localhost:5000/shop")
	// a is deployed: an index of 1 (amd64) and 2 (arm64). b has both too, c shares the amd64 child only, d is another build.
	images := map[string][]release.PlatformImage{
		"shop@a": {one(amd, "1", "e"), one(arm, "2", "f")}, "shop@b": {one(amd, "1", "e"), one(arm, "2", "f")}, "shop@c": {one(amd, "1", "e"), one(arm, "3", "0")},
		"shop@d": {one(amd, "5", "6"), one(arm, "7", "8")}, "shop@9": {one(release.Platform{}, "9", "e")}, "copy@4": {one(amd, "1", "e")},
	}
	faulty := errors.New("registry: no route")
	for name, test := range map[string]struct {
		registry fakeRegistry
		reported release.PodImage
		want     bool
		err      error
	}{
		"the digest itself":                    {fakeRegistry{}, release.PodImage{Digest: digest("a")}, true, nil},
		"a child":                              {fakeRegistry{images: images}, release.PodImage{Digest: digest("2")}, true, nil},
		"the config of a child":                {fakeRegistry{images: images}, release.PodImage{Digest: digest("e")}, true, nil},
		"an index with the same children":      {fakeRegistry{images: images}, release.PodImage{Digest: digest("b")}, true, nil},
		"an index that shares the node's":      {fakeRegistry{images: images, node: amd}, release.PodImage{Digest: digest("c")}, true, nil},
		"an index that shares another's":       {fakeRegistry{images: images, node: arm}, release.PodImage{Digest: digest("c")}, false, nil},
		"a manifest with the same config":      {fakeRegistry{images: images}, release.PodImage{Digest: digest("9")}, true, nil},
		"another repository of the registry":   {fakeRegistry{images: images}, release.PodImage{Digest: digest("4"), Repository: "localhost:5000/copy"}, true, nil},
		"another registry is not asked":        {fakeRegistry{images: images}, release.PodImage{Digest: digest("4"), Repository: "example.com/copy"}, false, nil},
		"another build":                        {fakeRegistry{images: images}, release.PodImage{Digest: digest("d")}, false, nil},
		"a digest that is nowhere":             {fakeRegistry{images: images}, release.PodImage{Digest: digest("8")}, false, nil},
		"a registry that does not answer":      {fakeRegistry{err: faulty}, release.PodImage{Digest: digest("b")}, false, faulty},
		"a node that cannot be read":           {fakeRegistry{images: images, nodeNo: faulty}, release.PodImage{Digest: digest("c")}, false, faulty},
		"a node that need not be read":         {fakeRegistry{images: images, nodeNo: faulty}, release.PodImage{Digest: digest("c"), Named: true}, true, nil},
		"no digest":                            {fakeRegistry{images: images}, release.PodImage{ImageID: "shop:v1"}, false, nil},
		"an unreadable node and another build": {fakeRegistry{images: images, nodeNo: faulty}, release.PodImage{Digest: digest("d"), Named: true}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.reported.Pod, test.reported.Container = "shop-1", "app"
			proof, err := releasetest.Running(test.reported).Prove(t.Context(), repository.At(digest("a")), &test.registry)
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			if got := cmp.Equal(proof.Pods, []string{"shop-1"}); got != test.want || got == (len(proof.Problems) > 0) {
				t.Errorf("got %+v, want %v", proof, test.want)
			}
			for _, asked := range test.registry.asked {
				if !strings.HasPrefix(asked, "localhost:5000/") {
					t.Errorf("asked %s", asked)
				}
			}
		})
	}
}

// TestProveSaysThatTheRecordIsUnread: without Helm's record, no workload with a label of the release may be a lack of a permission.
func TestProveSaysThatTheRecordIsUnread(t *testing.T) {
	t.Parallel()
	for unread, want := range map[bool]int{true: 1, false: 0} {
		proof, err := release.Running{RecordUnread: unread}.Prove(t.Context(), release.Image{}, nil)
		if err != nil || len(proof.Problems) != 1 || strings.Count(proof.Problems[0], "docs/rbac/smoke.yaml") != want {
			t.Errorf("%t: got %v, %v", unread, proof.Problems, err)
		}
	}
}

func TestProveDistinguishesWantedHeldAndIdlePods(t *testing.T) {
	t.Parallel()
	image := release.Repository("localhost:5000/shop").At(releasetest.Digest(t, "a"))
	right := release.PodImage{Pod: "web-0", Container: "app", ImageID: "x", Digest: image.Digest}
	wrong := release.PodImage{Pod: "web-1", Container: "app", ImageID: "x", Digest: releasetest.Digest(t, "b")}
	held, starting, sidecar, outdated := wrong, wrong, wrong, wrong
	held.HeldBack, outdated.Outdated = "the partition is 1", true
	starting.ImageID, starting.Digest = "", release.Digest{}
	sidecar.Pod, sidecar.Container = "web-0", "sidecar"
	changed, startingWithIt := wrong, starting
	changed.Named = true
	startingWithIt.HeldBack, startingWithIt.Named = "OnDelete", true
	readyRight, readyHeld, unreadyToo := right, held, right
	readyRight.Ready, readyHeld.Ready, unreadyToo.Pod = true, true, "web-2"
	workload := release.Object{Kind: "StatefulSet", Name: "web"}
	byPods := func(pods ...release.PodImage) release.Running {
		return release.Running{Workloads: []release.RunningWorkload{{Object: workload, WantsPods: true, ByPods: true, Pods: pods}}}
	}
	of := func(kind string, pods ...release.PodImage) release.Running {
		running := byPods(pods...)
		running.Workloads[0].Object.Kind = kind
		return running
	}
	wants := func(pods ...release.PodImage) release.Running {
		return release.Running{Workloads: []release.RunningWorkload{{Object: workload, WantsPods: true, Pods: pods}}}
	}
	notes := func(note string) release.Running {
		return release.Running{Workloads: []release.RunningWorkload{{Object: workload, Note: note}}}
	}
	stays := `pod "web-1" of StatefulSet/web stays at an older revision: the partition is 1`
	runs := `pod "web-1" runs ` + wrong.Digest.String() + ` in container "app", not ` + image.Digest.String()
	for name, test := range map[string]struct {
		running release.Running
		want    release.RunningProof
	}{
		"all run it":                              {wants(right), release.RunningProof{Pods: []string{"web-0"}}},
		"one does not":                            {wants(right, wrong), release.RunningProof{Pods: []string{"web-0"}, Problems: []string{runs}}},
		"one container not":                       {wants(right, sidecar), release.RunningProof{Problems: []string{strings.NewReplacer("web-1", "web-0", `"app"`, `"sidecar"`).Replace(runs)}}},
		"one is kept":                             {wants(right, held), release.RunningProof{Pods: []string{"web-0"}, HeldBack: true, Notes: []string{stays}}},
		"all are kept":                            {wants(held), release.RunningProof{HeldBack: true, Notes: []string{stays}}},
		"one is outdated":                         {wants(right, outdated), release.RunningProof{Pods: []string{"web-0"}, Problems: []string{runs + " (it is of an older revision that has not been replaced yet)"}}},
		"one is not started again":                {wants(changed), release.RunningProof{Pending: true, Problems: []string{runs}}},
		"one is starting":                         {wants(right, starting), release.RunningProof{Pods: []string{"web-0"}}},
		"only starting":                           {wants(starting), release.RunningProof{Pending: true, Problems: []string{"no pod of StatefulSet/web has started its containers: web-1"}}},
		"none where wanted":                       {wants(), release.RunningProof{Pending: true, Problems: []string{"no pod of StatefulSet/web runs"}}},
		"none wanted":                             {notes("wants no pod: it has 0 replicas"), release.RunningProof{Idle: true, Notes: []string{"StatefulSet/web wants no pod: it has 0 replicas"}}},
		"nothing names it":                        {release.Running{Others: []string{"Deployment/web app: x:1"}}, release.RunningProof{Problems: []string{"no workload of the release names " + image.Digest.String() + ", but Deployment/web app: x:1"}}},
		"kinds not read":                          {release.Running{Workloads: wants(right).Workloads, Unread: []string{"StatefulSet", "DaemonSet"}}, release.RunningProof{Pods: []string{"web-0"}, Notes: []string{"not compared, because they may not be listed: workloads of kind StatefulSet, DaemonSet"}}},
		"another name beside":                     {release.Running{Workloads: wants(right).Workloads, Others: []string{"Deployment/web init: x:1"}}, release.RunningProof{Pods: []string{"web-0"}, Notes: []string{"not compared, because it names another image of the repository: Deployment/web init: x:1"}}},
		"not only pending":                        {release.Running{Workloads: append(wants(wrong).Workloads, wants().Workloads...)}, release.RunningProof{Problems: []string{runs, "no pod of StatefulSet/web runs"}}},
		"an older one that starts with the image": {wants(right, startingWithIt), release.RunningProof{Pods: []string{"web-0"}}},
		"none is ready":                           {byPods(right), release.RunningProof{Pending: true, Problems: []string{"no pod of StatefulSet/web that runs the image is ready: web-0"}}},
		"one of the older revision is ready": {byPods(right, readyHeld), release.RunningProof{Pending: true, HeldBack: true, Notes: []string{stays},
			Problems: []string{"no pod of StatefulSet/web that runs the image is ready: web-0"}}},
		"only older ones of a custom resource": {of("Rollout", readyHeld), release.RunningProof{Pending: true, HeldBack: true, Notes: []string{strings.Replace(stays, "StatefulSet", "Rollout", 1)},
			Problems: []string{"no pod of Rollout/web runs the image"}}},
		"only older ones of a ReplicationController": {of("ReplicationController", readyHeld), release.RunningProof{HeldBack: true,
			Notes: []string{strings.Replace(stays, "StatefulSet", "ReplicationController", 1)}}},
		"one is ready":         {byPods(readyRight, unreadyToo), release.RunningProof{Pods: []string{"web-0"}}},
		"one of two is absent": {release.Running{Workloads: append(wants(right).Workloads, wants().Workloads...)}, release.RunningProof{Pods: []string{"web-0"}, Pending: true, Problems: []string{"no pod of StatefulSet/web runs"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.running.Prove(t.Context(), image, &fakeRegistry{})
			if err != nil {
				t.Fatal(err)
			}
			for _, note := range test.want.Notes {
				if strings.Contains(note, "stays at an older revision") {
					test.want.Held = append(test.want.Held, note)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
