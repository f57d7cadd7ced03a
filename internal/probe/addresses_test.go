package probe

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	known := &names{}
	var many []string
	for i := range maxAddresses + 5 {
		many = append(many, fmt.Sprintf("127.0.1.%d", i))
	}
	known.set("many.example.", many...)
	known.set("zones.example.", "127.0.0.3", "127.0.0.2", "127.0.0.2")
	known.set("one.example.", "127.0.0.2")
	known.set("dual.example.", "127.0.0.2", "127.0.0.3", "2001:db8::1")
	known.set("v6only.example.", "2001:db8::1", "127.0.0.2")
	known.set("metadata.example.", "127.0.0.2", "169.254.169.254")
	known.set("localhost.", "127.0.0.1", "127.0.0.2")
	prober := New(Options{Resolver: resolver(t, known)})
	prober.hasRoute = netip.Addr.Is4 // a machine without IPv6, as GitHub's runners
	for base, want := range map[string][]string{
		"http://zones.example":         {"127.0.0.2", "127.0.0.3"},
		"https://ZONES.example.:8443/": {"127.0.0.2", "127.0.0.3"},
		"http://one.example":           nil,
		"http://dual.example":          {"127.0.0.2", "127.0.0.3"},
		"http://v6only.example":        nil,
		"http://metadata.example":      {"127.0.0.2", "169.254.169.254"}, // Probe says that it is blocked
		"http://localhost:8080":        nil,
		"http://127.0.0.1":             nil,
		"http://nowhere.example":       nil,
		"nonsense":                     nil,
	} {
		if diff := cmp.Diff(want, prober.Addresses(t.Context(), base)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", base, diff)
		}
	}
	if got := prober.Addresses(t.Context(), "http://many.example"); len(got) != maxAddresses {
		t.Errorf("got %d addresses, want %d", len(got), maxAddresses)
	}
	if !hasRoute(netip.MustParseAddr("127.0.0.1")) {
		t.Error("this machine has no route to itself")
	}
}

// Each address is asked by the name: the connection goes to the address, the Host header and the name in TLS stay.
func TestProbeAsksTheGivenAddress(t *testing.T) {
	t.Parallel()
	first, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this machine has no second loopback address")
	}
	_, port, err := net.SplitHostPort(first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Listen("tcp", "127.0.0.3:"+port)
	if err != nil {
		t.Fatal(err)
	}
	hosts := make(chan string, 2)
	for listener, status := range map[net.Listener]int{first: http.StatusOK, second: http.StatusInternalServerError} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hosts <- r.Host
			w.WriteHeader(status)
		}))
		_ = server.Listener.Close()
		server.Listener = listener
		server.Start()
		t.Cleanup(server.Close)
	}
	known := &names{}
	known.set("zones.example.", "127.0.0.2", "127.0.0.3")
	prober := New(Options{Resolver: resolver(t, known)})
	base := "http://zones.example:" + port
	check := release.Check{Path: "/", Method: http.MethodGet, Status: http.StatusOK}
	for address, want := range map[string]int{"127.0.0.2": 200, "127.0.0.3": 500} {
		if got := prober.Probe(t.Context(), Target{Base: base, Address: address}, check); got.Status != want || got.Address != address || got.OK() != (want == 200) {
			t.Errorf("%s: got %+v", address, got)
		}
		if host := <-hosts; host != "zones.example:"+port {
			t.Errorf("%s: Host was %q", address, host)
		}
	}
	if got := prober.Probe(t.Context(), Target{Base: base, Address: "169.254.169.254"}, check); got.Stage != release.StageCheck || !strings.Contains(fmt.Sprint(got.Wrong), "blocked") {
		t.Errorf("the metadata address: got %+v", got)
	}
}

// A 503 of the load balancer itself says nothing about the service; one of the service does, and so does one that is expected.
func TestALoadBalancerWithoutTarget(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		server   string
		expected int
		want     release.Stage
	}{
		"a load balancer's":            {503, "awselb/2.0", 200, release.StageTarget},
		"the service's":                {503, "", 200, release.StageCheck},
		"another server's":             {503, "nginx", 200, release.StageCheck},
		"a load balancer's other code": {502, "awselb/2.0", 200, release.StageCheck},
		"expected":                     {503, "awselb/2.0", 503, release.StageDone},
	} {
		base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.server != "" {
				w.Header().Set("Server", test.server)
			}
			w.WriteHeader(test.status)
		})
		got := New(Options{}).Probe(t.Context(), Target{Base: base}, release.Check{Path: "/", Status: test.expected})
		if got.Stage != test.want || got.Stage.Inconclusive() != (test.want == release.StageTarget) {
			t.Errorf("%s: got %+v, want stage %q", name, got, test.want)
		}
	}
}
