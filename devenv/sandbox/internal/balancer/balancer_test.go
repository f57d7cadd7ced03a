package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// bench is a balancer on a fake API, with a real pod behind it: an HTTP server.
type bench struct {
	client *fake.Clientset
	pod    *httptest.Server
	*Balancer
}

func start(t *testing.T, listen Listen) *bench {
	t.Helper()
	b := &bench{client: fake.NewClientset(), pod: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "pod") //nolint:errcheck,gosec // the client notices
	}))}
	t.Cleanup(b.pod.Close)
	// The endpoint's address names the pod; where it listens is the test's affair.
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", b.pod.Listener.Addr().String())
	}
	b.Balancer = New(b.client, listen, dial, 0, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("running: %v", err)
		}
		if left := b.List(); len(left) > 0 {
			t.Errorf("still served after the end: %v", left)
		}
	})
	return b
}

func onHost(address string) (net.Listener, error) { return net.Listen("tcp4", address) }

func service(port int32) *core.Service {
	return &core.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "shop"},
		Spec:       core.ServiceSpec{Type: core.ServiceTypeLoadBalancer, Ports: []core.ServicePort{{Name: "http", Port: port}}},
	}
}

func (b *bench) create(t *testing.T, s *core.Service) {
	t.Helper()
	if _, err := b.client.CoreV1().Services(s.Namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	slice := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-1", Labels: map[string]string{discovery.LabelServiceName: s.Name}},
		AddressType: discovery.AddressTypeIPv4,
		Endpoints:   []discovery.Endpoint{endpoint("10.0.0.1", nil, nil, nil)},
		Ports:       []discovery.EndpointPort{{Name: point("http"), Port: point(int32(8080))}},
	}
	if _, err := b.client.DiscoveryV1().EndpointSlices(s.Namespace).Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) ingress(t *testing.T) []core.LoadBalancerIngress {
	t.Helper()
	s, err := b.client.CoreV1().Services("staging").Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Status.LoadBalancer.Ingress
}

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func answers(address string) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Get("http://" + address) //nolint:noctx // it has a timeout
	if err != nil {
		return false
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	body, err := io.ReadAll(response.Body)
	return err == nil && string(body) == "pod"
}

func TestAServiceIsServedUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	b := start(t, onHost)
	b.create(t, service(18080))
	await(t, "an address", func() bool { return len(b.ingress(t)) == 1 })
	got := b.ingress(t)[0]
	if got.IPMode == nil || *got.IPMode != core.LoadBalancerIPModeProxy || !strings.HasPrefix(got.IP, "127.77.") {
		t.Errorf("the address is %+v", got)
	}
	address := net.JoinHostPort(got.IP, "18080")
	await(t, "an answer", func() bool { return answers(address) })

	// Another port, the same address.
	s := service(18081)
	s.Status.LoadBalancer.Ingress = b.ingress(t)
	if _, err := b.client.CoreV1().Services("staging").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the other port", func() bool { return answers(net.JoinHostPort(got.IP, "18081")) })
	await(t, "the first port to close", func() bool { return !answers(address) })

	if err := b.client.CoreV1().Services("staging").Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the address to close", func() bool { return !answers(net.JoinHostPort(got.IP, "18081")) })
}

func TestAServiceThatIsNoLongerALoadBalancerLosesItsAddress(t *testing.T) {
	t.Parallel()
	b := start(t, onHost)
	b.create(t, service(18090))
	await(t, "an address", func() bool { return len(b.ingress(t)) == 1 })
	s := service(18090)
	s.Status.LoadBalancer.Ingress = b.ingress(t)
	s.Spec.Type = core.ServiceTypeClusterIP
	if _, err := b.client.CoreV1().Services("staging").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the address to go", func() bool { return len(b.ingress(t)) == 0 && len(b.List()) == 0 })
}

func TestOtherServicesAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := start(t, onHost)
	classed := service(18100)
	classed.Spec.LoadBalancerClass = point("example.com/other")
	classed.Name = "classed"
	internal := service(18100)
	internal.Name, internal.Spec.Type = "internal", core.ServiceTypeClusterIP
	b.create(t, classed)
	b.create(t, internal)
	b.create(t, service(18100)) // comes last: when it is served the others have been looked at
	await(t, "an address", func() bool { return len(b.ingress(t)) == 1 })
	if served := b.List(); len(served) != 1 || served[0].Service != "staging/shop" {
		t.Errorf("served: %v", served)
	}
}

func TestATakenAddressIsSkipped(t *testing.T) {
	t.Parallel()
	first := candidate("staging/shop", 0).String()
	b := start(t, func(address string) (net.Listener, error) {
		if strings.HasPrefix(address, first+":") {
			return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
		}
		return onHost(address)
	})
	b.create(t, service(18110))
	await(t, "an address", func() bool { return len(b.ingress(t)) == 1 })
	if got := b.ingress(t)[0].IP; got != candidate("staging/shop", 1).String() {
		t.Errorf("the address is %s, not the second candidate", got)
	}
}

func TestAFailedListenIsRetried(t *testing.T) {
	t.Parallel()
	calls := make(chan struct{}, 1)
	calls <- struct{}{}
	b := start(t, func(address string) (net.Listener, error) {
		select {
		case <-calls:
			return nil, errors.New("out of file descriptors")
		default:
			return onHost(address)
		}
	})
	b.create(t, service(18120))
	await(t, "an address", func() bool { return len(b.ingress(t)) == 1 })
}
