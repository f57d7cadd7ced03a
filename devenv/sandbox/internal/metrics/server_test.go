package metrics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregated "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
	typed "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/pki"
)

// site is a server with the authorities of a sandbox, at an address.
type site struct {
	server             *Server
	address            string
	authority, proxies *pki.Authority
}

func newSite(t *testing.T) site {
	t.Helper()
	pod := func(namespace, name string, phase core.PodPhase) *core.Pod {
		return &core.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
			Status:     core.PodStatus{Phase: phase},
		}
	}
	node := &core.Node{ObjectMeta: metav1.ObjectMeta{Name: "sandbox", Labels: map[string]string{"zone": "here"}}}
	client := fake.NewClientset(node,
		pod("default", "sample", core.PodRunning), pod("default", "unread", core.PodRunning), pod("other", "sample", core.PodSucceeded))
	s := site{server: New(client, slog.New(slog.DiscardHandler))}
	s.server.figures = replay(t, "first.txt", "second.txt")
	var err error
	if s.authority, err = pki.NewAuthority("sandbox", time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.proxies, err = pki.NewAuthority("front-proxy", time.Now()); err != nil {
		t.Fatal(err)
	}
	own := certificate(t, s.authority, pki.Subject{Name: Service, DNS: []string{Host}})
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(s.proxies.Certificate)
	config := &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.server.readAll(t.Context())
	ctx, stop := context.WithCancelCause(context.Background()) // the test's own ends before its cleanup
	ended := make(chan error, 1)
	go func() { ended <- s.server.Run(ctx, listener, config) }()
	stopped := errors.New("the test is over")
	t.Cleanup(func() {
		stop(stopped)
		if err := <-ended; !errors.Is(err, stopped) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

// replay gives one file after the other, and the last one ever after.
func replay(t *testing.T, files ...string) func(context.Context, string) ([]byte, error) {
	var turn atomic.Int64
	return func(_ context.Context, node string) ([]byte, error) {
		if node != "sandbox" {
			t.Errorf("node %q was asked", node)
		}
		return os.ReadFile("testdata/" + files[min(int(turn.Add(1)), len(files))-1])
	}
}

func certificate(t *testing.T, by *pki.Authority, subject pki.Subject) tls.Certificate {
	t.Helper()
	pair, err := by.Issue(subject, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// as is a client that shows these certificates.
func (s site) as(own ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.authority.Certificate)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: Host, Certificates: own, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true,
	}}
}

// TestTypedClient reads the metrics with the client of k8s.io/metrics, as a HorizontalPodAutoscaler does.
func TestTypedClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	own := certificate(t, s.proxies, pki.Subject{Name: Aggregator})
	client, err := typed.NewForConfigAndClient(&rest.Config{Host: "https://" + s.address}, s.as(own))
	if err != nil {
		t.Fatal(err)
	}
	metrics := client.MetricsV1beta1()
	await(t, func() bool {
		one, err := metrics.PodMetricses("default").Get(t.Context(), "sample", metav1.GetOptions{})
		return err == nil && len(one.Containers) == 2
	})
	list, err := metrics.PodMetricses("").List(t.Context(), metav1.ListOptions{LabelSelector: "app=sample"})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("got %d pods, %v", len(list.Items), err)
	}
	one := list.Items[0]
	if one.Namespace != "default" || one.Labels["app"] != "sample" || one.Window.Duration != 11278*time.Millisecond ||
		one.Timestamp.Unix() != 1795420615 {
		t.Errorf("got %+v", one)
	}
	if got := one.Containers[1]; got.Name != "b" || plain(got.Usage) != "0 948Ki" {
		t.Errorf("container %q uses %s", got.Name, plain(got.Usage))
	}
	none, err := metrics.PodMetricses("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=other"})
	if err != nil || len(none.Items) != 0 {
		t.Errorf("of another label: %d pods, %v", len(none.Items), err)
	}
	nodes, err := metrics.NodeMetricses().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 1 || plain(nodes.Items[0].Usage) != "1996016673n 5970576Ki" || nodes.Items[0].Labels["zone"] != "here" {
		t.Errorf("got %+v, %v", nodes, err)
	}
	if _, err := metrics.NodeMetricses().Get(t.Context(), "sandbox", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	found, err := client.ServerResourcesForGroupVersion(version)
	if err != nil || len(found.APIResources) != 2 {
		t.Errorf("discovered: %+v, %v", found, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	client := s.as(certificate(t, s.proxies, pki.Subject{Name: Aggregator}))
	for name, test := range map[string]struct {
		method, path string
		want         string // status and what the answer says
	}{
		"another pod":      {"GET", "/namespaces/default/pods/nosuch", `404 pods "nosuch" not found`},
		"an unread pod":    {"GET", "/namespaces/default/pods/unread", `404 pods.metrics.k8s.io "default/unread" not found`},
		"a finished pod":   {"GET", "/namespaces/other/pods/sample", `404 pods.metrics.k8s.io "other/sample" not found`},
		"another node":     {"GET", "/nodes/nosuch", `404 nodes "nosuch" not found`},
		"another resource": {"GET", "/flowers", "404 the server could not find the requested resource"},
		"a watch":          {"GET", "/pods?watch=true", `405 watch is not supported on resources of kind "pods.metrics.k8s.io"`},
		"no watch":         {"GET", "/pods?watch=false", `200 "PodMetricsList"`},
		"a deletion":       {"DELETE", "/nodes/sandbox", `405 delete is not supported on resources of kind "nodes.metrics.k8s.io"`},
		"a creation":       {"POST", "/namespaces/default/pods", `405 create is not supported on resources of kind "pods.metrics.k8s.io"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, client, test.method, "https://"+s.address+"/apis/"+version+test.path)
			code, words, _ := strings.Cut(test.want, " ")
			if !strings.HasPrefix(got, code) || !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), words) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if code != "200" && !strings.Contains(got, `"kind":"Status"`) {
				t.Errorf("it is no Status: %s", got)
			}
		})
	}
}

// TestOnlyTheAggregatorIsAnswered tries certificates of the wrong name, of the wrong authority, and none.
func TestOnlyTheAggregatorIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	url := "https://" + s.address + "/apis/" + version + "/pods"
	somebody := certificate(t, s.proxies, pki.Subject{Name: "somebody"})
	if got := ask(t, s.as(somebody), "GET", url); !strings.HasPrefix(got, "401") || !strings.Contains(got, `"reason":"Unauthorized"`) {
		t.Errorf("another name: %s", got)
	}
	for name, own := range map[string][]tls.Certificate{
		"another authority": {certificate(t, s.authority, pki.Subject{Name: Aggregator})},
		"no certificate":    nil,
	} {
		if response, err := s.as(own...).Get(url); err == nil { //nolint:noctx // the client has a timeout
			response.Body.Close() //nolint:errcheck,gosec // it is only looked at
			t.Errorf("%s: answered %s", name, response.Status)
		}
	}
}

func ask(t *testing.T, client *http.Client, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status[:3] + " " + string(body)
}

func await(t *testing.T, met func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 20 s")
		}
	}
}

// TestRegister does it twice: what is there already is left alone. It waits for the API server to say that it is available.
func TestRegister(t *testing.T) {
	t.Parallel()
	client, services, at := fake.NewClientset(), aggregated.NewClientset(), netip.MustParseAddrPort("10.88.0.1:4443")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := Register(ctx, client, services, at, []byte("authority"))
	if err == nil || !strings.Contains(err.Error(), "the API server has not looked for it yet") {
		t.Fatalf("got %v", err)
	}
	known, err := services.ApiregistrationV1().APIServices().Get(t.Context(), "v1beta1.metrics.k8s.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	known.Status.Conditions = []registration.APIServiceCondition{{Type: registration.Available, Status: registration.ConditionTrue}}
	if _, err := services.ApiregistrationV1().APIServices().UpdateStatus(t.Context(), known, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := Register(t.Context(), client, services, at, []byte("authority")); err != nil {
		t.Fatal(err)
	}
	slice, err := client.DiscoveryV1().EndpointSlices(Namespace).Get(t.Context(), Service, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.88.0.1"}, slice.Endpoints[0].Addresses); diff != "" || *slice.Ports[0].Port != 4443 {
		t.Errorf("(-want +got)\n%s, port %d", diff, *slice.Ports[0].Port)
	}
}
