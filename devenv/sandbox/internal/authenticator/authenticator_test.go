package authenticator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
)

func TestKubeconfigLeadsToTheWebhook(t *testing.T) {
	t.Parallel()
	text, err := Kubeconfig("http://127.0.0.1:5510/_localaws/eks/shop/tokenreview", "127.0.0.11:80")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "http://127.0.0.11:80/_localaws/eks/shop/tokenreview" || config.BearerToken != "" || len(config.KeyData) > 0 {
		t.Errorf("the kubeconfig says %+v", config)
	}
	if _, err := Kubeconfig("http://[", "127.0.0.11:80"); err == nil {
		t.Error("a webhook that is no URL was taken")
	}
}

// A sandbox that comes up again over what is there already grants the same.
func TestGrantTwice(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	for range 2 {
		if err := Grant(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	bindings, err := client.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]string{}
	for _, binding := range bindings.Items {
		for _, subject := range binding.Subjects {
			roles[binding.RoleRef.Name] = subject.Kind + " " + subject.Name
		}
	}
	if diff := cmp.Diff(map[string]string{"admin": "Group onedigest:deployers", "onedigest:deployers": "Group onedigest:deployers"}, roles); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
