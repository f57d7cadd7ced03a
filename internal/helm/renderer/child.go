package renderer

import (
	"context"
	"io"
	"os/exec"
	"sync"
	"time"
)

// process is a child process that renders one chart, and then ends. It also ends when its standard input does, which the end of this process closes.
type childProcess struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	stderr *firstBytes
}

// start starts a child.
func start(command []string) (*childProcess, error) {
	c := &childProcess{Cmd: exec.CommandContext(context.Background(), command[0], command[1:]...), stderr: &firstBytes{limit: maxStderr}} // #nosec G204 -- this program
	c.Env = []string{"GOTRACEBACK=none"}                                                                                                  // nothing of this process's, which has credentials
	c.WaitDelay = time.Second
	c.Stderr = c.stderr
	var err error
	if c.in, err = c.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = c.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return c, nil
}

// kill kills the child and closes its standard input.
func (c *childProcess) kill() {
	_ = c.Process.Kill()
	_ = c.in.Close()
}

// waiting is a child that was started before there is anything to render.
type waiting struct {
	mu      sync.Mutex
	started chan struct{} // closed once child and err are set
	child   *childProcess
	err     error
}

// StartEarly returns the renderer with a child that is started at once, in the background, for its first rendering: that is spared the time of
// the start. If nothing has been rendered when ctx ends, the child is killed.
func (r Renderer) StartEarly(ctx context.Context) Renderer {
	if len(r.Command) == 0 {
		return r
	}
	ready := &waiting{started: make(chan struct{})}
	go func() {
		ready.child, ready.err = start(r.Command)
		close(ready.started)
		context.AfterFunc(ctx, func() {
			if unused, err := ready.take(); unused != nil && err == nil {
				unused.kill()
				_ = unused.Wait()
			}
		})
	}()
	r.ready = ready
	return r
}

// take returns the child that was started early, nil if there is none any more.
func (w *waiting) take() (*childProcess, error) {
	if w == nil {
		return nil, nil
	}
	<-w.started
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.child
	w.child = nil
	return taken, w.err
}
