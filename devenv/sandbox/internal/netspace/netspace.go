// Package netspace opens sockets inside another network namespace.
package netspace

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netns"
)

// Space is a network namespace, kept open.
type Space struct {
	handle netns.NsHandle
}

// Of opens the network namespace of a running process.
func Of(pid int) (*Space, error) {
	handle, err := netns.GetFromPid(pid)
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	return &Space{handle: handle}, nil
}

// Close closes the namespace.
func (s *Space) Close() error { return s.handle.Close() }

// Listen listens on a TCP address inside the namespace.
func (s *Space) Listen(address string) (listener net.Listener, err error) {
	within := s.do(func() { listener, err = net.Listen("tcp4", address) })
	if within != nil {
		return nil, within
	}
	return listener, err
}

// Dial connects to a TCP address, which must be numeric, inside the namespace: a name would be resolved on another thread.
func (s *Space) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	within := s.do(func() { conn, err = new(net.Dialer).DialContext(ctx, "tcp4", address) })
	if within != nil {
		return nil, within
	}
	return conn, err
}

// do runs f on a thread in the namespace. A socket stays in the namespace in which it was opened.
func (s *Space) do(f func()) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			failed <- fmt.Errorf("reading the thread's network namespace: %w", err)
			return
		}
		defer home.Close() //nolint:errcheck // it is only read
		if err := netns.Set(s.handle); err != nil {
			runtime.UnlockOSThread()
			failed <- fmt.Errorf("entering the node's network namespace: %w", err)
			return
		}
		f()
		// A thread that cannot return to its namespace stays locked, and ends with this goroutine.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		failed <- nil
	}()
	return <-failed
}
