package kube

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func namespace(phase core.NamespacePhase) *core.Namespace {
	return &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: space}, Status: core.NamespaceStatus{Phase: phase}}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		namespace *core.Namespace
		denied    []string
		broken    func(*http.Request) int
		create    bool
		code      int
		want      []string
	}{
		"ready":                      {namespace(core.NamespaceActive), nil, nil, false, release.ExitDone, nil},
		"absent":                     {nil, nil, nil, false, release.ExitInput, []string{`namespace "staging" does not exist`, "--create-namespace"}},
		"absent, to create":          {nil, nil, nil, true, release.ExitDone, nil},
		"absent, not ours to create": {nil, []string{"create namespaces"}, nil, true, release.ExitFault, []string{`user "deployer" may not create namespaces`}},
		"being deleted":              {namespace(core.NamespaceTerminating), nil, nil, false, release.ExitFault, []string{"being deleted"}},
		"no ReplicaSets":             {namespace(core.NamespaceActive), []string{"watch replicasets"}, nil, false, release.ExitFault, []string{"forbidden", `user "deployer"`, `watch replicasets.apps in namespace "staging"`}},
		"no Leases":                  {namespace(core.NamespaceActive), []string{"update leases"}, nil, false, release.ExitFault, []string{`update leases.coordination.k8s.io in namespace "staging"`}},
		"all that is missing": {namespace(core.NamespaceActive), []string{"list pods", "update secrets", "get secrets", "create leases"}, nil, false, release.ExitFault,
			[]string{`user "deployer" may not get, update secrets; create leases.coordination.k8s.io; list pods in namespace "staging"`}},
		"no Secrets": {namespace(core.NamespaceActive), []string{"create secrets"}, nil, false, release.ExitFault, []string{`create secrets in namespace "staging"`}},
		"namespace hidden": {nil, nil, func(r *http.Request) int {
			if r.Method == http.MethodGet {
				return http.StatusForbidden
			}
			return 0
		}, false, release.ExitDone, nil},
		"credentials refused": {nil, nil, func(*http.Request) int { return http.StatusUnauthorized }, false, release.ExitFault, []string{"refused or expired"}},
		"out of order":        {nil, nil, func(*http.Request) int { return http.StatusServiceUnavailable }, false, release.ExitFault, []string{"cluster: reading namespace"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if test.namespace != nil {
				s.Put(test.namespace)
			}
			for _, verb := range test.denied {
				s.Deny(verb)
			}
			s.Break(test.broken)
			_, err := s.client().Check(context.Background(), space, test.create)
			if got := release.ExitCode(err); got != test.code {
				t.Fatalf("exit %d, %v; want %d", got, err, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

// TestMissing: only the verbs that are denied are named; a user who may not ask is told apart from one who may do everything.
func TestMissing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, access := range []string{"watch pods", "list events", "update leases"} {
		s.Deny(access)
	}
	missing, asked, err := s.client().Missing(t.Context(), space, Permissions)
	var got []string
	for _, rule := range missing {
		got = append(got, strings.Join(rule.Verbs, " ")+" "+rule.Name())
	}
	if want := "update leases.coordination.k8s.io, watch pods, list events"; err != nil || !asked || strings.Join(got, ", ") != want {
		t.Errorf("got %q, %t, %v; want %q", got, asked, err, want)
	}
	s.Break(func(*http.Request) int { return http.StatusForbidden })
	if missing, asked, err := s.client().Missing(t.Context(), space, Permissions); missing != nil || asked || err != nil {
		t.Errorf("got %v, %t, %v of a user who may not ask", missing, asked, err)
	}
	if phase, known, err := s.client().NamespacePhase(t.Context(), space); phase != "" || known || err != nil {
		t.Errorf("got %q, %t, %v of a user who may not read namespaces", phase, known, err)
	}
	s.Break(nil)
	if phase, known, err := s.client().NamespacePhase(t.Context(), space); phase != "" || !known || err != nil {
		t.Errorf("got %q, %t, %v of a namespace that does not exist", phase, known, err)
	}
	for _, want := range []core.NamespacePhase{core.NamespaceActive, core.NamespaceTerminating} {
		s.Put(namespace(want))
		if phase, known, err := s.client().NamespacePhase(t.Context(), space); phase != string(want) || !known || err != nil {
			t.Errorf("got %q, %t, %v of one that is %s", phase, known, err, want)
		}
	}
	s.Break(func(*http.Request) int { return http.StatusUnauthorized })
	_, _, err = s.client().NamespacePhase(t.Context(), space)
	_, _, missingErr := s.client().Missing(t.Context(), space, Permissions)
	if release.ExitCode(err) != release.ExitFault || release.ExitCode(missingErr) != release.ExitFault {
		t.Errorf("got %v, %v without credentials", err, missingErr)
	}
}

func TestCheckUnreachableCluster(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	client, err := New(&rest.Config{Host: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Check(context.Background(), space, false)
	if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v, want a fault that names %s", err, address)
	}
}

// TestCheckNamesEveryMissingPermission takes away one verb of the table after another.
func TestCheckNamesEveryMissingPermission(t *testing.T) {
	t.Parallel()
	for _, permission := range Permissions {
		for _, verb := range permission.Verbs {
			t.Run(verb+" "+permission.Resource, func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				s.Put(namespace(core.NamespaceActive))
				s.Deny(verb + " " + permission.Resource)
				limits, err := s.client().Check(t.Context(), space, false)
				told := fmt.Sprintf(`user "deployer" may not %s %s in namespace "staging"`, verb, permission.Name())
				if permission.Without != "" {
					if err != nil || len(limits) != 1 || limits[0] != told+": "+permission.Without {
						t.Errorf("got %q, %v; want the limit %q", limits, err, told)
					}
					return
				}
				if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), told) || len(limits) > 0 {
					t.Errorf("got %q, %v; want a fault with %q", limits, err, told)
				}
			})
		}
	}
}

// TestCheckAsksOnceOfAnAdministrator: a user who may do everything is asked about no single verb, neither in the same namespace again.
func TestCheckAsksOnceOfAnAdministrator(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(namespace(core.NamespaceActive))
	client := s.client()
	for range 2 {
		if limits, err := client.Check(t.Context(), space, false); err != nil || len(limits) > 0 {
			t.Fatalf("got %q, %v", limits, err)
		}
	}
	if asked := s.Count("post /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"); asked != 1 {
		t.Errorf("%d access reviews, want 1", asked)
	}
}

// TestCheckKindsNamesTheScope: an object may be in another namespace, or in none.
func TestCheckKindsNamesTheScope(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, denied := range []string{"create configmaps", "patch clusterroles", "get services"} {
		s.Deny(denied)
	}
	_, err := s.client().CheckKinds(t.Context(), space, []release.AppliedKind{
		{Resource: "configmaps", Namespace: "other"}, {Resource: "services", Namespace: space}, {Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}})
	want := `user "deployer" may not create configmaps (in namespace "other"); get services; patch clusterroles.rbac.authorization.k8s.io (in the whole cluster) in namespace "staging"`
	if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestCheckKindsOfNamespacesThatDoNotExist: only what the deploy itself makes may be missing.
func TestCheckKindsOfNamespacesThatDoNotExist(t *testing.T) {
	t.Parallel()
	monitor := release.AppliedKind{Group: "monitoring.coreos.com", Resource: "servicemonitors", Namespace: "monitoring"}
	own := release.AppliedKind{Resource: "services", Namespace: space}
	with := func(use release.KindUse) release.AppliedKind { kind := monitor; kind.Use = use; return kind }
	hidden := func(r *http.Request) int {
		if r.Method == http.MethodGet {
			return http.StatusForbidden
		}
		return 0
	}
	for name, test := range map[string]struct {
		kinds  []release.AppliedKind
		broken func(*http.Request) int
		code   int
	}{
		"an object":                      {[]release.AppliedKind{own, monitor}, nil, release.ExitInput},
		"a hook":                         {[]release.AppliedKind{own, with(release.UseHook)}, nil, release.ExitInput},
		"one that the chart makes":       {[]release.AppliedKind{monitor, {Resource: "namespaces", Names: []string{"monitoring"}}}, nil, release.ExitDone},
		"another that the chart makes":   {[]release.AppliedKind{monitor, {Resource: "namespaces", Names: []string{"tools"}}}, nil, release.ExitInput},
		"one that a hook may make":       {[]release.AppliedKind{monitor, {Group: "batch", Resource: "jobs", Namespace: space, Use: release.UseHook}}, nil, release.ExitDone},
		"only a rollback's":              {[]release.AppliedKind{with(release.UseRollback)}, nil, release.ExitDone},
		"another tool's":                 {[]release.AppliedKind{with(release.UseWatch)}, nil, release.ExitDone},
		"what may not be read":           {[]release.AppliedKind{monitor}, hidden, release.ExitDone},
		"the release's own":              {[]release.AppliedKind{own}, nil, release.ExitDone},
		"a cluster that does not answer": {[]release.AppliedKind{monitor}, func(r *http.Request) int { return map[string]int{http.MethodGet: 503}[r.Method] }, release.ExitFault},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Break(test.broken)
			_, err := s.client().CheckKinds(t.Context(), space, test.kinds)
			if got := release.ExitCode(err); got != test.code || got == release.ExitInput && !strings.Contains(err.Error(), `namespace "monitoring", which does not exist`) {
				t.Errorf("got exit code %d, %v; want %d", got, err, test.code)
			}
		})
	}
}

// TestCheckKindsByName: a rule that is limited to the chart's own objects does, for the requests that name an object.
// TestKindsBetweenACustomResourceAndItsPods: deploy and smoke read what leads from a pod to its custom resource, so the rules are asked for before anything changes.
func TestKindsBetweenACustomResourceAndItsPods(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind release.AppliedKind
		want []string
	}{
		"CronWorkflow": {release.AppliedKind{Group: "argoproj.io", Resource: "cronworkflows", Namespace: "staging", HasContainers: true}, []string{"workflows.argoproj.io"}},
		"Fleet":        {release.AppliedKind{Group: "agones.dev", Resource: "fleets", Namespace: "staging", HasContainers: true}, []string{"gameserversets.agones.dev", "gameservers.agones.dev"}},
		"without pods": {release.AppliedKind{Group: "agones.dev", Resource: "fleets", Namespace: "staging"}, nil},
		"another kind": {release.AppliedKind{Group: "argoproj.io", Resource: "rollouts", Namespace: "staging", HasContainers: true}, nil},
	} {
		var got []string
		for _, permission := range KindPermissions(test.kind) {
			if strings.Contains(permission.For, "by their owners") {
				if permission.Without != "" || permission.Namespace != "staging" || !slices.Equal(permission.Verbs, []string{"get"}) {
					t.Errorf("%s: got %+v", name, permission)
				}
				got = append(got, permission.Name())
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestCheckKindsByName(t *testing.T) {
	t.Parallel()
	both := []string{"config", "more"}
	for name, test := range map[string]struct {
		kind           release.AppliedKind
		denied, named  []string
		missing, limit string
	}{
		"every object":             {release.AppliedKind{Resource: "configmaps", Names: both}, []string{"get", "patch", "delete"}, []string{"get config", "get more", "patch config", "patch more", "delete config", "delete more"}, "", ""},
		"one object is missing":    {release.AppliedKind{Resource: "configmaps", Names: both}, []string{"get"}, []string{"get config"}, "may not get configmaps", ""},
		"create names none":        {release.AppliedKind{Resource: "configmaps", Names: both}, []string{"create"}, []string{"create config", "create more"}, "may not create configmaps", ""},
		"names are not known":      {release.AppliedKind{Resource: "configmaps"}, []string{"patch"}, []string{"patch config"}, "may not patch configmaps", ""},
		"an only one is watched":   {release.AppliedKind{Group: "apps", Resource: "deployments", Names: both[:1]}, []string{"list", "watch"}, []string{"list config", "watch config"}, "", ""},
		"claims are all watched":   {release.AppliedKind{Resource: "persistentvolumeclaims", Names: both[:1]}, []string{"watch"}, []string{"watch config"}, "may not watch persistentvolumeclaims", ""},
		"several are all watched":  {release.AppliedKind{Group: "apps", Resource: "deployments", Names: both}, []string{"watch"}, []string{"watch config", "watch more"}, "may not watch deployments.apps", ""},
		"what a rollback applies":  {release.AppliedKind{Group: "apps", Resource: "deployments", Names: both, Use: release.UseRollback}, []string{"create"}, nil, "", "may not create deployments.apps in namespace \"staging\": a failed rollout cannot be rolled back to the revision that has these objects"},
		"what leaves, not deleted": {release.AppliedKind{Resource: "configmaps", Names: both, Use: release.UseRollback}, []string{"delete"}, []string{"delete config"}, "", "an object that is no longer part of the release stays"},
		"what leaves, by its name": {release.AppliedKind{Resource: "configmaps", Names: both, Use: release.UseRollback}, []string{"delete"}, []string{"delete config", "delete more"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			test.kind.Namespace = space
			for _, verb := range test.denied {
				s.Deny(verb + " " + test.kind.Resource)
			}
			for _, access := range test.named {
				verb, object, _ := strings.Cut(access, " ")
				s.AllowNamed(verb + " " + test.kind.Resource + " " + object)
			}
			limits, err := s.client().CheckKinds(t.Context(), space, []release.AppliedKind{test.kind})
			if (err != nil) != (test.missing != "") || err != nil && !strings.Contains(err.Error(), test.missing) {
				t.Errorf("got %v, want %q", err, test.missing)
			}
			if told := strings.Join(limits, "\n"); (told != "") != (test.limit != "") || !strings.Contains(told, test.limit) {
				t.Errorf("limits %q, want %q", told, test.limit)
			}
		})
	}
}

// TestCheckKindsOfAddressesElsewhere: without the rules for a Service in another namespace, its address is not found, and the deploy says so.
func TestCheckKindsOfAddressesElsewhere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "edge"}})
	s.Deny("list ingresses")
	s.Deny("list endpointslices")
	service := release.AppliedKind{Resource: "services", Namespace: "edge"}
	own := service
	own.Namespace = space
	for want, kinds := range map[int][]release.AppliedKind{2: {service, own, service}, 0: {own}} {
		limits, err := s.client().CheckKinds(t.Context(), space, kinds)
		if err != nil || len(limits) != want || want > 0 && !strings.Contains(limits[0], `(in namespace "edge")`) {
			t.Errorf("got %q, %v, want %d", limits, err, want)
		}
	}
}
