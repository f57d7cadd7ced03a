package node

import (
	"fmt"
	"path/filepath"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/authenticator"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/metrics"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/pki"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Users maps each component to its user in the API server. RBAC grants each user its permissions
// (kubernetes.io/docs/reference/access-authn-authz/rbac, core component roles).
func Users() map[string]pki.Subject {
	return map[string]pki.Subject{
		"kube-controller-manager": {Name: "system:kube-controller-manager"},
		"kube-scheduler":          {Name: "system:kube-scheduler"},
		"kube-proxy":              {Name: "system:kube-proxy"},
		"kubelet":                 {Name: "system:node:" + Name, Groups: []string{"system:nodes"}},
	}
}

// component is one program of the node.
type component struct {
	name string
	// argv is the program and its arguments.
	argv []string
	// ready reports nil once the component serves.
	ready probe
}

// etcd returns the component etcd, with its data in the sandbox's directory.
func etcd(dir place.Dir, kube string) component {
	client := "http://" + Inside + ":2379"
	return component{
		name: "etcd",
		argv: []string{
			kube, "etcd", "--name=sandbox", "--data-dir=" + dir.In("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=http://" + Inside + ":2380", "--initial-advertise-peer-urls=http://" + Inside + ":2380",
			"--initial-cluster=sandbox=http://" + Inside + ":2380",
			// A sandbox does not have to survive a power failure, and fsync costs most of a small cluster's write latency.
			"--unsafe-no-fsync",
		},
		ready: getHTTP(client + "/health"),
	}
}

// apiserver returns the component kube-apiserver.
func apiserver(dir place.Dir, settings place.Settings) component {
	var webhook []string
	if settings.TokenWebhook != "" {
		webhook = authenticator.Flags(dir.TokenWebhook())
	}
	return component{
		name: "kube-apiserver",
		argv: append([]string{
			settings.Kube, "kube-apiserver",
			"--etcd-servers=http://" + Inside + ":2379",
			"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", APIPort), "--advertise-address=" + Address,
			"--service-cluster-ip-range=" + Services,
			"--tls-cert-file=" + dir.Certificate("kube-apiserver"), "--tls-private-key-file=" + dir.Key("kube-apiserver"),
			"--cert-dir=" + dir.In("pki"),
			"--client-ca-file=" + dir.Certificate("ca"), "--anonymous-auth=false",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--service-account-issuer=https://kubernetes.default.svc." + Domain,
			"--service-account-signing-key-file=" + dir.Key("service-accounts"),
			"--service-account-key-file=" + dir.In("pki", "service-accounts.pub"),
			"--kubelet-client-certificate=" + dir.Certificate("kubelet-client"), "--kubelet-client-key=" + dir.Key("kubelet-client"),
			"--kubelet-certificate-authority=" + dir.Certificate("ca"), "--kubelet-preferred-address-types=InternalIP",
			"--profiling=false",
		}, append(aggregation(dir), webhook...)...),
		ready: getTLS(dir, APIServer+"/readyz"),
	}
}

// aggregation enables aggregated APIs in the API server, for the resource metrics. The API server authenticates to them with a
// certificate of an authority that signs nothing else, and connects directly to their endpoints, as where no kube-proxy runs
// (https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#enable-kubernetes-apiserver-flags).
func aggregation(dir place.Dir) []string {
	return []string{
		"--requestheader-client-ca-file=" + dir.Certificate("front-proxy-ca"), "--requestheader-allowed-names=" + metrics.Aggregator,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + dir.Certificate(metrics.Aggregator), "--proxy-client-key-file=" + dir.Key(metrics.Aggregator),
		"--enable-aggregator-routing",
	}
}

// controllers returns the component kube-controller-manager.
func controllers(dir place.Dir, kube string) component {
	return component{
		name: "kube-controller-manager",
		argv: []string{
			kube, "kube-controller-manager",
			"--kubeconfig=" + dir.Inner("kube-controller-manager"),
			"--authentication-kubeconfig=" + dir.Inner("kube-controller-manager"),
			"--authorization-kubeconfig=" + dir.Inner("kube-controller-manager"),
			"--bind-address=" + Inside, "--tls-cert-file=" + dir.Certificate("serving"), "--tls-private-key-file=" + dir.Key("serving"),
			"--use-service-account-credentials", "--service-account-private-key-file=" + dir.Key("service-accounts"),
			"--root-ca-file=" + dir.Certificate("ca"),
			"--cluster-signing-cert-file=" + dir.Certificate("ca"), "--cluster-signing-key-file=" + dir.Key("ca"),
			"--allocate-node-cidrs=false", "--flex-volume-plugin-dir=" + dir.In("kubelet", "volumeplugins"),
			// There is only one instance.
			"--leader-elect=false",
			// An HPA raises a new Deployment to its minimum at its first sync; 15 s, the default, is long in a demo.
			"--horizontal-pod-autoscaler-sync-period=1s",
			"--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false",
		},
		ready: getTLS(dir, "https://"+Inside+":10257/healthz"),
	}
}

// scheduler returns the component kube-scheduler.
func scheduler(dir place.Dir, kube string) component {
	return component{
		name: "kube-scheduler",
		argv: []string{
			kube, "kube-scheduler",
			"--kubeconfig=" + dir.Inner("kube-scheduler"),
			"--authentication-kubeconfig=" + dir.Inner("kube-scheduler"),
			"--authorization-kubeconfig=" + dir.Inner("kube-scheduler"),
			"--bind-address=" + Inside, "--tls-cert-file=" + dir.Certificate("serving"), "--tls-private-key-file=" + dir.Key("serving"),
			"--leader-elect=false", "--profiling=false",
		},
		ready: getTLS(dir, "https://"+Inside+":10259/healthz"),
	}
}

// proxy returns the component kube-proxy.
func proxy(dir place.Dir, kube string) component {
	return component{
		name: "kube-proxy",
		argv: []string{
			kube, "kube-proxy", "--kubeconfig=" + dir.Inner("kube-proxy"), "--hostname-override=" + Name,
			"--proxy-mode=nftables", "--cluster-cidr=" + Pods,
			"--healthz-bind-address=" + Inside + ":10256", "--metrics-bind-address=" + Inside + ":10249",
			// These are settings of the whole machine: do not change them.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
			"--oom-score-adj=0",
		},
		ready: getHTTP("http://" + Inside + ":10256/healthz"),
	}
}

// kubelet returns the component kubelet.
func kubelet(dir place.Dir, settings place.Settings) component {
	return component{
		name: "kubelet",
		argv: []string{
			settings.Kube, "kubelet", "--kubeconfig=" + dir.Inner("kubelet"), "--config=" + dir.In("etc", "kubelet.yaml"),
			"--hostname-override=" + Name, "--node-ip=" + Address,
			"--root-dir=" + dir.In("kubelet"), "--cert-dir=" + dir.In("kubelet", "pki"),
			"--image-credential-provider-config=" + dir.In("etc", "login.yaml"),
			"--image-credential-provider-bin-dir=" + filepath.Dir(settings.ECRLogin),
		},
		ready: getHTTP("http://" + Inside + ":10248/healthz"),
	}
}

// containerd returns the component containerd.
func containerd(dir place.Dir) component {
	return component{
		name:  "containerd",
		argv:  []string{"containerd", "--config", dir.In("etc", "containerd.toml"), "--log-level", "warn"},
		ready: containerdReady(dir),
	}
}
