package smoke_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestAnswersWithoutACommitCountOnlyFromTheReleasesPods: what answers at an address may be anything, unless it names the commit or only the release's pods are behind it.
func TestAnswersWithoutACommitCountOnlyFromTheReleasesPods(t *testing.T) {
	t.Parallel()
	edge := release.Object{APIVersion: "v1", Kind: "Service", Namespace: "staging", Name: "edge"}
	route := func(path string, pods ...string) release.Route {
		r := release.Route{Via: edge, Service: edge, Path: path}
		for _, pod := range pods {
			r.Endpoints = append(r.Endpoints, release.Backend{Namespace: "staging", Pod: pod, IP: "10.0.0.1", Port: 80})
		}
		return r
	}
	external := route("/")
	external.Unchecked = "Service/edge is of type ExternalName"
	elsewhere := route("/", "a")
	elsewhere.Endpoints[0].Namespace = "other"
	noPod := route("/")
	noPod.Endpoints = []release.Backend{{Namespace: "staging", IP: "192.0.2.1", Port: 80}}
	broken := route("/")
	broken.Broken = "Ingress/shop leads to Service/egde, which does not exist"
	proxy := route("/", "proxy")
	proxy.Endpoints[0].Labelled = true
	longer := route("/blog", "stranger")
	longer.Foreign = true
	same := route("/", "stranger")
	same.Foreign = true
	throughIngress := route("/", "stranger")
	throughIngress.Via = release.Object{Kind: "Ingress", Namespace: "staging", Name: "shop"}
	unnamed := release.Answer{Stage: release.StageDone, Status: 200}
	at := func(path string, of release.Answer) release.Answer {
		of.Path = path
		return of
	}
	byController := route("/api", "a")
	byController.Loose = true
	pods := func() release.Backends {
		return release.Backends{Pods: []release.BackendPod{{Backend: release.Backend{Namespace: "staging", Pod: "a"}, Runs: true}, {Backend: release.Backend{Namespace: "staging", Pod: "old"}}}}
	}
	for name, test := range map[string]struct {
		behind []release.Route
		err    error
		answer release.Answer
		exit   int
		says   string // the error, or a line
		checks []release.Check
	}{
		"the release's pod":                                {[]release.Route{route("/", "a")}, nil, unnamed, 0, "", nil},
		"another release's pod":                            {[]release.Route{route("/", "stranger")}, nil, unnamed, 1, `Service/edge sends requests to pod "stranger", which is not a pod of release "shop" that runs`, nil},
		"another pod among them":                           {[]release.Route{route("/", "a", "stranger")}, nil, unnamed, 1, `pod "stranger"`, nil},
		"the release's pod of another one":                 {[]release.Route{route("/", "old")}, nil, unnamed, 1, `pod "old"`, nil},
		"a pod of that name elsewhere":                     {[]release.Route{elsewhere}, nil, unnamed, 1, `pod "a"`, nil},
		"an address that is no pod":                        {[]release.Route{noPod}, nil, unnamed, 1, "address 192.0.2.1", nil},
		"nothing":                                          {[]release.Route{route("/")}, nil, unnamed, 1, "Service/edge has no ready endpoint", nil},
		"through an Ingress":                               {[]release.Route{throughIngress}, nil, unnamed, 1, "Service/edge, to which Ingress/shop leads, sends requests", nil},
		"to a Service that does not exist":                 {[]release.Route{broken}, nil, unnamed, 1, "Ingress/shop leads to Service/egde, which does not exist", nil},
		"through a proxy of the release":                   {[]release.Route{proxy}, nil, unnamed, 0, `pod "proxy", which is the release's and runs another image`, nil},
		"two Services with one address":                    {[]release.Route{route("/", "database"), route("/", "a")}, nil, unnamed, 0, "", nil},
		"a backend without pods beside":                    {[]release.Route{route("/"), route("/", "a")}, nil, unnamed, 0, "", nil},
		"a longer path of another release":                 {[]release.Route{route("/", "a"), longer}, nil, unnamed, 1, `pod "stranger"`, []release.Check{{Name: "blog", Path: "/blog/1"}}},
		"the same path of another release":                 {[]release.Route{same, route("/", "a")}, nil, unnamed, 0, "", nil},
		"the same path of another release, which is later": {[]release.Route{route("/", "a"), same}, nil, unnamed, 0, "", nil},
		"the expected commit is named":                     {[]release.Route{route("/", "stranger")}, nil, answerFrom(commit), 0, "", nil},
		"a Service that names no pods":                     {[]release.Route{external}, nil, unnamed, 0, "cannot be known: Service/edge is of type ExternalName", nil},
		"no Service and no Ingress":                        {nil, nil, unnamed, 0, "cannot be known: no Service and no Ingress of the release has its host", nil},
		"what is behind cannot be read":                    {nil, errors.New("refused"), unnamed, 3, "cannot be read: refused", nil},
		"no path serves the check":                         {[]release.Route{route("/api", "a")}, nil, at("/health", unnamed), 1, "no path of Service/edge serves /health", []release.Check{{Name: "health", Path: "/health"}}},
		"no path serves a connection":                      {[]release.Route{route("/api", "a")}, nil, unnamed, 0, "it is not known to which Service / leads", nil},
		"no path serves it, and it names the commit":       {[]release.Route{route("/api", "a")}, nil, at("/health", answerFrom(commit)), 0, "", nil},
		"the controller decides which paths it serves":     {[]release.Route{byController}, nil, at("/apis", unnamed), 0, "it is not known to which Service /apis leads", nil},
		"a redirect to a path that is served":              {[]release.Route{route("/api", "a")}, nil, at("/api/v1", unnamed), 0, "", nil},
		"a redirect to a path of another release":          {[]release.Route{route("/", "a"), longer}, nil, at("/blog/1", unnamed), 1, `pod "stranger"`, nil},
		"another path leads elsewhere":                     {[]release.Route{route("/", "a"), route("/blog", "stranger")}, nil, unnamed, 0, "", nil},
		"the path of a check leads there":                  {[]release.Route{route("/", "a"), route("/blog", "stranger")}, nil, unnamed, 1, `pod "stranger"`, []release.Check{{Name: "blog", Path: "/blog/1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{behind: test.behind, behindErr: test.err, backends: pods, answers: []release.Answer{test.answer}, checks: test.checks, live: 4, revision: commit.String(),
				pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}}}
			_, err := fake.run(t, "--release", "shop", "--image", image(t).String(), "--environment", "staging", "--timeout", "60s", "--patience", "10s")
			if release.ExitCode(err) != test.exit || test.exit != 0 && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want exit code %d", err, test.exit)
			}
			if lines := strings.Join(fake.lines, "\n"); test.exit == 0 && test.says != "" && strings.Count(lines, test.says) != 1 {
				t.Errorf("reported\n%s", lines)
			}
			if proved := len(fake.marked) == 1 && len(fake.recorded) == 1; proved != (test.exit == 0) || len(fake.marked) != len(fake.recorded) {
				t.Errorf("marked %v, recorded %v", fake.marked, fake.recorded)
			}
		})
	}
}

// TestAPodThatBecomesReadyInARound is the release's, although it was not when the round began.
func TestAPodThatBecomesReadyInARound(t *testing.T) {
	t.Parallel()
	edge := release.Object{APIVersion: "v1", Kind: "Service", Namespace: "staging", Name: "edge"}
	asked := 0
	fake := &fakeDeps{answers: []release.Answer{{Stage: release.StageDone, Status: 200}}, live: 4, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest}}},
		behind: []release.Route{{Via: edge, Service: edge, Path: "/", Endpoints: []release.Backend{{Namespace: "staging", Pod: "b"}}}},
		backends: func() (backends release.Backends) {
			names := []string{"a", "b"}
			if asked++; asked == 1 {
				names = names[:1]
			}
			for _, name := range names {
				backends.Pods = append(backends.Pods, release.BackendPod{Backend: release.Backend{Namespace: "staging", Pod: name}, Runs: true})
			}
			return backends
		}}
	result, err := fake.run(t, "--release", "shop", "--image", image(t).String(), "--environment", "staging", "--timeout", "60s")
	if err != nil || result.Report.Errors > 0 {
		t.Errorf("got %v, %d errors", err, result.Report.Errors)
	}
}

// TestTheDefaultCheckAsksAServedPath: what answers at / through an Ingress that serves another path is its controller.
func TestTheDefaultCheckAsksAServedPath(t *testing.T) {
	t.Parallel()
	ingress := release.Object{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: "staging", Name: "shop"}
	route := func(path string, endpoints ...release.Backend) release.Route {
		return release.Route{Via: ingress, Service: release.Object{Kind: "Service", Namespace: "staging", Name: "shop"}, Path: path, Endpoints: endpoints}
	}
	pod := release.Backend{Namespace: "staging", Pod: "a"}
	loose := route("/api", pod)
	loose.Loose = true
	for name, test := range map[string]struct {
		behind []release.Route
		want   string
	}{
		"another path":           {[]release.Route{route("/empty"), route("/api", pod)}, "/api"},
		"the root too":           {[]release.Route{route("/api", pod), route("/", pod)}, "/"},
		"none with pods":         {[]release.Route{route("/api")}, "/"},
		"it is not known":        {[]release.Route{loose}, "/"},
		"a route of other kinds": {nil, "/"},
	} {
		var asked []string
		fake := &fakeDeps{behind: test.behind, defaultChecks: true, live: 4, revision: commit.String(), pods: [][]release.PodImage{{{Pod: "a", Digest: image(t).Digest, Ready: true}}},
			backends: func() release.Backends {
				return release.Backends{Pods: []release.BackendPod{{Backend: pod, Runs: true}}}
			}, answers: []release.Answer{answerFrom(commit)}, sent: func(check release.Check) { asked = append(asked, check.Path) }}
		if _, err := fake.run(t, "--release", "shop", "--image", image(t).String(), "--environment", "staging", "--timeout", "60s"); err != nil || len(asked) == 0 || asked[0] != test.want {
			t.Errorf("%s: got %v, asked %q", name, err, asked)
		}
	}
}
