package app

import (
	"bufio"
	"errors"
	"io"
	"log"
	"os"
	"sync"
	"time"
)

const (
	// maxCaptured bounds a line of a library or of a child process, in bytes. The rest of a longer one is dropped.
	maxCaptured = 64 << 10
	// captureWait is how long the end of the process waits for what children that outlive it print.
	captureWait = time.Second
	// captureHold is how long a line is held back: a credential plugin may print the token that it is about to return, which is known
	// only when a request is sent with it.
	captureHold = 10 * time.Second
)

// captureStreams redirects os.Stdout and os.Stderr to a sink's writer until release is called: the standard logger, klog and client-go's credential plugins
// print there, and their output has to be redacted.
func captureStreams(sunk io.Writer) (release func()) {
	log.SetOutput(&differentLines{to: sunk})
	log.SetFlags(0) // a time in each line would make it another one
	reader, writer, err := os.Pipe()
	if err != nil { // no descriptors are left: what libraries print is lost
		log.SetOutput(io.Discard)
		return func() {}
	}
	stdout, stderr := os.Stdout, os.Stderr //nolint:forbidigo // they are replaced
	os.Stdout, os.Stderr = writer, writer  //nolint:forbidigo // the sink reads the pipe
	done := make(chan struct{})
	held := &heldLines{to: sunk}
	go func() {
		defer close(done)
		copyLines(held, reader)
		held.flush(0)
	}()
	return func() {
		os.Stdout, os.Stderr = stdout, stderr //nolint:forbidigo // as they were
		_ = writer.Close()
		select {
		case <-done:
		case <-time.After(captureWait):
		}
	}
}

// maxDifferent is how many lines of the standard logger are remembered.
const maxDifferent = 1000

// differentLines writes each line once: Helm repeats what it has to say of a value whenever it merges the values.
type differentLines struct {
	to    io.Writer
	mu    sync.Mutex
	lines map[string]bool
}

// Write writes a line, unless it was written before.
func (d *differentLines) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines[string(line)] {
		return len(line), nil
	}
	if d.lines == nil {
		d.lines = map[string]bool{}
	}
	if len(d.lines) < maxDifferent {
		d.lines[string(line)] = true
	}
	return d.to.Write(line)
}

// heldLines delays each line by captureHold before it writes it.
type heldLines struct {
	to    io.Writer
	mu    sync.Mutex
	lines []heldLine
}

type heldLine struct {
	text string
	at   time.Time
}

// Write keeps a line, and writes it later.
func (h *heldLines) Write(line []byte) (int, error) {
	h.mu.Lock()
	h.lines = append(h.lines, heldLine{string(line), time.Now()})
	h.mu.Unlock()
	time.AfterFunc(captureHold, func() { h.flush(captureHold) })
	return len(line), nil
}

// flush writes the lines that are at least as old as age.
func (h *heldLines) flush(age time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.lines) > 0 && time.Since(h.lines[0].at) >= age {
		_, _ = io.WriteString(h.to, h.lines[0].text)
		h.lines = h.lines[1:]
	}
}

// copyLines writes each line at once, because a secret in it is recognized only as a whole.
func copyLines(to io.Writer, from io.Reader) {
	lines := bufio.NewReaderSize(from, maxCaptured)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			text := string(trimLineEnd(line))
			if errors.Is(err, bufio.ErrBufferFull) {
				text += "…" // by which the beginning of a secret is recognized
			}
			_, _ = to.Write([]byte(text + "\n"))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func trimLineEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
