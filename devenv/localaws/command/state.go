package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

// running is the file that describes a serving process to other commands. It has the start time too, because process ids are
// reused.
type running struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // in the system's format; only compared
	Address string `json:"address"`
}

func stateFile(dir string) string { return filepath.Join(dir, "server.json") }
func logFile(dir string) string   { return filepath.Join(dir, "log") }

// readRunning returns the process that serves a directory; false if there was none, or if it has ended.
func readRunning(dir string) (running, bool, error) {
	var found running
	text, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return found, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err != nil {
		return found, false, release.NewFault("local AWS", "delete the file if nothing runs", err, "reading %q", stateFile(dir))
	}
	return found, found.alive(), nil
}

// alive reports whether the process exists and is the one that wrote the file.
func (r running) alive() bool {
	started, err := startTime(r.PID)
	return err == nil && r.PID > 0 && started == r.Started
}

func (r running) url() string { return "http://" + r.Address }

// write writes the file atomically.
func (r running) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temporary := stateFile(dir) + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %q: %w", stateFile(dir), err)
	}
	if err := os.Rename(temporary, stateFile(dir)); err != nil {
		return fmt.Errorf("writing %q: %w", stateFile(dir), err)
	}
	return nil
}

// askStatus requests a server's status, and checks that the server is the process r.
func askStatus(ctx context.Context, r running) (localaws.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var status localaws.Status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url()+"/_localaws/status", http.NoBody)
	if err != nil {
		return status, err
	}
	// A transport of its own ignores the environment's proxy settings.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return status, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return status, fmt.Errorf("asking %s: %s", r.url(), response.Status)
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<20)).Decode(&status); err != nil {
		return status, fmt.Errorf("asking %s: %w", r.url(), err)
	}
	if status.PID != r.PID {
		return status, fmt.Errorf("asking %s: process %d answers, not %d", r.url(), status.PID, r.PID)
	}
	return status, nil
}
