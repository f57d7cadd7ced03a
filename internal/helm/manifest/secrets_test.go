package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAProgramsNameIsNoSecret: a failure to start a program has to name it. What a command or its arguments say besides may be secret.
func TestAProgramsNameIsNoSecret(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ command, want []any }{
		"a path":              {[]any{"./podinfo", "--port=9898"}, []any{"9898"}},
		"a shell":             {[]any{"/bin/sh", "-c", "exec app hunter2"}, []any{"-c", "exec app hunter2"}},
		"an address":          {[]any{"postgres://shop:hunter2@db"}, []any{"postgres://shop:hunter2@db"}},
		"a line":              {[]any{"app --password hunter2"}, []any{"app --password hunter2"}},
		"flags":               {[]any{"/app/svc", "--verbose", "--port", "8080", "--db-user=shop", "--hunter2-Hunter2", "-phunter2", "user=hunter2"}, []any{"8080", "shop", "--hunter2-Hunter2", "-phunter2", "user=hunter2", "hunter2"}},
		"a secret flag":       {[]any{"/app/svc", "--db-password=hunter2"}, []any{"--db-password=hunter2"}},
		"a short secret":      {[]any{"/app/svc", "--pass=hunter2", "--db-pw=short", "--port=80", "--auth-mode=long-enough"}, []any{"hunter2", "--pass=hunter2", "short", "--db-pw=short", "80", "long-enough"}},
		"a word like a token": {[]any{"GhT0ken4hunter2"}, []any{"GhT0ken4hunter2"}},
	} {
		_, possible := Secrets([]map[string]any{{"kind": "Pod", "spec": map[string]any{"containers": []any{map[string]any{"command": test.command}}}}})
		var got []any
		for _, one := range possible {
			got = append(got, one)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
