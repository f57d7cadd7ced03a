package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// pieces are the images that the classes run, by their names; "" is the main one.
var pieces = map[string]string{"": "piece", "api": "api", "mail": "mail", "jobs": "jobs", "migrate": "migrate"}

// changed are the pieces that the second commit changes.
var changed = []string{"", "api"}

// TestChartsOfEveryClass takes a chart of every class from build to production, with smoke in staging and in production, with nothing edited, and a second commit to staging. What the
// pods run, and which of them are replaced, is read from the API server.
func TestChartsOfEveryClass(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	first := tree.buildPieces(t, "first", pieceNames())
	second := maps.Clone(first)
	maps.Copy(second, tree.buildPieces(t, "second", changed))
	t.Cleanup(func() { deleteDefinition(t, "runners.classes.example.com") })
	for _, class := range readClasses(t) {
		t.Run(class.name, func(t *testing.T) {
			beside(t)
			own := tree
			own.t = t
			class.goesToProduction(t, own, first, second)
		})
	}
}

func pieceNames() []string { return slices.Sorted(maps.Keys(pieces)) }

// buildPieces builds the pieces of a new commit that changes the given ones. The others are built again, which has to give the same images.
func (c checkout) buildPieces(t *testing.T, revision string, changes []string) map[string]string {
	t.Helper()
	source, err := os.ReadFile("testdata/piece/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range changes {
		piece := pieces[name]
		if err := os.MkdirAll(filepath.Join(c.dir, piece), 0o755); err != nil {
			t.Fatal(err)
		}
		c.write(piece+"/go.mod", "module example.com/"+piece+"\n\ngo 1.26\n")
		c.write(piece+"/main.go", strings.NewReplacer("NAME", piece, "REVISION", revision).Replace(string(source)))
	}
	c.commit(revision)
	built := map[string]string{}
	for _, name := range pieceNames() {
		piece := pieces[name]
		got := c.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/"+piece, "--context", piece, "--builder", "go", "--output", "json")
		if outcome := field(t, got, "outcome"); (outcome == string(release.Created)) != slices.Contains(changes, name) {
			t.Errorf("build of %s at the %s commit: outcome %q", piece, revision, outcome)
		}
		built[name] = field(t, got, "image")
	}
	return built
}

// goesToProduction takes the chart to production with the first images, and the second ones to staging.
func (c class) goesToProduction(t *testing.T, tree checkout, first, second map[string]string) {
	chart := c.write(t, tree)
	staging, production := c.name+"-staging", c.name+"-production"
	own := []string{}
	if c.how["namespace"] == "" {
		for _, namespace := range []string{staging, production} {
			c.createNamespace(t, namespace)
		}
	} else { // the checkout deletes it
		own = []string{"--create-namespace"}
	}
	deploy := func(environment string, images map[string]string) {
		t.Helper()
		args := slices.Concat([]string{"--environment", environment, "--release", c.name, "--timeout", "3m", "--image", images[""]}, chart,
			c.valuesOf(strings.TrimPrefix(environment, c.name+"-")), c.flagsFor(images), own)
		if got := tree.verb(t.Context(), appdeploy.Command(), args...); got.code != 0 {
			t.Fatalf("deploy to %s: exit %d\n%s", environment, got.code, got.stderr)
		}
	}
	deploy(staging, first)
	if c.how["run"] != "" {
		runOnce(t, staging, c.name)
	}
	inStaging := c.observe(t, staging, first)

	smoke := func(environment string, images map[string]string) {
		t.Helper()
		got := tree.verb(t.Context(), appsmoke.Command(), slices.Concat([]string{"--environment", environment, "--release", c.name, "--timeout", "2m"}, c.imageFlags(images))...)
		got.expect(t, 0, "verdict: pass")
	}
	smoke(staging, first)
	got := tree.verb(t.Context(), apppromote.Command(), slices.Concat([]string{"--from", staging, "--to", production, "--output", "json"}, c.imageFlags(first))...)
	promoted := c.promotedImages(t, got, first)

	if c.how["run"] != "" { // what was run by hand is no part of the next commit
		forget(t, staging, c.name)
	}

	deploy(production, promoted)
	if c.how["run"] != "" {
		runOnce(t, production, c.name)
	}
	smoke(production, promoted)
	inProduction := c.observe(t, production, first)
	if got, want := digestsOf(inProduction), digestsOf(inStaging); !slices.Equal(got, want) && c.how["run"] == "" {
		t.Errorf("production runs %q, staging ran %q", got, want)
	}

	deploy(staging, second)
	for _, problem := range rolled(inStaging, c.observe(t, staging, second), first, second) {
		t.Error("after the second commit: " + problem)
	}
}

// images are the names of the images that the chart runs, the main one first.
func (c class) images() []string {
	names := []string{""}
	for i, flag := range c.flags {
		if name, _, isNamed := strings.Cut(c.flags[min(i+1, len(c.flags)-1)], "="); flag == "--image" && isNamed {
			names = append(names, name)
		}
	}
	return names
}

// flagsFor returns the chart's flags with the images.
func (c class) flagsFor(images map[string]string) []string {
	flags := slices.Clone(c.flags)
	for i, flag := range flags[:max(0, len(flags)-1)] {
		if name, _, isNamed := strings.Cut(flags[i+1], "="); flag == "--image" && isNamed {
			flags[i+1] = name + "=" + images[name]
		}
	}
	return flags
}

func (c class) imageFlags(images map[string]string) (flags []string) {
	for _, name := range c.images() {
		flags = append(flags, "--image", strings.TrimPrefix(name+"="+images[name], "="))
	}
	return flags
}

// promotedImages returns the images as promote names them, each of which must be created and have the digest that was promoted.
func (c class) promotedImages(t *testing.T, got verbResult, images map[string]string) map[string]string {
	t.Helper()
	var result promote.Result
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || got.code != 0 || len(result.Images) != len(c.images()) {
		t.Fatalf("promote: exit %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	promoted := map[string]string{}
	for _, image := range result.Images {
		if promoted[image.Name] = image.Image.String(); promoted[image.Name] != images[image.Name] || image.Outcome != release.Created {
			t.Errorf("promote: %s is %s, outcome %q, want %s", image.Name, image.Image, image.Outcome, images[image.Name])
		}
	}
	return promoted
}

// createNamespace creates a namespace that admits any pod, as those of most teams do, and deletes it in the end. It plays the controller of
// Ingresses in it where the class has one.
func (c class) createNamespace(t *testing.T, name string) {
	t.Helper()
	namespaces := client(t).CoreV1().Namespaces()
	if _, err := namespaces.Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the checkout waits until it is gone
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := namespaces.Delete(ctx, name, meta.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	if c.how["controller"] != "" {
		go serveIngress(t, name, c.name)
	}
}

// serveIngress reports the address of the Service of the same name as an Ingress's, as a controller would report its own.
func serveIngress(t *testing.T, namespace, name string) {
	kube := client(t)
	_ = wait.PollUntilContextCancel(t.Context(), 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		service, err := kube.CoreV1().Services(namespace).Get(ctx, name, meta.GetOptions{})
		if err != nil {
			return false, nil
		}
		patch := fmt.Appendf(nil, `{"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, service.Spec.ClusterIP)
		_, err = kube.NetworkingV1().Ingresses(namespace).Patch(ctx, name, "application/merge-patch+json", patch, meta.PatchOptions{}, "status")
		return err == nil, nil
	})
}

// onceSuffix ends the name of a Job that runOnce makes.
const onceSuffix = "-once"

// runOnce makes a Job of a CronJob, as kubectl create job --from does, and waits until it is complete.
func runOnce(t *testing.T, namespace, name string) {
	t.Helper()
	kube := client(t).BatchV1()
	cron, err := kube.CronJobs(namespace).Get(t.Context(), name, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	job := &batch.Job{ObjectMeta: meta.ObjectMeta{Name: name + onceSuffix, OwnerReferences: []meta.OwnerReference{*meta.NewControllerRef(cron, batch.SchemeGroupVersion.WithKind("CronJob"))}}, Spec: cron.Spec.JobTemplate.Spec}
	if _, err := kube.Jobs(namespace).Create(t.Context(), job, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ended := func(ctx context.Context) (bool, error) {
		job, err := kube.Jobs(namespace).Get(ctx, job.Name, meta.GetOptions{})
		return err == nil && job.Status.Succeeded > 0, err
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, ended); err != nil {
		t.Fatal(err)
	}
}

// forget deletes what runOnce made.
func forget(t *testing.T, namespace, name string) {
	t.Helper()
	kube := client(t)
	foreground := meta.DeletePropagationForeground
	if err := kube.BatchV1().Jobs(namespace).Delete(t.Context(), name+onceSuffix, meta.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	isGone := func(ctx context.Context) (bool, error) {
		_, err := kube.BatchV1().Jobs(namespace).Get(ctx, name+onceSuffix, meta.GetOptions{})
		return apierrors.IsNotFound(err), nil
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, isGone); err != nil {
		t.Fatal(err)
	}
}

// seenPod is a pod as the API server reports it.
type seenPod struct {
	name, uid  string
	ended      bool
	restarts   int32
	label      string // of the release
	containers []seenContainer
}

// seenContainer is a container, and what the kubelet reports of it.
type seenContainer struct {
	name, image, imageID string
	texts                []string // arguments and variables
}

// observe reads the pods of a namespace, and checks them against the class and the images.
func (c class) observe(t *testing.T, namespace string, images map[string]string) []seenPod {
	t.Helper()
	list, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pods []seenPod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, seePod(pod))
		}
	}
	for _, problem := range c.check(pods, images) {
		t.Errorf("%s: %s", namespace, problem)
	}
	maps, err := client(t).CoreV1().ConfigMaps(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range maps.Items {
		for key, text := range one.Data {
			if strings.Contains(text, "piece:") {
				t.Errorf("%s: ConfigMap/%s %s has an unpinned reference: %s", namespace, one.Name, key, text)
			}
		}
	}
	if c.name == "custom" {
		checkRunner(t, namespace, c.name, images[""])
	}
	return pods
}

func seePod(pod core.Pod) seenPod {
	seen := seenPod{name: pod.Name, uid: string(pod.UID), ended: pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed, label: pod.Labels[release.LabelRelease]}
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		one := seenContainer{name: container.Name, image: container.Image, texts: container.Args}
		for _, variable := range container.Env {
			one.texts = append(one.texts, variable.Value)
		}
		for _, status := range statuses {
			if status.Name == container.Name {
				one.imageID = status.ImageID
				seen.restarts += status.RestartCount
			}
		}
		seen.containers = append(seen.containers, one)
	}
	return seen
}

// check says what is wrong with the pods: every container runs a built image by its digest or one that is not built, each image runs in as
// many pods as the class says, and the release's label is on those that run a built image and on no other.
func (c class) check(pods []seenPod, images map[string]string) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	counts, others := map[string]int{}, 0
	for _, pod := range pods {
		runs := map[string]bool{}
		for _, container := range pod.containers {
			at := slices.IndexFunc(c.images(), func(name string) bool { return container.image == images[name] })
			_, digest, _ := strings.Cut(container.image, "@")
			switch {
			case at >= 0 && !strings.HasSuffix(container.imageID, "@"+digest):
				problem("pod %s: the kubelet runs %q in container %s, want %s", pod.name, container.imageID, container.name, digest)
			case at >= 0:
				runs[c.images()[at]] = true
			case container.image != pauseImage:
				problem("pod %s: container %s has image %s, which is neither of the commit nor the chart's own", pod.name, container.name, container.image)
			}
			for _, text := range container.texts {
				if strings.Contains(text, "piece:") {
					problem("pod %s: container %s has an unpinned reference: %s", pod.name, container.name, text)
				}
			}
		}
		if pod.ended {
			continue
		}
		for name := range runs {
			counts[name]++
		}
		if len(runs) == 0 {
			others++
		}
		if isLabelled := pod.label == c.name; isLabelled != (len(runs) > 0) {
			problem("pod %s has the release's label %q", pod.name, pod.label)
		}
	}
	for name, want := range c.pods {
		if counts[name] != want {
			problem("%d pods run image %q, want %d", counts[name], pieces[name], want)
		}
	}
	if others != c.others {
		problem("%d pods run none of the built images, want %d", others, c.others)
	}
	return problems
}

// rolled says which pods were replaced or restarted although their images are the same, and which were not although theirs is another.
func rolled(before, after []seenPod, first, second map[string]string) (problems []string) {
	left := map[string]seenPod{}
	for _, pod := range after {
		left[pod.uid] = pod
	}
	for _, pod := range before {
		if pod.ended {
			continue
		}
		isChanged := slices.ContainsFunc(pod.containers, func(container seenContainer) bool {
			for name, image := range first {
				if container.image == image && second[name] != image {
					return true
				}
			}
			return false
		})
		now, stayed := left[pod.uid]
		switch {
		case stayed == isChanged && isChanged:
			problems = append(problems, fmt.Sprintf("pod %s still runs", pod.name))
		case stayed == isChanged:
			problems = append(problems, fmt.Sprintf("pod %s was replaced, although its images are the same", pod.name))
		case stayed && now.restarts > pod.restarts:
			problems = append(problems, fmt.Sprintf("pod %s was restarted", pod.name))
		}
	}
	return problems
}

// digestsOf returns the digests that the kubelets report, sorted, of the containers that run images by digest.
func digestsOf(pods []seenPod) (digests []string) {
	for _, pod := range pods {
		for _, container := range pod.containers {
			if _, digest, found := strings.Cut(container.imageID, "@"); found && strings.Contains(container.image, "@") {
				digests = append(digests, container.name+" "+digest)
			}
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// checkRunner wants the custom resource to carry the image by its digest.
func checkRunner(t *testing.T, namespace, name, image string) {
	t.Helper()
	runner, err := dynamicClient(t).Resource(schema.GroupVersionResource{Group: "classes.example.com", Version: "v1", Resource: "runners"}).Namespace(namespace).Get(t.Context(), name, meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(runner.Object, "spec", "image"); got != image {
		t.Errorf("%s: the custom resource carries %s, want %s", namespace, got, image)
	}
}

func dynamicClient(t *testing.T) dynamic.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	made, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func deleteDefinition(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	definitions := dynamicClient(t).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if err := definitions.Delete(ctx, name, meta.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

// TestTheChecksOfClassesCanFail: each fault that a class is checked for is found.
func TestTheChecksOfClassesCanFail(t *testing.T) {
	beside(t)
	const digest, other = "sha256:aaaa", "sha256:bbbb"
	images := map[string]string{"": "r/piece@" + digest, "api": "r/api@" + digest}
	class := class{name: "x", pods: map[string]int{"": 1, "api": 1}, others: 1, flags: []string{"--image", "api=API"}}
	pod := func(name, image, imageID, label string, texts ...string) seenPod {
		return seenPod{name: name, uid: name, label: label, containers: []seenContainer{{name: "c", image: image, imageID: imageID, texts: texts}}}
	}
	good := []seenPod{pod("web", images[""], "r/piece@"+digest, "x"), pod("api", images["api"], "r/api@"+digest, "x"), pod("cache", pauseImage, "sha256:cccc", "")}
	for name, test := range map[string]struct {
		at   int // of the good pods
		is   seenPod
		want string
	}{
		"all is well":               {0, good[0], ""},
		"the kubelet runs another":  {0, pod("web", images[""], "r/piece@"+other, "x"), "the kubelet runs"},
		"the pod names another":     {0, pod("web", "r/piece@"+other, "r/piece@"+other, "x"), "neither of the commit"},
		"the pod names a tag":       {0, pod("web", "r/piece:1", "r/piece@"+digest, "x"), "neither of the commit"},
		"no label":                  {0, pod("web", images[""], "r/piece@"+digest, ""), "release's label"},
		"a label too many":          {2, pod("cache", pauseImage, "sha256:cccc", "x"), "release's label"},
		"a variable that is a tag":  {0, pod("web", images[""], "r/piece@"+digest, "x", "team/piece:1"), "unpinned"},
		"an image that no pod runs": {1, good[2], `0 pods run image "api"`},
	} {
		pods := slices.Clone(good)
		pods[test.at] = test.is
		if got := strings.Join(class.check(pods, images), "; "); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	second := map[string]string{"": "r/piece@" + other, "api": images["api"]}
	next := pod("web-2", second[""], "r/piece@"+other, "x")
	restarted := good[2]
	restarted.restarts = 1
	for name, test := range map[string]struct {
		after []seenPod
		want  string
	}{
		"as it should":           {[]seenPod{next, good[1], good[2]}, ""},
		"the old pod stays":      {[]seenPod{good[0], good[1], good[2]}, "pod web still runs"},
		"another image is moved": {[]seenPod{next, pod("api-2", images["api"], "", "x"), good[2]}, "pod api was replaced"},
		"the cache is moved":     {[]seenPod{next, good[1]}, "pod cache was replaced"},
		"the cache is restarted": {[]seenPod{next, good[1], restarted}, "pod cache was restarted"},
	} {
		if got := strings.Join(rolled(good, test.after, images, second), "; "); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
