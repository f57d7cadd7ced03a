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

// TestNamesStayReadable: a short value of a Secret is shown in the longer names of objects that have it, and nowhere else.
func TestNamesStayReadable(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop-backend\nversion: 1.0.0\n", "values.yaml": "image: {repository: '', digest: ''}\n",
		"templates/shop.yaml":   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: the-frontend}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n",
		"templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\nstringData: {a: frontend, b: backend, c: postgres-main}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: postgres-main}\n"})
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles = dir, nil
	secrets := new(text.Secrets)
	mustDeploy(t, newServer(t).client("staging").Collecting(secrets), d)
	const shown, want = "Pod/the-frontend-7d9f, frontend, shop-backend-1.0.0, backend, Service/postgres-main", "Pod/the-frontend-7d9f, ***, shop-backend-1.0.0, ***, Service/***"
	if got := secrets.Redact(shown); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWhatAProgramIsStartedWithStaysReadable: the chart's own defaults, its images and the names of flags are shown; what values and variables give is not, nor a default that is
// called a secret.
func TestWhatAProgramIsStartedWithStaysReadable(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"values.yaml":                 "image: {repository: '', digest: ''}\nclass: k8s.io/ingress-nginx\ngiven: default-given\nadmin: {password: default-password}\ntokens: [default-token-1]\naddress: 'redis://u:default-redis@db/1'\n",
		"v.yaml":                      "given: canary-of-values\n",
		"charts/sub/Chart.yaml":       "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/sub/values.yaml":      "mode: default-of-a-subchart\n",
		"charts/sub/templates/a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: sub}\nspec: {containers: [{name: a, image: 'registry.k8s.io/ingress-nginx/certgen:v1', args: ['{{ .Values.mode }}']}]}\n",
		"templates/shop.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}', " +
			"command: [/app/svc, --verbose-output, '--class={{ .Values.class }}', '{{ .Values.class }}', '--given={{ .Values.given }}', '{{ .Values.admin.password }}', '{{ index .Values.tokens 0 }}', '{{ .Values.address }}'], env: [{name: GIVEN, value: '{{ .Values.set }}'}]}]}}}\n"})
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles, d.Set = dir, []string{dir + "/v.yaml"}, []string{"set=canary-of-set"}
	secrets := new(text.Secrets)
	mustDeploy(t, newServer(t).client("staging").Collecting(secrets), d)
	const shown = "start [/app/svc --verbose-output --class=k8s.io/ingress-nginx k8s.io/ingress-nginx --given=canary-of-values default-password default-token-1 redis://u:default-redis@db/1] canary-of-set default-of-a-subchart registry.k8s.io/ingress-nginx/certgen"
	const want = "start [/app/svc --verbose-output --class=k8s.io/ingress-nginx k8s.io/ingress-nginx --given=*** *** *** ***] *** default-of-a-subchart registry.k8s.io/ingress-nginx/certgen"
	if got := secrets.Redact(shown); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSecretValuesAreNotRecorded: the release's values and notes have the reference or nothing, the Secret that the chart renders has the
// value, and a value that changes in its store is a change.
func TestSecretValuesAreNotRecorded(t *testing.T) {
	t.Parallel()
	const canary, rotated = "canary-password-1", "canary-password-2"
	dir := files(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "values.yaml": "image: {repository: '', digest: ''}\ndb: {password: ''}\n",
		"templates/shop.yaml":   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n",
		"templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\nstringData: {password: {{ .Values.db.password | quote }}}\n",
		"templates/NOTES.txt":   "the password is {{ .Values.db.password }}\n"})
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles = dir, nil
	secret := func(value string) []release.SecretValue {
		return []release.SecretValue{{Path: "db.password", Reference: release.SecretRef{Store: release.SecretsManager, Name: "shop", Key: "password"}, Value: value}}
	}
	server, secrets := newServer(t), new(text.Secrets)
	secrets.Add(canary, rotated)
	client := server.client("staging").Collecting(secrets)
	for _, step := range []struct {
		value string
		want  release.Outcome
	}{{canary, release.Created}, {canary, release.Unchanged}, {rotated, release.Changed}} {
		d.SecretValues = secret(step.value)
		if got := mustDeploy(t, client, d); got.Outcome != step.want {
			t.Errorf("%s: got %s, want %s", step.value, got.Outcome, step.want)
		}
	}
	s, err := client.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	state, err := s.store.State(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	newest := state.Newest()
	database, _ := newest.Config["db"].(map[string]any)
	if database["password"] != "awssm://shop#password" || strings.Contains(newest.Info.Notes, "canary") || newest.Info.Notes == "" {
		t.Errorf("recorded values %v and notes %q", newest.Config, newest.Info.Notes)
	}
	if !strings.Contains(newest.Manifest, rotated) { // which a rollback applies again
		t.Errorf("got %q", newest.Manifest)
	}
	if _, err := client.Rollback(t.Context(), "shop", 1, ready); err != nil {
		t.Error(err)
	}
}

// TestSecretValuesBelongIntoSecrets: a chart that writes one elsewhere is refused, in hooks and lists too.
func TestSecretValuesBelongIntoSecrets(t *testing.T) {
	t.Parallel()
	configMap := func(name, value string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {a: '{{ .Values.password" + value + "}}'}\n"
	}
	for name, template := range map[string]string{
		"ConfigMap/folded": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: folded}\ndata:\n  a: {{ .Values.password }}\n",
		"ConfigMap/base64": configMap("base64", " | b64enc "), "ConfigMap/url": configMap("url", " | urlquery "), "ConfigMap/json": configMap("json", " | toJson "),
		"ConfigMap/shop": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {config: 'password={{ .Values.password }}'}\n",
		"Job/migrate":    "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a, env: [{name: P, value: '{{ .Values.password }}'}]}]}}}\n",
		"ConfigMap/of":   "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: of}, data: {a: '{{ .Values.password }}'}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment(t, "staging")
			d.Chart = files(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "values.yaml": "image: {repository: '', digest: ''}\n", "templates/a.yaml": template,
				"templates/shop.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n"})
			d.ValuesFiles = nil
			d.SecretValues = []release.SecretValue{{Path: "password", Reference: release.SecretRef{Store: release.ParameterStore, Name: "shop"}, Value: "canary password&\"1\"\n"}}
			server := newServer(t)
			_, err := server.client("staging").Deploy(t.Context(), d, ready)
			if err == nil || !strings.Contains(err.Error(), "the chart writes password into "+name) || strings.Contains(err.Error(), "canary") || len(server.changes()) > 0 {
				t.Errorf("got %v, and changed %v", err, server.changes())
			}
		})
	}
}
