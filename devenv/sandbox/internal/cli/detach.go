package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// contextWithoutCancel is for work that an interrupt must not stop.
func contextWithoutCancel(c *cobra.Command) context.Context {
	return context.WithoutCancel(c.Context())
}

// detach starts the supervisor in a session of its own, so that it outlives the terminal, and waits until it answers or
// has ended.
func detach(dir place.Dir) error {
	log, err := os.OpenFile(dir.Log("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                      //nolint:errcheck // the supervisor writes to a descriptor of its own
	serve := exec.Command("/proc/self/exe", "serve", "--dir", string(dir)) //nolint:gosec // this very program
	serve.Args[0] = "sandbox"
	serve.Stdout, serve.Stderr = log, log
	serve.Dir = "/"
	serve.Env = serveEnvironment(os.Environ())
	serve.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := serve.Start(); err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	for {
		if _, err := os.Stat(dir.Control()); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return errors.Join(fmt.Errorf("the supervisor ended: %w", err), errors.New(logTails(dir)))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// forDocker are the variables by which docker finds its daemon: the supervisor asks the daemon that kind asked.
var forDocker = []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "HOME"}

// serveEnvironment is the supervisor's environment.
func serveEnvironment(environ []string) []string {
	kept := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, pair := range environ {
		if name, _, _ := strings.Cut(pair, "="); slices.Contains(forDocker, name) {
			kept = append(kept, pair)
		}
	}
	return kept
}

// supervisorGone returns an error if the sandbox has no supervisor.
func supervisorGone(dir place.Dir) error {
	lock, err := supervisor.Lock(dir)
	if err != nil {
		return nil //nolint:nilerr // a supervisor has the lock
	}
	lock.Close() //nolint:errcheck,gosec // nothing was written
	return fmt.Errorf("the supervisor has ended%s", logTails(dir))
}

// logTails returns the last lines of each log, because the directory is removed when starting fails.
func logTails(dir place.Dir) string {
	const lines = 6
	var quoted strings.Builder
	logs, err := filepath.Glob(dir.In("logs", "*.log"))
	if err != nil {
		return ""
	}
	for _, log := range logs {
		content, err := os.ReadFile(log) //nolint:gosec // our own log
		if err != nil || len(content) == 0 {
			continue
		}
		all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		fmt.Fprintf(&quoted, "\n--- %s\n%s", log, bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
	}
	return quoted.String()
}
