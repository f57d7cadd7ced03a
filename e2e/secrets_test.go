package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRotatedSecret changes a Secret while the pod that needs it runs: the pod, which is not restarted, has the new values.
func TestRotatedSecret(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	const namespace, name = "rotation", "shop-rotation"
	image := tree.build()
	tree.write("secret.yaml", "replicas: 1\nexistingSecrets: [{name: "+name+"}]\n")
	_, got := tree.deploy(t.Context(), namespace, image, "--values", "secret.yaml")
	got.expect(t, 1, "CreateContainerConfigError", `secret "`+name+`" not found`)

	secrets := client(t).CoreV1().Secrets(namespace)
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name}, StringData: map[string]string{"API_TOKEN": "first", "DATABASE_URL": ""}}
	if _, err := secrets.Create(t.Context(), secret, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deployed, got := tree.deploy(t.Context(), namespace, image, "--values", "secret.yaml")
	got.expect(t, 0)
	if diff := cmp.Diff(map[string]string{"API_TOKEN": "set", "DATABASE_URL": "unset"}, servedSecrets(t, deployed.URL)); diff != "" {
		t.Fatalf("after the deploy, -want +got:\n%s", diff)
	}
	before := podsOf(t, namespace)

	secret.StringData = map[string]string{"API_TOKEN": "", "DATABASE_URL": "second"}
	if _, err := secrets.Update(t.Context(), secret, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"API_TOKEN": "unset", "DATABASE_URL": "set"}
	await(t, "the rotated values", func() bool { return cmp.Equal(want, servedSecrets(t, deployed.URL)) })
	after := podsOf(t, namespace)
	if len(before) != 1 || len(after) != 1 || before[0].UID != after[0].UID || after[0].Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("%d pods before and %d after the rotation, or another, or it was restarted", len(before), len(after))
	}
}

// servedSecrets is which secrets the app says that it has.
func servedSecrets(t *testing.T, url string) map[string]string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/configs", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Secrets map[string]string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Secrets
}
