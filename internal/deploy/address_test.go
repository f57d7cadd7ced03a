package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

func balancers(names ...string) (objects []release.Object) {
	for _, name := range names {
		objects = append(objects, release.Object{APIVersion: "v1", Kind: "Service", Namespace: "staging", Name: name})
	}
	return objects
}

// TestAnUnclearAddressIsRefusedBeforeAnythingChanges, with advice that the verb itself takes.
func TestAnUnclearAddressIsRefusedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	elsewhere := []release.Object{{Kind: "Service", Namespace: "edge", Name: "web"}, {Kind: "Service", Namespace: "more", Name: "web"}}
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		want  string
	}{
		"two load balancers":               {&fakes{endpoints: balancers("web", "admin")}, nil, "--address: OD-209 the release has 2 addresses, none is named as the release, and none of them leads to pods of its main image: service/web, service/admin"},
		"two in front":                     {&fakes{endpoints: balancers("web", "admin", "mail"), leading: balancers("web", "admin")}, nil, "3 addresses, none is named as the release, and 2 of them lead to pods of its main image: service/web, service/admin, service/mail"},
		"one that the chart does not have": {&fakes{endpoints: balancers("web", "admin")}, []string{"--address", "service/wbe"}, "it renders service/web, service/admin"},
		"one of two namespaces":            {&fakes{endpoints: elsewhere}, []string{"--address", "service/web"}, "the chart renders service/web in several namespaces: service/edge/web, service/more/web"},
		"one of a namespace without it":    {&fakes{endpoints: elsewhere}, []string{"--address", "service/none/web"}, "the chart renders no service/none/web that has an address; it renders service/edge/web, service/more/web"},
		"two in other namespaces":          {&fakes{endpoints: elsewhere}, nil, "service/edge/web, service/more/web"},
		"of the wrong kind":                {&fakes{endpoints: balancers("web")}, []string{"--address", "ingress/web"}, "the chart renders no ingress/web"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := test.fakes.run(t, test.flags...)
			if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), test.want) || len(test.fakes.done) > 0 {
				t.Errorf("did %v, got %v", test.fakes.done, err)
			}
		})
	}
}

// TestAReadyReleaseIsVerifiedWithoutAnAddress: that it is served nowhere, or nobody knows where, says nothing against it.
func TestAReadyReleaseIsVerifiedWithoutAnAddress(t *testing.T) {
	t.Parallel()
	late := &release.Failure{What: "release \"shop\" has no external address in time", Err: stuck{release.Diagnosis{Code: causes.NoAddress, Reason: "NoAddress"}}}
	edge := release.Object{Kind: "Service", Namespace: "edge", Name: "b"}
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		asks  string
		url   string
	}{
		"two, one in front":        {&fakes{endpoints: balancers("web", "admin"), leading: balancers("admin")}, nil, "address service/admin", "http://127.0.0.1"},
		"named among two":          {&fakes{endpoints: balancers("web", "admin")}, []string{"--address", "service/admin"}, "address service/admin", "http://127.0.0.1"},
		"in another namespace":     {&fakes{endpoints: append(balancers("web"), release.Object{Kind: "Service", Namespace: "other", Name: "b"})}, nil, "address service/web", "http://127.0.0.1"},
		"in another one only":      {&fakes{endpoints: []release.Object{edge}}, nil, "address service/edge/b", "http://127.0.0.1"},
		"named in another one":     {&fakes{endpoints: append(balancers("web"), edge)}, []string{"--address", "service/b"}, "address service/edge/b", "http://127.0.0.1"},
		"named with its namespace": {&fakes{endpoints: append(balancers("b"), edge)}, []string{"--address", "service/edge/b"}, "address service/edge/b", "http://127.0.0.1"},
		"given":                    {&fakes{endpoints: balancers("web", "admin")}, []string{"--address", "https://shop.example.com"}, "", "https://shop.example.com"},
		"none":                     {&fakes{endpoints: balancers("web", "admin")}, []string{"--address", "none"}, "", ""},
		"inside only":              {&fakes{inside: true, noURL: true}, nil, "address auto", ""},
		"an address that is late":  {&fakes{addrErr: late}, nil, "address service/shop", ""},
		"none, and smoke checks":   {&fakes{}, []string{"--address", "none", "--smoke-checks", "default"}, "", ""},
		"inside, and smoke checks": {&fakes{inside: true, noURL: true}, []string{"--smoke-checks", "default"}, "address auto", ""},
		"late, and smoke checks":   {&fakes{addrErr: late}, []string{"--smoke-checks", "default"}, "address service/shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, log, err := test.fakes.run(t, test.flags...)
			mark := "mark 7 ready"
			if slices.Contains(test.flags, "--smoke-checks") { // its pods were asked instead
				if mark = "mark 7 proved"; !slices.Contains(test.fakes.done, `smoke pods with ""`) {
					t.Errorf("did %v", test.fakes.done)
				}
			}
			if err != nil || result.URL != test.url || !slices.Contains(test.fakes.done, mark) {
				t.Errorf("got URL %q, %v, did %v", result.URL, err, test.fakes.done)
			}
			if test.asks != "" && !slices.Contains(test.fakes.done, test.asks) || test.asks == "" && strings.Contains(strings.Join(test.fakes.done, "\n"), "address") {
				t.Errorf("did %v", test.fakes.done)
			}
			if test.fakes.addrErr != nil {
				check(t, log, "warning: the release is ready, but its address is not known: ")
			}
		})
	}
}

// TestAnAddressThatNothingNeedsTakesItsOwnTime: not what the rollout has left over, minutes at every deploy whose Ingress nobody serves.
func TestAnAddressThatNothingNeedsTakesItsOwnTime(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]time.Duration{"": 2 * time.Minute, "--smoke-checks default": 7 * time.Minute} {
		fakes := &fakes{endpoints: balancers("web")}
		if _, _, err := fakes.run(t, append(strings.Fields(flags), "--timeout", "10m")...); err != nil {
			t.Fatal(err)
		}
		if got := fakes.addressTime; got > want || got < want-time.Minute {
			t.Errorf("%q: got %s, want %s", flags, got, want)
		}
	}
}

// TestAnAddressThatLeadsElsewhereIsWarnedOf and not called the place where the release is served, where no smoke check asks it.
func TestAnAddressThatLeadsElsewhereIsWarnedOf(t *testing.T) {
	t.Parallel()
	web := balancers("web")[0]
	route := func(path string, pods ...string) release.Route {
		r := release.Route{Via: web, Service: web, Path: path}
		for _, pod := range pods {
			r.Endpoints = append(r.Endpoints, release.Backend{Namespace: "staging", Pod: pod, IP: "10.0.0.1", Port: 80})
		}
		return r
	}
	always := func(routes ...release.Route) func() []release.Route {
		return func() []release.Route { return routes }
	}
	labelled, unchecked, foreign := route("/", "proxy"), route("/"), route("/", "stranger")
	labelled.Endpoints[0].Labelled, unchecked.Unchecked, foreign.Foreign = true, "Service/web has no selector", true
	late := func() func() []release.Route {
		asked := 0
		return func() []release.Route {
			if asked++; asked < 4 {
				return []release.Route{route("/")}
			}
			return []release.Route{route("/", "shop-1")}
		}
	}
	for name, test := range map[string]struct {
		fakes *fakes
		flags []string
		warns string // "": it is served there
	}{
		"the release's pods":              {&fakes{behind: always(route("/", "shop-1"))}, nil, ""},
		"pods of somebody else":           {&fakes{behind: always(route("/", "stranger"))}, nil, `Service/web sends requests to pod "stranger", which is not a pod of release "shop" that is meant to run`},
		"nothing":                         {&fakes{behind: always(route("/"))}, nil, "Service/web has no ready endpoint"},
		"endpoints that are late":         {&fakes{behind: late()}, nil, ""},
		"a proxy of the release":          {&fakes{behind: always(labelled)}, nil, ""},
		"endpoints that cannot be known":  {&fakes{behind: always(unchecked)}, nil, ""},
		"no Service and no Ingress":       {&fakes{behind: always()}, nil, ""},
		"a cluster that does not answer":  {&fakes{behind: always(route("/")), behindErr: errors.New("refused")}, nil, ""},
		"another path":                    {&fakes{behind: always(route("/api", "shop-1"))}, nil, ""},
		"another path, to somebody else":  {&fakes{behind: always(route("/api", "stranger"))}, nil, `pod "stranger"`},
		"another release's path":          {&fakes{behind: always(route("/api", "shop-1"), foreign)}, nil, `pod "stranger"`},
		"a URL whose path nothing serves": {&fakes{behind: always(route("/api", "shop-1"))}, []string{"--address", "https://shop.example/blog/"}, "no path of Service/web serves /blog"},
		"smoke checks, which ask it":      {&fakes{behind: always(route("/"))}, []string{"--smoke-checks", "default"}, ""},
		"a release that is scaled to zero": {&fakes{behind: always(route("/")), running: func() release.Running {
			running := releasetest.Running()
			running.Workloads[0].WantsPods = false
			return running
		}}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				test.fakes.endpoints = balancers("web")
				_, log, err := test.fakes.run(t, test.flags...)
				if err != nil {
					t.Fatal(err)
				}
				if served := strings.Contains(log, "served at "); served != (test.warns == "") || !strings.Contains(log, test.warns) {
					t.Errorf("logged\n%s", log)
				}
			})
		})
	}
}
