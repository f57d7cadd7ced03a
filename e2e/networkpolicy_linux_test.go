package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestNetworkPolicies shows who can connect to whom under the policies of both environments' values and of Terraform, on a node where kube-router
// enforces them. Before it runs, everybody can connect to everything.
func TestNetworkPolicies(t *testing.T) {
	program := os.Getenv("ONEDIGEST_KUBE_ROUTER")
	if program == "" {
		t.Skip("NOT CHECKED: that NetworkPolicies are enforced. It needs kube-router; set ONEDIGEST_KUBE_ROUTER to what scripts/kuberouter.sh prints")
	}
	onNode(t)
	tree := newCheckout(t)
	n := newNetwork(t, tree)
	image := tree.build()
	for _, environment := range []string{"staging", "production"} {
		tree.deployAsIs(t, environment, image)
	}
	n.applyTerraformsPolicies(t)
	n.place(t)
	n.lookUpReleases(t)

	n.awaitPairs(t, "without a controller", n.pairs())

	n.startController(t, program)
	admitted := []string{
		"load balancer -> external-secrets' webhook", "load balancer -> production", "load balancer -> staging", "load balancer -> staging's Service",
		"elsewhere in the VPC -> external-secrets' webhook", "elsewhere in the VPC -> staging", "elsewhere in the VPC -> staging's Service",
		"prometheus -> alloy", "prometheus -> grafana", "prometheus -> loki", "prometheus -> production's metrics", "prometheus -> staging's metrics",
		"grafana -> loki", "grafana -> prometheus", "alloy -> loki",
		"argo cd's controller -> argo cd's repository server",
	}
	for _, pair := range n.pairs() { // never limited, on EKS too: the kubelet's probes come from there
		if strings.HasPrefix(pair, "node -> ") {
			admitted = append(admitted, pair)
		}
	}
	n.awaitPairs(t, "with the controller", admitted)

	// A deploy passes where everything is closed, and its policy is that of the new values.
	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	tree.commit("greet otherwise")
	tree.write("ingress.yaml", string(golden(t, "platform/ingress.yaml")))
	tree.deployAsIs(t, "staging", tree.build(), "--values", "ingress.yaml")
	n.lookUpReleases(t)
	admitted = append(admitted, "ingress controller -> staging", "ingress controller -> staging's Service")
	n.awaitPairs(t, "with an ingress controller in the values", admitted)

	// Without the release's policy its pods are as closed as all others of the namespace, until that is open.
	deletePolicy(t, "staging", "shop")
	closed := slices.DeleteFunc(slices.Clone(admitted), func(pair string) bool {
		return strings.Contains(pair, "-> staging") && !strings.HasPrefix(pair, "node ")
	})
	n.awaitPairs(t, "without the release's policy", closed)
	deletePolicy(t, "staging", "default-deny-ingress")
	open := closed
	for _, pair := range n.pairs() {
		if strings.Contains(pair, "-> staging") || strings.HasSuffix(pair, "-> neighbour in staging") {
			open = append(open, pair)
		}
	}
	n.awaitPairs(t, "without a policy in staging", open)
}

// deployAsIs deploys with an environment's own values.
func (c checkout) deployAsIs(t *testing.T, environment, image string, args ...string) {
	t.Helper()
	args = append([]string{"--environment", environment, "--image", image, "--create-namespace", "--values", "terraform/" + environment + "/values-" + environment + ".yaml",
		"--lease-duration", "3s", "--timeout", "3m", "--output", "json"}, args...)
	got := c.verb(t.Context(), appdeploy.Command(), args...)
	if got.expect(t, 0); t.Failed() {
		t.FailNow()
	}
}

func deletePolicy(t *testing.T, namespace, name string) {
	t.Helper()
	if err := client(t).NetworkingV1().NetworkPolicies(namespace).Delete(t.Context(), name, meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// origin is where connections come from: the network of a process, and an address of it if that matters.
type origin struct {
	name, address string
	pid           int
}

// network is who may want to connect to whom: pods in the namespaces of Terraform and in others, the node, and a pod that stands in for the networks
// outside of the cluster.
type network struct {
	tree    checkout
	node    int // a process of the node
	origins []origin
	targets map[string]string // addresses by name
}

func newNetwork(t *testing.T, tree checkout) *network {
	t.Helper()
	n := &network{tree: tree, targets: map[string]string{}}
	text, err := output("sandbox", "status", "--dir", site.node, "--output", "json")
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var now struct {
		Components []struct {
			Name string
			PID  int
		}
	}
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		t.Fatal(err)
	}
	for _, component := range now.Components {
		if component.Name == "kubelet" {
			n.node = component.PID
		}
	}
	if n.node == 0 {
		t.Fatalf("no kubelet in %s", text)
	}
	return n
}

// pairs lists everything that could connect to something else.
func (n *network) pairs() (pairs []string) {
	for _, from := range n.origins {
		for to := range n.targets {
			if from.name != to {
				pairs = append(pairs, from.name+" -> "+to)
			}
		}
	}
	return pairs
}

// applyTerraformsPolicies applies the policies that a test of the charts evaluates from Terraform's files. Those of staging are production's, too.
func (n *network) applyTerraformsPolicies(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(site.root, "charts", "tests", "testdata", "networkpolicies.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "---\n") {
		var policy networking.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(document), &policy); err != nil {
			t.Fatal(err)
		}
		namespaces := []string{policy.Namespace}
		if policy.Namespace == "staging" {
			namespaces = append(namespaces, "production")
		}
		for _, namespace := range namespaces {
			n.createNamespace(t, namespace)
			policy.Namespace = namespace
			if _, err := client(t).NetworkingV1().NetworkPolicies(namespace).Create(t.Context(), &policy, meta.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (n *network) createNamespace(t *testing.T, name string) {
	t.Helper()
	n.tree.own(name)
	_, err := client(t).CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// place starts a pod for each who may want to connect, and listens in those that others may want to connect to.
func (n *network) place(t *testing.T) {
	t.Helper()
	const label, operator = "app.kubernetes.io/name", "app"
	for _, one := range []struct {
		name, namespace, key, value string
		port                        int
	}{
		{"neighbour in staging", "staging", operator, "other", 8080},
		{"prometheus", "monitoring", label, "prometheus", 9090},
		{"grafana", "monitoring", label, "grafana", 3000},
		{"loki", "monitoring", label, "loki", 3100},
		{"alloy", "monitoring", label, "alloy", 12345},
		{"external-secrets' webhook", "external-secrets", label, "external-secrets-webhook", 10250},
		{"argo cd's controller", "argocd", label, "argocd-application-controller", 0},
		{"argo cd's repository server", "argocd", label, "argocd-repo-server", 8081},
		{"stranger", "strangers", operator, "other", 0},
		{"stranger called prometheus", "strangers", label, "prometheus", 0},
		{"ingress controller", "ingress", label, "controller", 0},
		{"another of the ingress' namespace", "ingress", operator, "other", 0},
	} {
		n.createNamespace(t, one.namespace)
		pod := startPause(t, one.namespace, map[string]string{one.key: one.value})
		pid := processOf(t, pod)
		n.origins = append(n.origins, origin{name: one.name, pid: pid})
		if one.port > 0 {
			n.targets[one.name] = listen(t, pid, pod.Status.PodIP, one.port)
		}
	}
	n.createNamespace(t, "outside")
	outside := startPause(t, "outside", nil)
	pid := processOf(t, outside)
	routed := strings.Fields(n.in(t, n.node, "ip", "route", "get", outside.Status.PodIP)) // ADDRESS dev INTERFACE …
	if len(routed) < 3 || routed[1] != "dev" {
		t.Fatalf("the pod's route is %q", routed)
	}
	for name, address := range map[string]string{"load balancer": "10.20.224.10", "elsewhere in the VPC": "10.20.0.10", "internet": "192.0.2.10"} {
		n.in(t, pid, "ip", "address", "add", address+"/32", "dev", "eth0")
		n.in(t, n.node, "ip", "route", "add", address+"/32", "dev", routed[2])
		n.origins = append(n.origins, origin{name: name, address: address, pid: pid})
	}
	n.origins = append(n.origins, origin{name: "node", pid: n.node})
}

// in runs a program in the network of a process and returns its output.
func (n *network) in(t *testing.T, pid int, program ...string) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "nsenter", append([]string{"--target", strconv.Itoa(pid), "--net", "--"}, program...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", program, err, text)
	}
	return string(text)
}

// lookUpReleases looks up where the releases' pods are now.
func (n *network) lookUpReleases(t *testing.T) {
	t.Helper()
	for _, environment := range []string{"staging", "production"} {
		pods := slices.DeleteFunc(podsOf(t, environment), func(pod core.Pod) bool { return !isReady(pod) })
		if len(pods) == 0 {
			t.Fatalf("%s has no ready pod", environment)
		}
		n.targets[environment] = pods[0].Status.PodIP + ":8080"
		n.targets[environment+"'s metrics"] = pods[0].Status.PodIP + ":9090"
	}
	service, err := client(t).CoreV1().Services("staging").Get(t.Context(), "shop", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.targets["staging's Service"] = net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port)))
}

// startPause starts a pod that does nothing.
func startPause(t *testing.T, namespace string, labels map[string]string) core.Pod {
	t.Helper()
	pods := client(t).CoreV1().Pods(namespace)
	pod := &core.Pod{ObjectMeta: meta.ObjectMeta{GenerateName: "pause-", Labels: labels}, Spec: core.PodSpec{
		AutomountServiceAccountToken: new(bool), TerminationGracePeriodSeconds: new(int64),
		Containers: []core.Container{{Name: "pause", Image: "sandbox.invalid/pause:1", ImagePullPolicy: core.PullNever}},
	}}
	await(t, "a service account in "+namespace, func() bool {
		created, err := pods.Create(t.Context(), pod, meta.CreateOptions{})
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		pod.Name = created.GetName()
		return err == nil
	})
	var running *core.Pod
	await(t, "a pod in "+namespace, func() bool {
		var err error
		if running, err = pods.Get(t.Context(), pod.Name, meta.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		return isReady(*running)
	})
	return *running
}

// processOf returns a process of a pod.
func processOf(t *testing.T, pod core.Pod) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte("/pod"+string(pod.UID)+"/")) { // a process may have ended
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("pod %s/%s has no process", pod.Namespace, pod.Name)
	return 0
}

// within calls do on a thread in the network of a process; a socket stays in the network in which it was opened.
func within(pid int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		space, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			done <- err
			return
		}
		defer space.Close()
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network of process %d: %w", pid, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// listen accepts connections in the network of a process until the test ends, and returns the address.
func listen(t *testing.T, pid int, ip string, port int) string {
	t.Helper()
	var listener net.Listener
	address := net.JoinHostPort(ip, strconv.Itoa(port))
	err := within(pid, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Close()
		}
	}()
	return address
}

// connects reports whether a connection from an origin arrives.
func connects(ctx context.Context, from origin, to string) (arrives bool, err error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if from.address != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from.address)}
	}
	err = within(from.pid, func() error {
		connection, err := dialer.DialContext(ctx, "tcp4", to)
		var failed *net.OpError
		if errors.As(err, &failed) { // refused, or not answered in time
			return nil
		}
		if err != nil {
			return err
		}
		arrives = true
		return connection.Close()
	})
	return arrives, err
}

// awaitPairs waits until exactly these pairs connect.
func (n *network) awaitPairs(t *testing.T, when string, want []string) {
	t.Helper()
	slices.Sort(want)
	want = slices.Compact(want)
	began := time.Now()
	for {
		got := n.connecting(t)
		diff := cmp.Diff(want, got)
		if diff == "" {
			t.Logf("%s: %d of %d pairs connect, after %.1f s", when, len(got), len(n.pairs()), time.Since(began).Seconds())
			return
		}
		if time.Since(began) > time.Minute || t.Context().Err() != nil {
			t.Fatalf("%s, other pairs connect (-want +got):\n%s", when, diff)
		}
	}
}

// connecting lists the pairs of which one connects to the other.
func (n *network) connecting(t *testing.T) (pairs []string) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(256) // all at once: most of them wait for an answer that does not come
	var mu sync.Mutex
	for _, from := range n.origins {
		for to, address := range n.targets {
			if from.name == to {
				continue
			}
			group.Go(func() error {
				arrives, err := connects(ctx, from, address)
				if mu.Lock(); arrives {
					pairs = append(pairs, from.name+" -> "+to)
				}
				mu.Unlock()
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(pairs)
	return pairs
}

// startController runs kube-router's firewall on the node until the test ends, and removes what it leaves there.
func (n *network) startController(t *testing.T, program string) {
	t.Helper()
	enter := []string{"--target", strconv.Itoa(n.node), "--mount", "--net", "--pid", "--"}
	t.Cleanup(func() {
		for _, command := range [][]string{{"iptables", "-F"}, {"iptables", "-X"}, {"ipset", "destroy"}} {
			var text []byte
			var err error
			for range 50 { // the kernel frees the rules, which name the sets, some time after they are gone
				if text, err = exec.Command("nsenter", append(enter, command...)...).CombinedOutput(); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("%v on the node: %v: %s", command, err, text)
			}
		}
	})
	background(t, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NODE_NAME=sandbox"}, "nsenter", append(enter, program, "--kubeconfig="+site.kubeconfig, "--master=https://127.0.0.1:6443",
		"--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--service-cluster-ip-range=10.96.0.0/16", "--v=1")...)
}
