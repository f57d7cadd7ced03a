package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

// roleVariable makes the test's program copy an image, in a process of its own whose memory can be measured.
const roleVariable = "ONEDIGEST_BENCH_COPY"

// task is what such a process does.
type task struct {
	By, From, To string
	Passwords    map[string]string // by host
}

func TestMain(m *testing.M) {
	if text := os.Getenv(roleVariable); text != "" {
		if err := copyImage(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// copyImage copies, and prints the most memory that the process held, in KiB.
func copyImage(text string) error {
	var given task
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	var err error
	if given.By == "crane" {
		err = crane.Copy(given.From, given.To+":copied", crane.Insecure, crane.WithAuthFromKeychain(passwords(given.Passwords)))
	} else {
		var image release.Image
		if image, err = release.ParseImage(given.From); err == nil {
			client := registry.New(registry.Options{Credentials: func(_ context.Context, host string) (string, string, error) { return "AWS", given.Passwords[host], nil }})
			err = client.Copy(context.Background(), image, release.Repository(given.To), nil)
		}
	}
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, mark, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(strings.Fields(mark)[0])
	return nil
}

type passwords map[string]string

func (p passwords) Resolve(of authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "AWS", Password: p[of.RegistryStr()]}), nil
}

// BenchmarkCopy copies an image of 500 MB into another registry, each time in a process of its own. The goal is at most crane's time and memory.
func BenchmarkCopy(b *testing.B) {
	onDisk := func(options *localaws.Options) { options.Dir = b.TempDir() }
	from := localawstest.Start(b, onDisk)
	image := push(b, from, from.Repository("shop"), from.Repository("shop"), layers(b, 50<<20, 10))
	seconds, kib := map[string][]float64{}, map[string][]float64{}
	for i := range b.N {
		for _, by := range []string{"onedigest", "crane"} {
			to := localawstest.Start(b, onDisk)
			target := to.Repository(fmt.Sprintf("copy-%d", i))
			text, err := json.Marshal(task{By: by, From: image.String(), To: target.String(), Passwords: map[string]string{from.Address(): from.IssueToken(), to.Address(): to.IssueToken()}})
			if err != nil {
				b.Fatal(err)
			}
			command := exec.CommandContext(b.Context(), os.Args[0])
			command.Env = append(os.Environ(), roleVariable+"="+string(text))
			var output, problems bytes.Buffer
			command.Stdout, command.Stderr = &output, &problems
			began := time.Now()
			if err := command.Run(); err != nil {
				b.Fatalf("%s: %v: %s", by, err, problems.String())
			}
			var peak float64
			if _, err := fmt.Sscan(output.String(), &peak); err != nil {
				b.Fatal(err)
			}
			seconds[by], kib[by] = append(seconds[by], time.Since(began).Seconds()), append(kib[by], peak)
			if err := to.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, by := range []string{"onedigest", "crane"} {
		b.ReportMetric(median(seconds[by]), "s("+by+")")
		b.ReportMetric(median(kib[by])/1024, "MiB("+by+")")
	}
	b.ReportMetric(median(seconds["onedigest"])/median(seconds["crane"]), "ratio(time)")
	b.ReportMetric(median(kib["onedigest"])/median(kib["crane"]), "ratio(memory)")
}
