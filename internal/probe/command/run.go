package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/text"
)

// grace is the time between SIGTERM and SIGKILL.
const grace = 2 * time.Second

// process describes a process to run.
type process struct {
	program string
	args    []string
	dir     string
	environ []string
	mark    string // in the environment of the process and its children
	limit   time.Duration
}

// outcome describes how a process ended.
type outcome struct {
	wrong  string // what went wrong; "" if it exited with status 0 in time
	output string // sanitized
	took   time.Duration
}

// run runs a process until it exits, its time is up or the context ends, and ends everything that it has left running: with SIGTERM, and
// with SIGKILL after a grace.
func run(ctx context.Context, p process) outcome {
	began := time.Now()
	kept := &output{}
	reader, writer, err := os.Pipe()
	if err != nil {
		return outcome{wrong: "cannot be started: " + err.Error()}
	}
	defer reader.Close()                      //nolint:errcheck // it was only read
	cmd := exec.Command(p.program, p.args...) //nolint:noctx // the whole group is ended, not the process alone
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.environ, writer, writer
	ownGroup(cmd)
	err = cmd.Start()
	_ = writer.Close()
	if err != nil {
		return outcome{wrong: startError(err)}
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		kept.readFrom(reader)
	}()
	var exit error
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		exit = cmd.Wait()
	}()

	limit := time.NewTimer(p.limit)
	defer limit.Stop()
	var wrong string
	select {
	case <-exited:
		wrong = describeExit(exit)
	case <-limit.C:
		wrong = fmt.Sprintf("had not exited after %s and was ended", text.Duration(p.limit))
		endGroup(cmd.Process.Pid, exited)
	case <-ctx.Done():
		wrong = "was ended, because the time of the whole command was up"
		if errors.Is(ctx.Err(), context.Canceled) {
			wrong = "was ended by an interrupt"
		}
		endGroup(cmd.Process.Pid, exited)
	}
	took := time.Since(began)
	killLeftovers(cmd.Process.Pid, p.mark)
	select {
	case <-copied:
	case <-time.After(grace): // a process that could not be ended holds the pipe
		_ = reader.Close()
	}
	return outcome{wrong: wrong, output: kept.String(), took: took}
}

// endGroup ends the process and its group, and waits for the process.
func endGroup(pid int, exited <-chan struct{}) {
	signalGroup(pid, terminate)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		signalGroup(pid, kill)
		<-exited
	}
}

// killLeftovers ends the processes that a process has left running: with SIGTERM, and with SIGKILL after the grace.
func killLeftovers(pid int, mark string) {
	deadline := time.Now().Add(grace)
	for terminated := false; ; terminated = true {
		left := remaining(pid, mark)
		if !left.any() {
			return
		}
		if time.Now().After(deadline) {
			left.signal(kill)
			return
		}
		if !terminated {
			left.signal(terminate)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// describeExit describes how a process ended, "" if it exited with status 0.
func describeExit(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return fmt.Sprintf("exited with status %d", exit.ExitCode())
	case errors.As(err, &exit):
		return "ended by " + exit.String()
	}
	return text.LogLine(err.Error(), maxLine)
}

func startError(err error) string {
	what := "cannot be started: " + text.LogLine(rootError(err).Error(), maxLine)
	if strings.Contains(what, "exec format error") {
		what += "; a script begins with the program that runs it, such as #!/bin/sh"
	}
	return what
}

// newRunID returns a random text that identifies the processes of one run.
func newRunID() string { return rand.Text() }

// Limits of the output that is kept, and of a line in a message, in bytes.
const (
	maxHead = 8 << 10
	maxTail = 24 << 10
	maxLine = 200
)

// output keeps the beginning and the end of what is written.
type output struct {
	mu      sync.Mutex
	head    []byte
	tail    []byte // at most twice maxTail
	dropped int64
}

// readFrom reads until the end.
func (o *output) readFrom(reader *os.File) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := reader.Read(chunk)
		o.write(chunk[:n])
		if err != nil {
			return
		}
	}
}

func (o *output) write(chunk []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := maxHead - len(o.head); room > 0 {
		n := min(room, len(chunk))
		o.head, chunk = append(o.head, chunk[:n]...), chunk[n:]
	}
	o.tail = append(o.tail, chunk...)
	if over := len(o.tail) - maxTail; over > maxTail {
		o.dropped += int64(over)
		o.tail = append(o.tail[:0], o.tail[over:]...)
	}
}

// String returns the output that was kept, sanitized. One line replaces the part that was dropped.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	tail, dropped := o.tail, o.dropped
	if over := len(tail) - maxTail; over > 0 {
		tail, dropped = tail[over:], dropped+int64(over)
	}
	kept := string(o.head) + string(tail)
	if dropped > 0 {
		kept = string(o.head) + fmt.Sprintf("\n[%d bytes left out]\n", dropped) + string(tail)
	}
	return strings.TrimSpace(text.Lines(kept, 2*(maxHead+maxTail)))
}

// lastLine returns the last line that is not empty.
func lastLine(output string) string {
	lines := strings.Split(output, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := text.Line(lines[i], maxLine); line != "" {
			return line
		}
	}
	return ""
}
