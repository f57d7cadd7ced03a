package helm

import (
	"context"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// TestWhatAReleaseContainsIsCollected: the values that an error quotes, and those that are rendered or recorded, are redacted from then on.
func TestWhatAReleaseContainsIsCollected(t *testing.T) {
	t.Parallel()
	const (
		runs   = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n"
		secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\nstringData: {a: {{ .Values.note | quote }}}\n"
	)
	for name, test := range map[string]struct {
		files  map[string]string
		failed string // what the error quotes; "": no error
	}{
		"an error of a template":   {map[string]string{"templates/a.yaml": "{{ fail .Values.note }}"}, "canary-note-1"},
		"a Secret that is applied": {map[string]string{"templates/secret.yaml": secret}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "values.yaml": "image: {repository: '', digest: ''}\nnote: ''\n", "templates/shop.yaml": runs,
				"v.yaml": "note: canary-note-1\n"}
			for path, text := range test.files {
				content[path] = text
			}
			dir := files(t, content)
			d := deployment(t, "staging")
			d.Chart, d.ValuesFiles = dir, []string{dir + "/v.yaml"}
			server := newServer(t)
			collect := func() (*Client, *text.Secrets) {
				secrets := new(text.Secrets)
				return server.client("staging").Collecting(secrets), secrets
			}
			client, secrets := collect()
			err := client.Check(d)
			if err == nil {
				_, err = client.Deploy(t.Context(), d, func(_ context.Context, _ release.Phase, _ []release.Object) error { return nil })
			}
			if test.failed != "" {
				if err == nil || !strings.Contains(err.Error(), test.failed) || strings.Contains(secrets.Redact(err.Error()), test.failed) {
					t.Errorf("got %v, want an error that quotes %q and is redacted", err, test.failed)
				}
				return
			}
			if err != nil || secrets.Redact("canary-note-1") != "***" {
				t.Errorf("applying: got %v and %q", err, secrets.Redact("canary-note-1"))
			}
			reader, recorded := collect()
			if _, err := reader.History(t.Context(), "shop"); err != nil || recorded.Redact("canary-note-1") != "***" {
				t.Errorf("reading the history: got %v and %q", err, recorded.Redact("canary-note-1"))
			}
		})
	}
}
