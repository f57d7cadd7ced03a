package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

func run(arguments ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(arguments, &o, &e)
	return code, o.String(), e.String()
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "s")
	full := filepath.Join(base, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		arguments []string
		want      string
	}{
		{"unknown flag", []string{"up", "--nope"}, "unknown flag: --nope"},
		{"extra argument", []string{"up", "now"}, `unknown command "now"`},
		{"unknown provider", []string{"up", "--dir", dir, "--provider", "vm"}, `"vm" is not one of auto, native, kind`},
		{"kubeconfig and native", []string{"up", "--dir", dir, "--provider", "native", "--kubeconfig", "x"}, "without --provider native"},
		{"registry elsewhere", []string{"up", "--dir", dir, "--registry", "example.com:5000"}, "not a loopback address"},
		{"registry on every address", []string{"up", "--dir", dir, "--registry", "0.0.0.0:5000"}, "not a loopback address"},
		{"registry on IPv6", []string{"up", "--dir", dir, "--registry", "[::1]:5000"}, "not a loopback address"},
		{"registry without a port", []string{"up", "--dir", dir, "--registry", "127.0.0.1"}, "not HOST:PORT"},
		{"registry with a path", []string{"up", "--dir", dir, "--registry", "127.0.0.1:5000/x"}, "no port between"},
		{"registry that climbs", []string{"up", "--dir", dir, "--registry", "../../x:5000"}, "not a loopback address"},
		{"registry where the API server is", []string{"up", "--dir", dir, "--registry", "127.0.0.1:6443"}, "in use inside the node"},
		{"endpoint elsewhere", []string{"up", "--dir", dir, "--registry", "127.0.0.1:5000", "--ecr-endpoint", "http://169.254.169.254:80"}, "not a loopback address"},
		{"endpoint without a scheme", []string{"up", "--dir", dir, "--registry", "127.0.0.1:5000", "--ecr-endpoint", "127.0.0.1:1"}, "not http://HOST:PORT"},
		{"endpoint without a registry", []string{"up", "--dir", dir, "--ecr-endpoint", "http://127.0.0.1:1"}, "without --registry"},
		{"webhook elsewhere", []string{"up", "--dir", dir, "--token-webhook", "http://example.com:80/x"}, "not a loopback address"},
		{"webhook with TLS", []string{"up", "--dir", dir, "--token-webhook", "https://127.0.0.1:5000/x"}, "not http://HOST:PORT/PATH"},
		{"webhook with a user", []string{"up", "--dir", dir, "--token-webhook", "http://a:b@127.0.0.1:5000/x"}, "not http://HOST:PORT/PATH"},
		{"webhook of another's cluster", []string{"up", "--dir", dir, "--token-webhook", "http://127.0.0.1:5000/x", "--kubeconfig", "x"}, "use --provider native"},
		{"port too high", []string{"up", "--dir", dir, "--port", "65536"}, "--port must be"},
		{"negative delay", []string{"up", "--dir", dir, "--lb-delay", "-1s"}, "--lb-delay must not"},
		{"a directory that is not ours", []string{"down", "--dir", full}, "holds files but no sandbox"},
		{"unknown output", []string{"status", "--dir", dir, "--output", "xml"}, `"xml" is neither table nor json`},
		{"fault of nothing", []string{"fault", "--dir", dir}, "accepts 1 arg(s)"},
		{"unknown verb", []string{"start"}, `unknown command "start"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := run(c.arguments...)
			if code != 2 || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %q; want exit 2 with %q", code, errs, c.want)
			}
		})
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("bad input made a directory")
	}
}

func TestWithoutASandbox(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "s")
	for verb, want := range map[string]int{"down": 0, "status": 1, "kubeconfig": 1} {
		if code, out, errs := run(verb, "--dir", dir); code != want {
			t.Errorf("%s: exit %d\n%s%s", verb, code, out, errs)
		}
	}
	if code, out, _ := run("status", "--dir", dir, "--output", "json"); code != 1 || !strings.Contains(out, `"phase": "stopped"`) {
		t.Errorf("status --output json: exit %d, %s", code, out)
	}
}

func TestHelpShowsExamples(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"up", "down", "status", "kubeconfig", "fault"} {
		if code, out, _ := run(verb, "--help"); code != 0 || !strings.Contains(out, "Examples:\n  ") {
			t.Errorf("%s --help: exit %d\n%s", verb, code, out)
		}
	}
}

func TestAClusterThatDoesNotAnswerIsNotUsed(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, config := filepath.Join(base, "s"), filepath.Join(base, "kubeconfig")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x"}}],
		"clusters":[{"name":"x","cluster":{"server":"http://127.0.0.1:1"}}]}`
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"nobody listens": config, "no file": config + "x"} {
		if code, _, errs := run("up", "--dir", dir, "--kubeconfig", path); code != 1 || !strings.Contains(errs, path) {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it was recorded all the same")
	}
}

func TestKindConfigNamesTheHelperForBothFormsOfKubeadm(t *testing.T) {
	t.Parallel()
	config, err := kindConfig(place.Dir("/s"), place.Settings{ECRLogin: "/bin/login/ecrlogin"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"v1beta3", "v1beta4", "containerPath: /etc/containerd/certs.d", "hostPath: /bin/login", "image-credential-provider-bin-dir"} {
		if !strings.Contains(string(config), want) {
			t.Errorf("no %q in\n%s", want, config)
		}
	}
}

// TestChoose: native is the default wherever it can run, even beside a working kind; kind comes by asking, or where native cannot run, and says that it is new.
func TestChoose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wanted, kubeconfig string
		native, kind       error
		want, note, err    string
	}{
		"an existing cluster":               {wanted: providerAuto, kubeconfig: "file", want: providerExisting},
		"both work":                         {wanted: providerAuto, want: providerNative},
		"no kind":                           {wanted: providerAuto, kind: errors.New("kind is not installed"), want: providerNative},
		"native cannot run":                 {wanted: providerAuto, native: errors.New("no apt-get"), want: providerKind, note: "native cannot run here: no apt-get. Using kind. The kind provider is new"},
		"neither":                           {wanted: providerAuto, native: errors.New("no apt-get"), kind: errors.New("kind is not installed"), err: "native: no apt-get; kind: kind is not installed; or name a cluster with --kubeconfig"},
		"kind by asking":                    {wanted: providerKind, want: providerKind, note: "The kind provider is new"},
		"kind by asking, and there is none": {wanted: providerKind, kind: errors.New("kind is not installed"), err: "kind is not installed"},
		"native by asking":                  {wanted: providerNative, want: providerNative},
		"native by asking, and it cannot":   {wanted: providerNative, native: errors.New("no apt-get"), err: "no apt-get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine{native: func() error { return c.native }, kind: func(context.Context) error { return c.kind }}
			got, note, err := m.choose(t.Context(), c.wanted, c.kubeconfig)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %q, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			if err != nil || got != c.want || (note == "") != (c.note == "") || !strings.HasPrefix(note, c.note) {
				t.Errorf("got %q, note %q, %v; want %q, note %q", got, note, err, c.want, c.note)
			}
		})
	}
}

// TestTheSupervisorAsksTheSameDocker: it gets the variables by which docker finds its daemon, and no others, among them credentials.
func TestTheSupervisorAsksTheSameDocker(t *testing.T) {
	t.Parallel()
	got := serveEnvironment([]string{"PATH=/elsewhere", "DOCKER_HOST=unix:///run/user/0/docker.sock", "AWS_SECRET_ACCESS_KEY=x", "HOME=/root", "DOCKER_HOST_OTHER=y"})
	want := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_HOST=unix:///run/user/0/docker.sock", "HOME=/root"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
