package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// withTemplate returns a deployment of a chart with a pod and one more template.
func withTemplate(t *testing.T, text string) release.Deployment {
	t.Helper()
	d := deployment(t, "staging")
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{
		"Chart.yaml": looseChart, "templates/more.yaml": text, "templates/NOTES.txt": "see {{ .Release.Name }} {{ `{{ }}` }}",
		"templates/w.yaml": workload("Pod", "{containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}"),
	})
	return d
}

// TestTemplatesEndWithTheContext checks every operation that renders.
func TestTemplatesEndWithTheContext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), withTemplate(t, `{{ range until 30000 }}{{ range until 3000 }}{{ end }}{{ end }}`) // some seconds
	if _, err := c.connection.apiNewerThan(t.Context(), nil); err != nil {                                          // not within the time of the first operation
		t.Fatal(err)
	}
	for name, operation := range map[string]func(context.Context) error{
		"Plan":           func(ctx context.Context) error { _, err := c.Plan(ctx, d); return err },
		"Render":         func(ctx context.Context) error { _, err := c.Render(ctx, d); return err },
		"Deploy":         func(ctx context.Context) error { _, err := c.Deploy(ctx, d, ready); return err },
		"RollbackTarget": func(ctx context.Context) error { _, err := c.RollbackTarget(ctx, d); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := operation(ctx)
		cancel()
		var input *release.InputError
		if err != nil && !errors.As(err, &input) || name != "RollbackTarget" && (err == nil || !strings.Contains(err.Error(), `chart "loose": its templates have not ended after`)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := s.changes(); len(got) > 0 {
		t.Errorf("changed %q", got)
	}
}

// TestWhatWasRenderedIsApplied checks that a template is rendered once, and its text applied as it is.
func TestWhatWasRenderedIsApplied(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client("staging")
	d := withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {random: '{{ randAlphaNum 20 }}', text: {{ `'{{ .Values.none }} {{{ }} {{- \"x\" -}}'` }}}\n")
	client, err := kubernetes.NewForConfig(&rest.Config{Host: s.config.Host})
	if err != nil {
		t.Fatal(err)
	}
	records := driver.NewSecrets(client.CoreV1().Secrets("staging"))
	for i, want := range []release.Outcome{release.Created, release.Changed} {
		if got := mustDeploy(t, c, d); got.Outcome != want {
			t.Errorf("got %s, want %s", got.Outcome, want)
		}
		if text := at(t, s.object("/configmaps/shop"), "data").(map[string]any)["text"]; text != `{{ .Values.none }} {{{ }} {{- "x" -}}` {
			t.Errorf("got %q", text)
		}
		recorded, err := records.Get(fmt.Sprintf("sh.helm.release.v1.shop.v%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(recorded.Chart.Templates); got != 3 || !strings.Contains(string(recorded.Chart.Templates[0].Data)+string(recorded.Chart.Templates[1].Data), "randAlphaNum") {
			t.Errorf("the record has %d templates, and not the chart's own", got)
		}
		if recorded.Info.Notes != "see shop {{ }}" {
			t.Errorf("notes: %q", recorded.Info.Notes)
		}
	}
}
