package publishchart

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/release"
)

// TestPublish: a chart is published once, again without effect, and never with other content.
func TestPublish(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.3\n")
	host := registrytest.Repository(t).Host()
	publish := func(to string) (string, int) {
		var out bytes.Buffer
		code := Command().Run(t.Context(), app.Process{Args: []string{"--chart", ".", "--to", to}, Stdout: &out, Stderr: &out, Dir: dir, Now: time.Now})
		return out.String(), code
	}
	first, code := publish(host + "/charts/shop")
	if code != release.ExitDone || !strings.Contains(first, "published shop 1.2.3: oci://"+host+"/charts/shop@sha256:") {
		t.Fatalf("exit %d:\n%s", code, first)
	}
	if again, code := publish(host + "/charts/shop"); code != release.ExitDone || again != first {
		t.Errorf("again: exit %d:\n%s", code, again)
	}
	write("values.yaml", "a: 1\n")
	if other, code := publish(host + "/charts/shop"); code != release.ExitFailed || !strings.Contains(other, "is published already with other content") || !strings.Contains(other, "raise the version") {
		t.Errorf("other content: exit %d:\n%s", code, other)
	}
	if named, code := publish(host + "/charts/other"); code != release.ExitInput || !strings.Contains(named, "does not end in the chart's name") {
		t.Errorf("another name: exit %d:\n%s", code, named)
	}
}
