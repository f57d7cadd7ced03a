package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	stopLimit = 5 * time.Second
	killLimit = 2 * time.Second
)

// down stops the server of a directory, if one runs, and with --purge deletes its state.
func down(ctx context.Context, p Process, chosen settings) error {
	if _, err := os.Stat(chosen.dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(p.Stdout, "not up")
		return nil
	}
	done, err := exclusive(ctx, chosen.dir)
	if err != nil {
		return release.NewFault(side, "", err, "using %q", chosen.dir)
	}
	defer done()
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	if alive {
		if err := stop(ctx, found); err != nil {
			return release.NewFault(side, "", err, "stopping process %d", found.PID)
		}
		fmt.Fprintf(p.Stdout, "stopped (process %d)\n", found.PID)
	} else {
		fmt.Fprintln(p.Stdout, "not up")
	}
	if !chosen.purge {
		return nil
	}
	if _, err := os.Stat(filepath.Join(chosen.dir, localaws.KeyFile)); err != nil {
		return &release.Refusal{
			Why: fmt.Sprintf("%s has no state of a local AWS (no %s)", chosen.dir, localaws.KeyFile),
			Do:  "check --dir, or delete it yourself",
		}
	}
	if err := purge(chosen.dir); err != nil {
		return release.NewFault(side, "", err, "deleting %q", chosen.dir)
	}
	fmt.Fprintf(p.Stdout, "deleted %s\n", chosen.dir)
	return nil
}

// stop terminates the process, and kills it if that is not enough. It checks before each signal that the process is still the same.
func stop(ctx context.Context, found running) error {
	for _, step := range []struct {
		signal func(int) error
		limit  time.Duration
	}{{terminate, stopLimit}, {kill, killLimit}} {
		if !found.alive() {
			return nil
		}
		if err := step.signal(found.PID); err != nil && found.alive() {
			return err
		}
		for deadline := time.Now().Add(step.limit); time.Now().Before(deadline); {
			if !found.alive() {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
	return errors.New("it did not end after SIGKILL")
}

// purge deletes a server's files, by name, and then the directory if it is empty: a wrong directory loses no other files.
func purge(dir string) error {
	paths, err := filepath.Glob(filepath.Join(globEscape(dir), ".writing-*"))
	if err != nil {
		return err
	}
	for _, name := range append(localaws.KeptFiles(), "server.json", "server.json.new", "log", lockName) {
		paths = append(paths, filepath.Join(dir, name))
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// statusOutput is the status as JSON.
type statusOutput struct {
	State string `json:"state"` // up or down
	Dir   string `json:"dir"`
	URL   string `json:"url,omitempty"`
	*localaws.Status
}

// status reports whether a server runs on the directory; if not, it returns a Failure, for the exit code.
func status(ctx context.Context, p Process, chosen settings) error {
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	answer := statusOutput{State: "down", Dir: chosen.dir}
	if alive {
		current, err := askStatus(ctx, found)
		if err != nil {
			return release.NewFault(side, "read "+logFile(chosen.dir), err, "reaching process %d", found.PID)
		}
		answer = statusOutput{State: "up", Dir: chosen.dir, URL: found.url(), Status: &current}
	}
	if chosen.output == "json" {
		if err := json.NewEncoder(p.Stdout).Encode(answer); err != nil {
			return err
		}
	} else if alive {
		names := strings.Join(answer.Repositories, ", ")
		if names == "" {
			names = "none"
		}
		fmt.Fprintf(p.Stdout, "up at %s (process %d), state in %s\nrepositories: %s\n", answer.URL, answer.PID, answer.Dir, names)
		for _, cluster := range answer.Clusters {
			fmt.Fprintf(p.Stdout, "cluster %s, webhook %s%s\n", cluster, answer.URL, localaws.ReviewPath(cluster))
		}
	}
	if !alive {
		return errNotUp(chosen.dir)
	}
	return nil
}

// env prints the environment as shell commands.
func env(ctx context.Context, p Process, chosen settings) error {
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	if !alive {
		return errNotUp(chosen.dir)
	}
	if _, err := askStatus(ctx, found); err != nil {
		return release.NewFault(side, "read "+logFile(chosen.dir), err, "reaching process %d", found.PID)
	}
	for _, line := range localaws.Environment(found.url()) {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(p.Stdout, "export %s=%s\n", name, quote(value))
	}
	return nil
}

// quote quotes a text as one word for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
