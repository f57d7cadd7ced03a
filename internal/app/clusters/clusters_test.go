package clusters_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// TestTarget: clusters of EKS with one name differ by their servers, and clusters whose names are secret differ too.
func TestTarget(t *testing.T) {
	t.Parallel()
	run := &app.RunContext{Secrets: new(text.Secrets)}
	run.Secrets.Add("internal.example")
	of := func(name, server string) release.Target {
		return clusters.Target(run, setting.ClusterRef{Cluster: name}, server, "staging", "shop")
	}
	if got, want := of("", "https://kube.example:6443/"), (release.Target{Cluster: "kube.example:6443", Namespace: "staging", Release: "shop"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := of("shop", "https://1234.eks.example"), (release.Target{Cluster: "shop", Server: "1234.eks.example", Namespace: "staging", Release: "shop"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if one, two := of("", "https://rancher.example/k8s/clusters/c-1"), of("", "https://rancher.example/k8s/clusters/c-2"); one == two || one.Cluster != "rancher.example/k8s/clusters/c-1" {
		t.Errorf("got %+v and %+v of two clusters behind one host", one, two)
	}
	if byName, byKubeconfig := of("shop", "https://1234.EKS.example"), of("", "https://1234.eks.example.:443/"); !byName.Is(byKubeconfig) {
		t.Errorf("got %+v and %+v of one cluster", byName, byKubeconfig)
	}
	run.Secrets.Add("Upper.example")
	if got := of("", "https://Upper.example"); strings.Contains(strings.ToLower(got.Cluster), "upper") {
		t.Errorf("got %+v of a secret name", got)
	}
	one, two := of("", "https://eu.internal.example"), of("", "https://us.internal.example")
	if one == two || one != of("", "https://eu.internal.example") || strings.Contains(one.Cluster+two.Cluster, "internal.example") {
		t.Errorf("got %+v and %+v", one, two)
	}
}
