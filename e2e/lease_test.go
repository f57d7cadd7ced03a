package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// instants is at how many moments of an install, of an upgrade and of a rollback a run is stopped: 21 in all.
const instants = 7

// started is bin/deploy, as a process of its own that can be sent signals.
type started struct {
	t       *testing.T
	command *exec.Cmd
	began   time.Time
	stdout  bytes.Buffer
	done    chan struct{} // closed when it has ended

	mu     sync.Mutex
	stderr strings.Builder
	news   chan struct{} // closed at the next output
}

// Write collects stderr.
func (s *started) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stderr.Write(text)
	close(s.news)
	s.news = make(chan struct{})
	return len(text), nil
}

// stderrSoFar returns what has been written to stderr, and a channel that is closed at the next output.
func (s *started) stderrSoFar() (text string, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String(), s.news
}

// startDeploy deploys to a namespace in a process of its own. The Lease ends two seconds after a kill.
func (c checkout) startDeploy(namespace, image string, args ...string) *started {
	c.t.Helper()
	args = append([]string{"--environment", namespace, "--image", image, "--create-namespace", "--values", "terraform/staging/values-staging.yaml",
		"--set", "config.ENVIRONMENT=" + namespace, "--timeout", "2m", "--lease-duration", "2s", "--output", "json"}, args...)
	c.recordNamespaces(args)
	s := &started{t: c.t, command: exec.Command(filepath.Join(site.root, "bin", "deploy"), args...), done: make(chan struct{}), news: make(chan struct{})}
	s.command.Dir, s.command.Stdout, s.command.Stderr = c.dir, &s.stdout, s
	s.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "KUBECONFIG=" + site.kubeconfig, "USER=e2e"}, goEnviron()...)
	s.command.Env = append(append(s.command.Env, site.aws...), c.environ...)
	s.began = time.Now()
	if err := s.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.command.Process.Kill(); <-s.done })
	go func() {
		_ = s.command.Wait()
		close(s.done)
	}()
	return s
}

// waitForLog waits until the run has logged a text; false if it ended before.
func (s *started) waitForLog(text string) bool {
	s.t.Helper()
	late := time.After(2 * time.Minute)
	for {
		stderr, more := s.stderrSoFar()
		if strings.Contains(stderr, text) {
			return true
		}
		select {
		case <-more:
		case <-s.done:
			stderr, _ = s.stderrSoFar()
			return strings.Contains(stderr, text)
		case <-late:
			s.t.Fatalf("%q was never logged:\n%s", text, stderr)
		}
	}
}

func (s *started) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// wait waits for the run's end.
func (s *started) wait() (deploy.Result, verbResult) {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(3 * time.Minute):
		stderr, _ := s.stderrSoFar()
		s.t.Fatalf("never ends:\n%s", stderr)
	}
	stderr, _ := s.stderrSoFar()
	got := verbResult{code: s.command.ProcessState.ExitCode(), stdout: s.stdout.String(), stderr: stderr}
	var failed struct{ Result deploy.Result }
	var result deploy.Result
	if got.code == 0 {
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			s.t.Fatalf("%v in %s", err, got.stdout)
		}
		return result, got
	}
	_ = json.Unmarshal([]byte(got.stdout), &failed) // a killed run prints nothing
	return failed.Result, got
}

// releaseState is the state of a release in the cluster.
type releaseState struct {
	revision int    // 0: none
	status   string // of the newest, as Helm names it
	held     bool   // a run's name is on the Lease
}

func (s releaseState) String() string {
	held := "Lease free"
	if s.held {
		held = "Lease held"
	}
	return fmt.Sprintf("revision %d %s, %s", s.revision, s.status, held)
}

// readReleaseState reads the newest revision and the Lease of the release shop.
func readReleaseState(t *testing.T, namespace string) (found releaseState) {
	t.Helper()
	records, err := client(t).CoreV1().Secrets(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm,name=shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records.Items {
		if version, _ := strconv.Atoi(record.Labels["version"]); version > found.revision {
			found.revision, found.status = version, record.Labels["status"]
		}
	}
	lease, err := client(t).CoordinationV1().Leases(namespace).Get(t.Context(), "onedigest-shop", meta.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	found.held = err == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != ""
	return found
}

// deployCleanly fails the test unless a plain deploy succeeds and leaves nothing behind.
func (c checkout) deployCleanly(namespace, image string, args ...string) verbResult {
	c.t.Helper()
	_, got := c.startDeploy(namespace, image, args...).wait()
	if state := readReleaseState(c.t, namespace); got.code != 0 || state.status != "deployed" || state.held {
		c.t.Fatalf("the next deploy: exit %d, %s\n%s", got.code, state, got.stderr)
	}
	return got
}

func TestTwoDeploysOfOneRelease(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	runs := map[string]*started{}
	for _, greeting := range []string{"one", "two"} {
		runs[greeting] = tree.startDeploy("two-at-once", image, "--set", "config.GREETING="+greeting)
	}
	byRevision, waited := map[int]string{}, 0
	for greeting, run := range runs {
		result, got := run.wait()
		got.expect(t, 0)
		byRevision[result.Revision] = greeting
		if strings.Contains(got.stderr, "is held by run ") {
			waited++
			if result.Revision != 2 {
				t.Errorf("the run that waited made revision %d", result.Revision)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(byRevision)); !slices.Equal(got, []int{1, 2}) || waited != 1 {
		t.Errorf("revisions %v, %d of two runs waited", got, waited)
	}
	if state := readReleaseState(t, "two-at-once"); state != (releaseState{2, "deployed", false}) {
		t.Errorf("state: %s", state)
	}
	settings, err := client(t).CoreV1().ConfigMaps("two-at-once").List(t.Context(), meta.ListOptions{LabelSelector: "app.kubernetes.io/instance=shop"})
	if err != nil || len(settings.Items) != 1 || settings.Items[0].Data["GREETING"] != byRevision[2] {
		t.Errorf("revision 2 greets %q, and in the cluster is %+v, %v", byRevision[2], settings.Items, err)
	}
}

// TestAHolderWhoseClockLags keeps the release for as long as it renews the Lease, whatever time it writes.
func TestAHolderWhoseClockLags(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	image := tree.build()
	const namespace = "lagging"
	tree.deployCleanly(namespace, image)
	leases := client(t).CoordinationV1().Leases(namespace)
	lease, err := leases.Get(t.Context(), "onedigest-shop", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	holder, seconds := "laggard", int32(2)
	acquired := meta.NewMicroTime(time.Now().Add(-75 * time.Second))
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.AcquireTime = &holder, &seconds, &acquired
	renew := func() {
		t.Helper()
		behind := meta.NewMicroTime(time.Now().Add(-75 * time.Second))
		lease.Spec.RenewTime = &behind
		if lease, err = leases.Update(t.Context(), lease, meta.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	run := tree.startDeploy(namespace, image, "--set", "config.GREETING=other")
	if !run.waitForLog("is held by run laggard") {
		t.Fatal("did not wait for the holder")
	}
	for range 12 { // three times the duration
		time.Sleep(500 * time.Millisecond)
		renew()
	}
	if state := readReleaseState(t, namespace); run.ended() || state.revision != 1 || !state.held {
		t.Errorf("took the Lease of a holder that renews it: %s", state)
	}
	_, got := run.wait() // the holder is gone
	got.expect(t, 0)
	if state := readReleaseState(t, namespace); state != (releaseState{2, "deployed", false}) {
		t.Errorf("state: %s", state)
	}
}

// work is something that a run does and can be stopped in.
type work struct {
	name         string
	begin        func(c checkout, namespace, image string, turn int) *started // returns when the time for a stop has begun
	ownNamespace bool                                                         // each run deploys to a namespace of its own
}

var works = []work{
	{"install", func(c checkout, namespace, image string, _ int) *started { return c.startDeploy(namespace, image) }, true},
	{"upgrade", func(c checkout, namespace, image string, turn int) *started {
		return c.startDeploy(namespace, image, "--set", fmt.Sprintf("config.GREETING=upgrade-%d", turn))
	}, false},
	{"rollback", func(c checkout, namespace, image string, turn int) *started {
		c.write("broken.yaml", "existingSecrets: [{name: absent}]\n")
		run := c.startDeploy(namespace, image, "--values", "broken.yaml", "--set", fmt.Sprintf("config.GREETING=broken-%d", turn))
		if !run.waitForLog("rollback to revision") {
			stderr, _ := run.stderrSoFar()
			c.t.Fatalf("did not go back:\n%s", stderr)
		}
		return run
	}, false},
}

// stopped is one run and how it was ended.
type stopped struct {
	run       *started
	namespace string
	turn      int
	before    releaseState
	after     time.Duration // that the stop came, since the work began
}

// stopEach ends runs at random moments of each work, and hands every one to what is to be checked. The moments come from a
// seed, which ONEDIGEST_E2E_SEED sets; check reports whether the run held the release.
func stopEach(t *testing.T, prefix string, signal os.Signal, check func(t *testing.T, tree checkout, image string, stop stopped) (held bool)) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("ONEDIGEST_E2E_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ONEDIGEST_E2E_SEED=%d", seed)
	for i, work := range works {
		t.Run(work.name, func(t *testing.T) {
			beside(t)
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			tree := newCheckout(t)
			image := tree.build()
			namespace := func(turn int) string {
				if work.ownNamespace {
					return fmt.Sprintf("%s-%s-%d", prefix, work.name, turn)
				}
				return prefix + "-" + work.name
			}
			if !work.ownNamespace {
				tree.deployCleanly(namespace(0), image)
			}
			began := time.Now()
			run := work.begin(tree, namespace(0), image, 0)
			if work.name == "rollback" {
				began = time.Now()
			}
			run.wait()
			whole := time.Since(began)
			// A stop that comes too late is no stop.
			stops, hits := 0, 0
			for turn := 1; turn <= 3*instants && stops < instants; turn++ {
				stop := stopped{namespace: namespace(turn), turn: turn, after: time.Duration(random.Int64N(int64(whole)))}
				stop.before = readReleaseState(t, stop.namespace)
				stop.run = work.begin(tree, stop.namespace, image, turn)
				time.Sleep(stop.after) // the moment itself
				late := stop.run.ended()
				if err := stop.run.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				held := check(t, tree, image, stop)
				if late || stop.run.command.ProcessState.Success() {
					whole = min(whole, max(stop.after, time.Millisecond))
					continue
				}
				stops++
				if held {
					hits++
				}
			}
			t.Logf("%d stops, %d of them of a run that held the release; undisturbed, it takes %s", stops, hits, whole.Round(time.Millisecond))
			if stops < instants || hits == 0 {
				t.Errorf("%d of %d stops, %d of a run that held the release: too little was tested", stops, instants, hits)
			}
		})
	}
}

// TestAKilledRunDoesNotBlockADeploy ends runs as a machine that dies does (R8).
func TestAKilledRunDoesNotBlockADeploy(t *testing.T) {
	onNode(t)
	t.Parallel()
	stopEach(t, "killed", syscall.SIGKILL, func(t *testing.T, tree checkout, image string, stop stopped) bool {
		<-stop.run.done
		found := readReleaseState(t, stop.namespace)
		next := tree.deployCleanly(stop.namespace, image, "--set", fmt.Sprintf("config.GREETING=after-%d", stop.turn))
		pending := strings.HasPrefix(found.status, "pending-")
		t.Logf("killed after %s: %s", stop.after.Round(time.Millisecond), found)
		if pending && !strings.Contains(next.stderr, "healed: ") {
			t.Errorf("healed without logging it:\n%s", next.stderr)
		}
		return found.held
	})
}

// TestAnInterruptedRunLeavesNothingPending ends runs as GitHub does when a job is cancelled (R7).
func TestAnInterruptedRunLeavesNothingPending(t *testing.T) {
	onNode(t)
	t.Parallel()
	stopEach(t, "stopped", syscall.SIGINT, func(t *testing.T, tree checkout, image string, stop stopped) bool {
		sent := time.Now()
		result, got := stop.run.wait()
		took, found := time.Since(sent), readReleaseState(t, stop.namespace)
		t.Logf("interrupted after %s: exit %d within %s, %s; reported: %s", stop.after.Round(time.Millisecond), got.code, took.Round(time.Millisecond), found, result.State)
		if took > 2*time.Second || found.held || strings.HasPrefix(found.status, "pending-") {
			t.Errorf("exit %d after %s, %s\n%s", got.code, took, found, got.stderr)
		}
		interrupted := got.code != 0 && result.State != ""
		if got.code != 0 && found.revision > stop.before.revision && !interrupted {
			t.Errorf("the state of the cluster is not reported:\n%s", got.stderr)
		}
		next := tree.deployCleanly(stop.namespace, image, "--set", fmt.Sprintf("config.GREETING=after-%d", stop.turn))
		if strings.Contains(next.stderr, "healed: ") || strings.Contains(next.stderr, "is held by") {
			t.Errorf("the next run had to heal the release, or to wait for it:\n%s", next.stderr)
		}
		return interrupted
	})
}
