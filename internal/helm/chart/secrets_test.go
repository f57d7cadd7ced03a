package chart

import "testing"

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
