package helm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestFieldsThatTheServerFilled: a field that the apiserver fills from another one changes and goes with it.
func TestFieldsThatTheServerFilled(t *testing.T) {
	t.Parallel()
	const (
		policyIngress = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: it}\nspec: {podSelector: {}, ingress: [{}]}\n"
		policyEgress  = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: it}\nspec: {podSelector: {}, ingress: [{}], egress: [{}]}\n"
		stateful      = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: it}\nspec: {serviceName: it, selector: {matchLabels: {app: it}}, template: {metadata: {labels: {app: it}}, spec: {containers: [{name: a, image: b}]}}"
		cronJob       = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: it}\nspec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]"
	)
	for name, test := range map[string]struct {
		before, after, suffix string
		filled                any // by the apiserver
		field                 []string
		want                  any // nil: the field is gone
	}{
		"an account goes":                {cronJob + ", serviceAccountName: priv}}}}}", cronJob + "}}}}}", "/cronjobs/it", "priv", []string{"spec", "jobTemplate", "spec", "template", "spec", "serviceAccount"}, nil},
		"an account's old name goes":     {cronJob + ", serviceAccount: priv}}}}}", cronJob + "}}}}}", "/cronjobs/it", "priv", []string{"spec", "jobTemplate", "spec", "template", "spec", "serviceAccountName"}, nil},
		"an account changes":             {cronJob + ", serviceAccountName: priv}}}}}", cronJob + ", serviceAccountName: other}}}}}", "/cronjobs/it", "priv", []string{"spec", "jobTemplate", "spec", "template", "spec", "serviceAccount"}, "other"},
		"rules of egress come":           {policyIngress, policyEgress, "/networkpolicies/it", []any{"Ingress"}, []string{"spec", "policyTypes"}, []any{"Ingress", "Egress"}},
		"rules of egress go":             {policyEgress, policyIngress, "/networkpolicies/it", []any{"Ingress", "Egress"}, []string{"spec", "policyTypes"}, []any{"Ingress"}},
		"pods are no longer rolled":      {stateful + "}", stateful + ", updateStrategy: {type: OnDelete}}", "/statefulsets/it", map[string]any{"partition": int64(0)}, []string{"spec", "updateStrategy", "rollingUpdate"}, nil},
		"how pods are rolled is others'": {stateful + "}", stateful + ", minReadySeconds: 3}", "/statefulsets/it", map[string]any{"partition": int64(1)}, []string{"spec", "updateStrategy", "rollingUpdate"}, map[string]any{"partition": int64(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.client("staging")
			mustDeploy(t, c, manifestDeployment(t, "  replicas: 1", "---\n"+test.before))
			s.change(test.suffix, func(object map[string]any) {
				if err := unstructured.SetNestedField(object, test.filled, test.field...); err != nil {
					t.Error(err)
				}
			})
			next := manifestDeployment(t, "  replicas: 1", "---\n"+test.after)
			s.planOf(t, c, next)
			mustDeploy(t, c, next)
			got, _, err := unstructured.NestedFieldCopy(s.object(test.suffix), test.field...)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}
