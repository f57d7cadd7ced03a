package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
)

// maxHostile bounds the memory of deploy and of its child, each, in bytes. Without limits, the charts below need several times as much.
const maxHostile = 512 << 20

// stopTime bounds the time between SIGINT and the end of deploy. A runner waits 7.5 s before it sends another signal.
const stopTime = 2 * time.Second

// TestHostileChartsOfTheProgram deploys charts of an attacker with the program itself: it refuses each as bad input, in bounded memory and
// time, and says why; and SIGINT ends it while a template is endless.
func TestHostileChartsOfTheProgram(t *testing.T) {
	t.Parallel()
	const endless = "{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}"
	for name, test := range map[string]struct {
		template string
		links    int // symbolic links to a file of 4.5 MiB
		stop     bool
		want     string
	}{
		"one large text":       {template: `{{ repeat 400000000 "x" | len }}`, want: `chart "shop": its templates need more than 256 MiB of memory`},
		"a text that grows":    {template: `{{ $x := "abcdefgh" }}{{ range until 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}`, want: "need more than 256 MiB of memory"},
		"large output":         {template: `{{ repeat 20000000 "x" }}`, want: "its templates render more than 16 MiB"},
		"without an end":       {template: endless, want: "its templates have not ended after"},
		"stopped":              {template: endless, stop: true},
		"many links":           {template: "# nothing", links: 150, want: "more than"},
		"a link to the system": {template: "# nothing", links: -1, want: "is a symbolic link out of the chart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aws := localawstest.Start(t)
			aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
			cluster := kubetest.New(t)
			cluster.Put(&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "staging"}})
			apiserver := httptest.NewServer(withVersion(cluster))
			t.Cleanup(func() {
				apiserver.CloseClientConnections()
				apiserver.Close()
			})
			dir := canaryVerb{verb: "deploy", files: map[string]string{"chart/templates/bomb.yaml": test.template}}.workTree(t, apiserver, "x")
			link(t, filepath.Join(dir, "chart/files"), test.links)
			environ := append(aws.Env(), append(goVariables(t), "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "../home"))...)
			deploy := exec.CommandContext(t.Context(), "deploy", "--environment", "staging", "--image", proved(t, aws, environ), "--chart", "chart",
				"--kubeconfig", "../kubeconfig", "--timeout", "20s", "--set", "secret.PASSWORD=x")
			if other := os.Getenv("ONEDIGEST_DEPLOY"); other != "" { // another build of the program
				deploy.Path, deploy.Err = other, nil
			}
			var said bytes.Buffer
			deploy.Dir, deploy.Env, deploy.Stdout, deploy.Stderr = dir, environ, &said, &said
			if err := deploy.Start(); err != nil {
				t.Fatal(err)
			}
			peak := watchMemory(deploy.Process.Pid)
			var stopped time.Time
			if test.stop {
				waitForChild(t, deploy.Process.Pid)
				stopped = time.Now()
				if err := deploy.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}
			err := deploy.Wait()
			needed := peak()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("%v: %s", err, &said)
			}
			t.Logf("exit %d, %d MiB, %s", exit.ExitCode(), needed>>20, &said)
			if needed == 0 || needed > maxHostile && !raceDetector {
				t.Errorf("needs %d MiB", needed>>20)
			}
			switch {
			case test.stop:
				if took := time.Since(stopped); took > stopTime || exit.ExitCode() != release.ExitFailed {
					t.Errorf("SIGINT ends it after %s with exit %d: %s", took, exit.ExitCode(), &said)
				}
			case exit.ExitCode() != release.ExitInput || !strings.Contains(said.String(), test.want):
				t.Errorf("exit %d: %s", exit.ExitCode(), &said)
			}
		})
	}
}

// watchMemory measures the most memory that a process or one of its children holds, in bytes, until the returned function is called. What the
// kernel tells a parent at the end (getrusage, ru_maxrss) is at least the parent's own peak. Source: proc(5), VmHWM.
func watchMemory(pid int) (peak func() int64) {
	stop, measured := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			pids := []string{strconv.Itoa(pid)}
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
			for _, file := range threads {
				children, _ := os.ReadFile(file) // absent once the thread has ended
				pids = append(pids, strings.Fields(string(children))...)
			}
			for _, each := range pids {
				status, _ := os.ReadFile("/proc/" + each + "/status")
				_, mark, _ := strings.Cut(string(status), "VmHWM:")
				var kib int64
				_, _ = fmt.Sscan(mark, &kib) // 0 once the process has ended
				most = max(most, kib<<10)
			}
			select {
			case <-stop:
				measured <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(stop); return <-measured }
}

// withVersion adds what a deploy asks a cluster for besides objects.
func withVersion(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/version":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"major":"1","minor":"33","gitVersion":"v1.33.0"}`)
		case strings.HasPrefix(r.URL.Path, "/api"):
			next.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// link fills a directory with symbolic links to one file, or for -1 with a link out of it.
func link(t *testing.T, dir string, links int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if links < 0 {
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		return
	}
	if links > 0 {
		if err := os.WriteFile(filepath.Join(dir, "large"), bytes.Repeat([]byte("x"), 9<<19), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range links {
		if err := os.Symlink("large", filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
}

var limited = regexp.MustCompile(`Max data size +\d`)

// waitForChild returns when a process has a child that renders. A child that waits for its chart has not limited its data yet (proc(5), limits).
func waitForChild(t *testing.T, pid int) {
	t.Helper()
	children := fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)
	for {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range threads {
			content, _ := os.ReadFile(file)
			for child := range strings.FieldsSeq(string(content)) {
				line, _ := os.ReadFile("/proc/" + child + "/cmdline")
				limits, _ := os.ReadFile("/proc/" + child + "/limits")
				if strings.Contains(string(line), "__child") && limited.Match(limits) {
					return
				}
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("no child in %s", children)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
