package static_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/onedigest/onedigest/internal/image/static"
)

func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{"web/b.txt": "b", "web/a/c.txt": "c", "other/x": "x", "secret": "s"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, empty := range []string{"web/a/none/none", "web/none", "other/none"} {
		if err := os.MkdirAll(filepath.Join(root, empty), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func write(t *testing.T, root string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "layer")
	if err := static.Write(file, root, map[string]string{"web": "/srv/static", "other": "/srv", "secret": "/etc/shop/key"}, time.Unix(1700000000, 5)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestWrite(t *testing.T) {
	t.Parallel()
	layer := write(t, tree(t))
	if !bytes.Equal(layer, write(t, tree(t))) {
		t.Error("equal files made different layers")
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(reader)
		got = append(got, fmt.Sprintf("%s %o %d:%d %d %s", header.Name, header.Mode, header.Uid, header.Gid, header.ModTime.Unix(), content))
	}
	want := []string{"srv/ 755 0:0 1700000000 ", "srv/x 644 0:0 1700000000 x", "etc/shop/key 644 0:0 1700000000 s", "srv/static/ 755 0:0 1700000000 ", "srv/static/a/ 755 0:0 1700000000 ",
		"srv/static/a/c.txt 644 0:0 1700000000 c", "srv/static/b.txt 644 0:0 1700000000 b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFilesRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ dir, link, want string }{
		"a link":          {"web", "web/link", `"web/link" is neither a file nor a directory`},
		"a link as a dir": {"linked", "linked", `"linked" is neither a file nor a directory`},
		"nothing":         {"none", "", "no such file"},
		"outside":         {"../x", "", "escapes"},
	} {
		root := tree(t)
		if test.link != "" {
			if err := os.Symlink(root+"/secret", filepath.Join(root, test.link)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := static.Files(root, "", map[string]string{test.dir: "/x"}); !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// TestFilesReplaceNothing: neither the program nor one another.
func TestFilesReplaceNothing(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for name, test := range map[string]struct {
		dirs map[string]string
		want string
	}{
		"a file in the place of the program":      {map[string]string{"other": "/app"}, `"other/x" would be "/app/x", where the program is`},
		"a directory in the place of the program": {map[string]string{"web": "/app/x"}, `would be "/app/x/a/c.txt", where the program is`},
		"below the program":                       {map[string]string{"web/a": "/app/x/y"}, "where the program is"},
		"beside the program":                      {map[string]string{"web": "/app", "other": "/app/xy"}, "<nil>"},
		"two in one place":                        {map[string]string{"web": "/srv", "web/a": "/srv/a"}, `"web/a/c.txt" and "web/a/c.txt"`},
		"a file as the program":                   {map[string]string{"secret": "/app/x"}, "where the program is"},
		"a file as the program's directory":       {map[string]string{"secret": "/app"}, "where the program is"},
		"a file as a directory":                   {map[string]string{"secret": "/srv/a", "web": "/srv"}, `"secret" would be "/srv/a", which is a directory with "web/a/c.txt"`},
		"a file in a directory":                   {map[string]string{"secret": "/srv/a/secret", "web": "/srv"}, "<nil>"},
	} {
		if _, err := static.Files(root, "/app/x", test.dirs); !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
