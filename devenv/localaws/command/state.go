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

// running is what a serving process leaves in its directory, so that others find it. A process id alone may by now be
// someone else's; with the time the process started it cannot be.
type running struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // as the system tells it; only compared
	Address string `json:"address"`
}

func stateFile(dir string) string { return filepath.Join(dir, "server.json") }
func logFile(dir string) string   { return filepath.Join(dir, "log") }

// readRunning tells what runs on a directory; it is false for nothing, and for a process that is gone.
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

// alive tells whether the process is there and is the one that wrote the file.
func (r running) alive() bool {
	started, err := startTime(r.PID)
	return err == nil && r.PID > 0 && started == r.Started
}

func (r running) url() string { return "http://" + r.Address }

// write leaves the file, whole or not at all.
func (r running) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fresh := stateFile(dir) + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %q: %w", stateFile(dir), err)
	}
	if err := os.Rename(fresh, stateFile(dir)); err != nil {
		return fmt.Errorf("writing %q: %w", stateFile(dir), err)
	}
	return nil
}

// askStatus asks a server what it is.
func askStatus(ctx context.Context, r running) (localaws.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var told localaws.Status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url()+"/_localaws/status", http.NoBody)
	if err != nil {
		return told, err
	}
	// Its own transport, so that no proxy of the environment comes between this machine and itself.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return told, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return told, fmt.Errorf("asking %s: %s", r.url(), response.Status)
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<20)).Decode(&told); err != nil {
		return told, fmt.Errorf("asking %s: %w", r.url(), err)
	}
	if told.PID != r.PID {
		return told, fmt.Errorf("asking %s: process %d answers, not %d", r.url(), told.PID, r.PID)
	}
	return told, nil
}
