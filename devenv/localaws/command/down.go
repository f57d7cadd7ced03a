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

// down stops the server of a directory, if one runs, and with purge deletes what it kept.
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
			Why: fmt.Sprintf("%s holds nothing of a local AWS (no %s)", chosen.dir, localaws.KeyFile),
			Do:  "check --dir, or delete it yourself",
		}
	}
	if err := purge(chosen.dir); err != nil {
		return release.NewFault(side, "", err, "deleting %q", chosen.dir)
	}
	fmt.Fprintf(p.Stdout, "deleted %s\n", chosen.dir)
	return nil
}

// stop asks the process to end, and ends it if it does not. It looks again before each signal that it is the same one.
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
	return errors.New("it does not end")
}

// purge deletes what a server keeps, by name, and the directory once nothing else is in it: a directory given by
// mistake loses nothing that is not ours.
func purge(dir string) error {
	kept, err := filepath.Glob(filepath.Join(globEscape(dir), ".writing-*"))
	if err != nil {
		return err
	}
	for _, name := range append(localaws.KeptFiles(), "server.json", "server.json.new", "log", lockName) {
		kept = append(kept, filepath.Join(dir, name))
	}
	for _, path := range kept {
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

// told is the status as JSON.
type told struct {
	State string `json:"state"` // up or down
	Dir   string `json:"dir"`
	URL   string `json:"url,omitempty"`
	*localaws.Status
}

// status tells whether a server runs on the directory; one that does not is a Failure, for the exit code.
func status(ctx context.Context, p Process, chosen settings) error {
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	answer := told{State: "down", Dir: chosen.dir}
	if alive {
		asked, err := askStatus(ctx, found)
		if err != nil {
			return release.NewFault(side, "look into "+logFile(chosen.dir), err, "reaching process %d", found.PID)
		}
		answer = told{State: "up", Dir: chosen.dir, URL: found.url(), Status: &asked}
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
		fmt.Fprintf(p.Stdout, "up at %s (process %d), kept in %s\nrepositories: %s\n", answer.URL, answer.PID, answer.Dir, names)
		for _, cluster := range answer.Clusters {
			fmt.Fprintf(p.Stdout, "cluster %s, webhook %s%s\n", cluster, answer.URL, localaws.ReviewPath(cluster))
		}
	}
	if !alive {
		return errNotUp(chosen.dir)
	}
	return nil
}

// env prints the environment as a shell reads it.
func env(ctx context.Context, p Process, chosen settings) error {
	found, alive, err := readRunning(chosen.dir)
	if err != nil {
		return err
	}
	if !alive {
		return errNotUp(chosen.dir)
	}
	if _, err := askStatus(ctx, found); err != nil {
		return release.NewFault(side, "look into "+logFile(chosen.dir), err, "reaching process %d", found.PID)
	}
	for _, line := range localaws.Environment(found.url()) {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(p.Stdout, "export %s=%s\n", name, quote(value))
	}
	return nil
}

// quote makes one word of a text for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
