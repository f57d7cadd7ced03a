package registrytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Distributions are the variables that name the programs of the CNCF's registry, by their major versions. make test unpacks Debian's version 2 and
// builds version 3.
var Distributions = map[string]string{"2": "ONEDIGEST_DISTRIBUTION", "3": "ONEDIGEST_DISTRIBUTION_3"}

// Distribution starts the CNCF's registry and returns its host. It has no referrers API, and deletes what it is asked to if deletes is set. Without a
// program the test is skipped.
func Distribution(t testing.TB, program string, deletes bool) string {
	t.Helper()
	if program == "" {
		t.Skip("SKIPPED: a variable of registrytest.Distributions names no program")
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // which ends after what the test cleans up
	t.Cleanup(cancel)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}, delete: {enabled: %t}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), deletes, host)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(ctx, program, "serve", filepath.Join(dir, "config.yaml")) // #nosec G204 -- the program that a test hands over
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = server.Wait() // it was killed
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ping(ctx, host)
		if err == nil {
			return host
		}
		if time.Now().After(deadline) {
			t.Fatalf("the registry does not answer: %v", err)
		}
	}
}

// ping asks a registry whether it answers.
func ping(ctx context.Context, host string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Timeout: time.Second}).Do(request) // #nosec G704 -- to loopback
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
