package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorization "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/eks"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
)

// TestEKS goes the whole way of EKS on a node of its own: from the cluster's name to its endpoint and authority, from AWS
// credentials to a token, and with the token through the API server's webhook and RBAC to a list of namespaces.
func TestEKS(t *testing.T) {
	beside(t)
	if os.Getenv("ONEDIGEST_E2E") == "" {
		t.Skip("NOT CHECKED: needs a real node; set ONEDIGEST_E2E=1")
	}
	e := newEKS(t)
	t.Run("nobody without an access entry", func(t *testing.T) {
		e.put(t, "shop")
		if _, err := e.client(t, "shop").CoreV1().Namespaces().List(t.Context(), meta.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("got %v, want 401", err)
		}
	})
	t.Run("a principal of no group may nothing", func(t *testing.T) {
		e.put(t, "shop", localaws.AccessEntry{})
		err := e.waitUntil(t, "the token to be taken", func(client kubernetes.Interface) (bool, error) {
			_, err := client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})
			return !apierrors.IsUnauthorized(err), err
		})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "`+e.aws.Principal()+`" cannot list resource "namespaces"`) {
			t.Errorf("got %v, want it forbidden to the principal by name", err)
		}
	})
	t.Run("a deployer lists namespaces and may deploy", func(t *testing.T) {
		e.put(t, "shop", localaws.AccessEntry{Groups: []string{"onedigest:deployers"}})
		var names []string
		err := e.waitUntil(t, "the group to count", func(client kubernetes.Interface) (bool, error) {
			list, err := client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})
			if err != nil {
				return !apierrors.IsForbidden(err), err
			}
			for _, namespace := range list.Items {
				names = append(names, namespace.Name)
			}
			return true, nil
		})
		if err != nil || !strings.Contains(strings.Join(names, " "), "kube-system") {
			t.Errorf("got %v, %v", names, err)
		}
		for resource, want := range map[authorization.ResourceAttributes]bool{
			{Verb: "create", Resource: "namespaces"}:                                               true,
			{Verb: "create", Resource: "secrets", Namespace: "default"}:                            true,
			{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "default"}:         true,
			{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "x"}:     true,
			{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}:         false,
			{Verb: "delete", Resource: "nodes"}:                                                    false,
			{Verb: "delete", Resource: "namespaces"}:                                               false,
			{Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: false,
		} {
			review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &resource}}
			answer, err := e.client(t, "shop").AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, meta.CreateOptions{})
			if err != nil || answer.Status.Allowed != want {
				t.Errorf("%s %s: got %+v, %v, want %t", resource.Verb, resource.Resource, answer, err, want)
			}
		}
	})
	t.Run("a token for another cluster opens nothing", func(t *testing.T) {
		e.put(t, "other", localaws.AccessEntry{Groups: []string{"onedigest:deployers"}})
		if _, err := e.client(t, "other").CoreV1().Namespaces().List(t.Context(), meta.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("got %v, want 401", err)
		}
	})
	t.Run("tokens that end while a watch is open", e.checkTokenRenewal)
}

// tokenLife is how long the stand-in accepts a token; the client counts on 14 minutes, as with AWS.
const tokenLife = 4 * time.Second

// site of EKS: a node whose API server asks the webhook of a local AWS in this process.
type eksSite struct {
	aws        *localawstest.Server
	kubeconfig string
}

func newEKS(t *testing.T) eksSite {
	t.Helper()
	e := eksSite{aws: localawstest.Start(t, func(o *localaws.Options) { o.Account, o.ClusterTokenLife = "123456789012", tokenLife })}
	sandbox, err := filepath.Abs("../bin/sandbox")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/lib", "onedigest-eks-") // short, for unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, args ...string) string {
		t.Helper()
		command := exec.CommandContext(ctx, sandbox, append(args, "--dir", dir)...)
		command.Dir = ".."
		text, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("sandbox %v: %v\n%s", args, err, text)
		}
		t.Logf("sandbox %v\n%s", args, text)
		return strings.TrimSpace(string(text))
	}
	t.Cleanup(func() { run(context.Background(), "down") })
	run(t.Context(), "up", "--provider", "native", "--token-webhook", e.aws.URL()+localaws.ReviewPath("shop"))
	e.kubeconfig = run(t.Context(), "kubeconfig")
	return e
}

// put makes the node known as an EKS cluster.
func (e eksSite) put(t *testing.T, name string, access ...localaws.AccessEntry) {
	t.Helper()
	made, err := localaws.ClusterFromKubeconfig(name, e.kubeconfig)
	if err == nil {
		made.Access = access
		err = e.aws.PutCluster(made)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// client is what deploy has: the cluster by its name, the access by tokens.
func (e eksSite) client(t *testing.T, name string) kubernetes.Interface {
	t.Helper()
	environment := e.aws.EnvMap()
	cloud, err := eks.New(t.Context(), eks.Options{Environ: func(name string) string { return environment[name] }})
	if err != nil {
		t.Fatal(err)
	}
	found, err := cloud.Cluster(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(kubeconfig.Bearer(found.Endpoint, found.CA, func(ctx context.Context) (string, time.Time, error) {
		return cloud.Token(ctx, name)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitUntil asks with a client after another until it is done, 30 seconds at most: the API server keeps a token's answer for
// 10 seconds, and two tokens of one second are the same.
func (e eksSite) waitUntil(t *testing.T, what string, done func(kubernetes.Interface) (bool, error)) error {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		finished, err := done(e.client(t, "shop"))
		if finished {
			return err
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s: %v", what, err)
		}
	}
}

// checkTokenRenewal lists namespaces over the life of several tokens. The API server refuses each once it has ended, and no call
// fails for it; a watch that was begun with the first goes on.
func (e eksSite) checkTokenRenewal(t *testing.T) {
	client := e.client(t, "shop")
	watching, err := client.CoreV1().Namespaces().Watch(t.Context(), meta.ListOptions{FieldSelector: "metadata.name=default"})
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Stop()
	<-watching.ResultChan() // what is there already
	_, before := e.aws.TokenReviews()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	calls := 0
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if _, refused := e.aws.TokenReviews(); refused >= before+2 {
			t.Logf("%d calls, %d tokens refused, no error", calls, refused-before)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no token was refused in a minute")
		}
		if _, err := client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{}); err != nil {
			t.Fatalf("call %d: %v", calls, err)
		}
		calls++
	}
	e.label(t, "default")
	select {
	case event, more := <-watching.ResultChan():
		if !more || event.Type != "MODIFIED" {
			t.Errorf("the watch reports %+v (open: %t)", event, more)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch reports nothing")
	}
}

// label changes a namespace, as the node's administrator.
func (e eksSite) label(t *testing.T, name string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", e.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"e2e":%q}}}`, "seen")
	if _, err := client.CoreV1().Namespaces().Patch(t.Context(), name, "application/merge-patch+json", patch, meta.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}
