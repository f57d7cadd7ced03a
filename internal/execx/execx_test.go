package execx

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, file := range []struct {
		path string
		mode os.FileMode
	}{{filepath.Join(first, "tool"), 0o600}, {filepath.Join(second, "tool"), 0o700}} {
		if err := os.WriteFile(file.path, nil, file.mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(second)
	for name, test := range map[string]struct {
		environ []string
		want    string // "" for an error
	}{
		"executable files only":   {[]string{"PATH=" + first + ":" + second}, filepath.Join(second, "tool")},
		"the last PATH counts":    {[]string{"PATH=" + second, "PATH=" + first}, ""},
		"not the work tree":       {[]string{"PATH=:.:./bin"}, ""},
		"an environment of none":  {nil, ""},
		"not another variable":    {[]string{"XPATH=" + second}, ""},
		"a relative entry before": {[]string{"PATH=.:" + second}, filepath.Join(second, "tool")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find("tool", test.environ)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}
