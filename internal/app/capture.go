package app

import (
	"bufio"
	"errors"
	"io"
	"log"
	"os"
	"time"
)

const (
	// maxCaptured bounds a line of a library or of a child process, in bytes. The rest of a longer one is dropped.
	maxCaptured = 64 << 10
	// captureWait is how long the end of the process waits for what children that outlive it print.
	captureWait = time.Second
)

// captureStreams passes to a sink's writer what libraries and child processes would print to the process's own standard output and
// error: the standard logger, klog, client-go's credential plugins. Until release is called, no other code can reach the process's
// streams.
func captureStreams(sunk io.Writer) (release func()) {
	log.SetOutput(sunk)
	reader, writer, err := os.Pipe()
	if err != nil { // no descriptors are left: what libraries print is lost
		log.SetOutput(io.Discard)
		return func() {}
	}
	stdout, stderr := os.Stdout, os.Stderr //nolint:forbidigo // they are replaced
	os.Stdout, os.Stderr = writer, writer  //nolint:forbidigo // the sink reads the pipe
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyLines(sunk, reader)
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

// copyLines writes each line at once, because a secret in it is recognized only as a whole.
func copyLines(to io.Writer, from io.Reader) {
	lines := bufio.NewReaderSize(from, maxCaptured)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			_, _ = to.Write(append(trimLineEnd(line), '\n'))
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
