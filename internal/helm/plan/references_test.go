package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
)

// pods is a Deployment whose pods take their environment from a Secret.
func pods(secret string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, envFrom: [{secretRef: {name: " + secret + "}}]}]}}}\n"
}

// checkOf checks the references of objects and of hooks that run first.
func checkOf(t *testing.T, objects, hooks string, applied map[string]any) (external []release.Reference, problems, notes []string) {
	t.Helper()
	list, err := manifest.Parse(objects)
	if err != nil {
		t.Fatal(err)
	}
	first, err := manifest.Parse(hooks)
	if err != nil {
		t.Fatal(err)
	}
	return referenceCheck{objects: list, hooks: first, namespace: "staging",
		isPreHook: func(object map[string]any) bool {
			return strings.Contains(manifest.JSON(object), "pre-install")
		},
		isLive:  func(map[string]any) bool { return false },
		applied: func(map[string]any) map[string]any { return applied }}.run()
}

// TestAnOperatorMayMakeASecret: a custom resource may make what it names and what is named after it; a Service of OpenShift has its certificate made.
// What nothing points to stays missing.
func TestAnOperatorMayMakeASecret(t *testing.T) {
	t.Parallel()
	resource := func(kind, name, spec string) string {
		version, kind, _ := strings.Cut(kind, " ")
		return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	cluster := resource("postgresql.cnpg.io/v1 Cluster", "shop", "{instances: 1}")
	const hook = "metadata: {annotations: {helm.sh/hook: pre-install}, "
	for name, test := range map[string]struct {
		secret, objects, hooks string
		madeBy                 string // of the external reference
		found                  bool   // no reference is external
	}{
		"named after a cluster":     {secret: "shop-app", objects: cluster, madeBy: "Cluster/shop"},
		"of the same name":          {secret: "shop", objects: resource("onepassword.com/v1 OnePasswordItem", "shop", "{itemPath: x}"), madeBy: "OnePasswordItem/shop"},
		"named in the spec":         {secret: "db", objects: resource("secrets.hashicorp.com/v1beta1 VaultStaticSecret", "shop", "{destination: {name: db}}"), madeBy: "VaultStaticSecret/shop"},
		"a connection":              {secret: "db", objects: resource("rds.aws.crossplane.io/v1 Instance", "x", "{writeConnectionSecretToRef: {name: db}}"), madeBy: "Instance/x"},
		"of a hook":                 {secret: "shop-app", hooks: strings.Replace(cluster, "metadata: {", hook, 1), madeBy: "Cluster/shop"},
		"of a hook that runs later": {secret: "shop-app", hooks: strings.Replace(cluster, "metadata: {", "metadata: {annotations: {helm.sh/hook: post-upgrade}, ", 1)},
		"another name":              {secret: "shopping", objects: cluster},
		"of a monitor":              {secret: "shop-app", objects: resource("monitoring.coreos.com/v1 ServiceMonitor", "shop", "{endpoints: [{basicAuth: {username: {name: shop-app}}}]}")},
		"of Kubernetes' own":        {secret: "shop-app", objects: resource("networking.k8s.io/v1 NetworkPolicy", "shop", "{podSelector: {}}")},
		"of OpenShift's Service": {secret: "cert", found: true,
			objects: "apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {service.beta.openshift.io/serving-cert-secret-name: cert}}\n"},
	} {
		external, problems, notes := checkOf(t, pods(test.secret)+"---\n"+test.objects, test.hooks, nil)
		if len(problems)+len(notes) > 0 || (len(external) == 0) != test.found || !test.found && external[0].MadeBy != test.madeBy {
			t.Errorf("%s: got %+v, %q, %q", name, external, problems, notes)
		}
	}
	early := strings.Replace(strings.Replace(pods("shop-app"), "metadata: {", hook, 1), "apps/v1\nkind: Deployment", "batch/v1\nkind: Job", 1)
	if external, _, _ := checkOf(t, cluster, early, nil); len(external) != 1 || external[0].MadeBy != "" {
		t.Errorf("needed by a hook before the cluster is there: got %+v", external)
	}
}

// TestReferencesOfCustomTemplates: a template of a custom resource is found by its shape. What a policy's rule compares names with is no reference.
func TestReferencesOfCustomTemplates(t *testing.T) {
	t.Parallel()
	template := "{template: {spec: {serviceAccountName: ACCOUNT, containers: [{name: a}]}}}"
	for name, test := range map[string]struct{ spec, account, want string }{
		"KEDA's ScaledJob": {"{jobTargetRef: " + template + "}", "worker", "worker"},
		"Kyverno's policy": {"{rules: [{validate: {pattern: {spec: " + template + "}}}]}", `"?*"`, ""},
	} {
		object, err := manifest.ParseObject([]byte("apiVersion: example.com/v1\nkind: Custom\nspec: " + strings.Replace(test.spec, "ACCOUNT", test.account, 1)))
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, reference := range podReferences(object, release.Object{}) {
			found += reference.Name
		}
		if found != test.want {
			t.Errorf("%s: got %q, want %q", name, found, test.want)
		}
	}
}

// TestVolumesThatNoContainerMounts: the kubelet does not mount them, so that a pod starts without what they name. A claim is needed all the same, by the scheduler.
func TestVolumesThatNoContainerMounts(t *testing.T) {
	t.Parallel()
	const volumes = "[{name: a, secret: {secretName: unused}}, {name: b, configMap: {name: used}}, {name: c, persistentVolumeClaim: {claimName: disk}}, {name: d, projected: {sources: [{secret: {name: unused-too}}]}}]"
	object, err := manifest.ParseObject([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n" +
		"spec: {template: {spec: {volumes: " + volumes + ", initContainers: [{name: i, volumeMounts: [{name: b, mountPath: /b}]}], containers: [{name: a}]}}}"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, reference := range podReferences(object, release.Object{}) {
		found = append(found, reference.Name)
	}
	if diff := cmp.Diff([]string{"used", "disk"}, found); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAControllerMayFillAnObject: the chart's own object is no problem if the cluster's has the key, and worth a note if the chart leaves it empty.
func TestAControllerMayFillAnObject(t *testing.T) {
	t.Parallel()
	user := strings.Replace(pods("x"), "envFrom: [{secretRef: {name: x}}]", "env: [{name: A, valueFrom: {configMapKeyRef: {name: ca, key: bundle}}}]", 1)
	for name, test := range map[string]struct {
		data    string
		applied map[string]any
		want    [2]int // problems, notes
	}{
		"filled":          {"", map[string]any{"data": map[string]any{"bundle": "x"}}, [2]int{0, 0}},
		"filled further":  {"data: {other: x}", map[string]any{"data": map[string]any{"bundle": "x", "other": "x"}}, [2]int{0, 0}},
		"not filled yet":  {"", nil, [2]int{0, 1}},
		"empty data":      {"data: {}", nil, [2]int{0, 1}},
		"another's key":   {"data: {other: x}", map[string]any{"data": map[string]any{"other": "x"}}, [2]int{1, 0}},
		"the chart's own": {"data: {bundle: x}", nil, [2]int{0, 0}},
	} {
		external, problems, notes := checkOf(t, user+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\n"+test.data+"\n", "", test.applied)
		if diff := cmp.Diff(test.want, [2]int{len(problems), len(notes)}); diff != "" || len(external) > 0 {
			t.Errorf("%s: %+v, %q, %q", name, external, problems, notes)
		}
	}
}
