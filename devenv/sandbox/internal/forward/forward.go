// Package forward forwards TCP connections from a listener to backends.
package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Dial opens a connection to an address host:port.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// attempt is the timeout of one dial. It is short, because backends are on this machine.
const attempt = 2 * time.Second

// Server forwards every connection it accepts to one of its backends, in turn. A backend that cannot be dialled is
// skipped for that connection; a connection for which all fail is closed. Changing the backends leaves the connections
// that exist alone, as a Network Load Balancer with IP targets does until the deregistration delay ends.
type Server struct {
	listener net.Listener
	dial     Dial
	backends atomic.Pointer[[]string]
	lagging  atomic.Pointer[[]string]
	turn     atomic.Uint64

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// Serve starts forwarding from a listener, which the server owns from then on.
func Serve(listener net.Listener, dial Dial, backends ...string) *Server {
	s := &Server{listener: listener, dial: dial, open: map[net.Conn]struct{}{}}
	s.SetBackends(backends)
	go s.accept()
	return s
}

// Address returns the address on which the server listens.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// SetBackends replaces the backends for connections accepted from now on.
func (s *Server) SetBackends(backends []string) {
	copied := append([]string(nil), backends...)
	s.backends.Store(&copied)
}

// SetLagging replaces the addresses that were backends and still get new connections in their turn, as a Network Load Balancer sends them to targets that were just deregistered. A connection to one that cannot be dialled is closed: no other is tried.
func (s *Server) SetLagging(addresses []string) {
	copied := append([]string(nil), addresses...)
	s.lagging.Store(&copied)
}

// Backends returns the addresses in use now.
func (s *Server) Backends() []string { return *s.backends.Load() }

// Close stops accepting and closes every connection.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.open {
		conn.Close() //nolint:errcheck,gosec // the connection is discarded
	}
	return err
}

func (s *Server) accept() {
	for {
		client, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// For example out of file descriptors, which ends when connections do.
			time.Sleep(5 * time.Millisecond)
			continue
		}
		go s.forward(client)
	}
}

// forward connects a client to a backend and copies both directions until both end.
func (s *Server) forward(client net.Conn) {
	defer s.release(client)
	if !s.hold(client) {
		return
	}
	backend, err := s.connect()
	if err != nil {
		reset(client)
		return
	}
	defer s.release(backend)
	if !s.hold(backend) {
		return
	}
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); copyStream(backend, client) }()
	go func() { defer both.Done(); copyStream(client, backend) }()
	both.Wait()
}

// connect dials the backends in turn, each at most once.
func (s *Server) connect() (net.Conn, error) {
	backends := s.Backends()
	first := s.turn.Add(1)
	err := errors.New("no backend")
	if lagging := s.lagging.Load(); lagging != nil && len(*lagging) > 0 {
		if n := first % uint64(len(backends)+len(*lagging)); n < uint64(len(*lagging)) {
			ctx, cancel := context.WithTimeout(context.Background(), attempt)
			defer cancel()
			return s.dial(ctx, (*lagging)[n])
		}
	}
	for i := range backends {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		var conn net.Conn
		conn, err = s.dial(ctx, backends[(first+uint64(i))%uint64(len(backends))])
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// copyStream copies one direction of a connection and its end: it passes a half-close on as a half-close, and a failure as a
// reset.
func copyStream(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck,gosec // the other side is gone already if it fails
	}
}

// reset closes a connection with a TCP reset, so that the peer sees a failure.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck,gosec // closing follows
	}
	conn.Close() //nolint:errcheck,gosec // the connection is discarded
}

// hold registers a connection, so that Close closes it; it returns false if the server is closed.
func (s *Server) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[conn] = struct{}{}
	return true
}

// release closes a connection and removes it from the registered ones.
func (s *Server) release(conn net.Conn) {
	conn.Close() //nolint:errcheck,gosec // both directions have ended
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}
