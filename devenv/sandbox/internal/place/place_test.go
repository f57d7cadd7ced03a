package place

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAt(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(base, name) }
	full, file, marked, link := in("full"), in("file"), in("marked"), in("link")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(full, "precious"), 0o755),
		os.WriteFile(file, nil, 0o600),
		os.Mkdir(in("empty"), 0o755),
		os.Symlink(base, link),
		Dir(marked).Create(),
		os.WriteFile(filepath.Join(marked, "more"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, want, refusal string }{
		{"new", in("new"), in("new"), ""},
		{"empty", in("empty"), in("empty"), ""},
		{"a sandbox", marked, marked, ""},
		{"through a symlink", filepath.Join(link, "new"), in("new"), ""},
		{"unclean", in("a") + "/../new", in("new"), ""},
		{"holds other files", full, "", "holds files but no sandbox"},
		{"a file", file, "", "not a directory"},
		{"a symlink itself", link, "", "not a directory"},
		{"top-level", "/tmp", "", "top-level"},
		{"root", "/", "", "top-level"},
		{"too long", in(strings.Repeat("x", 100)), "", "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := At(c.path)
			if c.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) {
					t.Errorf("got %q, %v; want a refusal with %q", got, err, c.refusal)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestNamesDifferByDirectory(t *testing.T) {
	t.Parallel()
	if a, b := Dir("/var/lib/a"), Dir("/var/lib/b"); a.Name() == b.Name() || a.Name() != Dir("/var/lib/a").Name() {
		t.Errorf("%q and %q", a.Name(), b.Name())
	}
}

func TestSettingsSurviveTheDisk(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	want := Settings{Provider: "native", Port: 6443, Registries: []string{"127.0.0.1:5000"}, Login: Login{Endpoint: "http://127.0.0.1:1"}, DelaySeconds: 1.5}
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(d.Settings()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file, which holds keys, has mode %v, %v", info.Mode(), err)
	}
}
