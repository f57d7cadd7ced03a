package chart

import (
	"slices"
	"testing"

	helmchart "helm.sh/helm/v3/pkg/chart"
)

// TestWhatExposesASecret: an indented line and the password of a URL do; the name of a host in a document does not, and nothing short does.
func TestWhatExposesASecret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value, text string
		want        bool
	}{
		{"-----BEGIN KEY-----\ncanary-line-1\ncanary-line-2\n-----END KEY-----\n", "key: |\n    -----BEGIN KEY-----\n    canary-line-1", true},
		{"-----BEGIN KEY-----\ncanary-line-1\n", "-----BEGIN KEY-----", false},
		{"postgres://shop:canary-password@db.example.com/shop", "PGPASSWORD=canary-password", true},
		{`{"host": "db.example.com", "password": "canary-password"}`, "db.example.com", false},
		{`{"host": "db.example.com", "password": "canary-password"}`, `a: {"host": "db.example.com", "password": "canary-password"}`, true},
		{"short\n", "short", false},
	} {
		if got := containsSecret(map[string]any{"data": []any{test.text}}, exposedForms(test.value)); got != test.want {
			t.Errorf("%q in %q: got %v", test.value, test.text, got)
		}
	}
}

// TestDefaultsWithoutWhatMayBeSecret: a chart's own value is shown unless its key, itself or the same value elsewhere says that it may be a secret.
func TestDefaultsWithoutWhatMayBeSecret(t *testing.T) {
	t.Parallel()
	sub := &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "sub"}, Values: map[string]any{"password": "shared-canary", "mode": "plain-of-a-subchart"}}
	chart := &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "shop"}, Values: map[string]any{
		"smtp": map[string]any{"pass": "canary-pass", "host": "mail.example.com"}, "dbPass": "canary-db", "licenseKey": "canary-license", "accountKey": "canary-account", "hmac": "canary-hmac",
		"salt": "canary-salt", "slackWebhook": "canary-webhook", "dbPw": "canary-pw", "env": []any{map[string]any{"name": "DB_PASS", "value": "canary-variable"}},
		"addresses": []any{"https://example.com/a?sig=canary", "https://canary@example.com/", "https://hooks.example.com/services/T0000000/B0000000/canary", "https://example.com/docs"},
		"again":     "shared-canary", "class": "nginx-internal",
	}}
	chart.AddDependency(sub)
	got := (&Chart{Chart: chart}).Defaults()
	slices.Sort(got)
	if want := []string{"https://example.com/docs", "mail.example.com", "nginx-internal", "plain-of-a-subchart"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
