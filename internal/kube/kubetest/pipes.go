package kubetest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Pipes is a listener whose connections are in-memory pipes. In a synctest bubble, time advances only when every goroutine is blocked, and a goroutine that
// reads a socket does not count as blocked. Over pipes, the server has answered before time advances, so that tests do not depend on scheduling.
type Pipes struct {
	accepted  chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once

	mu          sync.Mutex
	connections map[net.Conn]bool
}

// ServePipes serves a handler until the test ends; before then it calls stop, which must make the handler's long requests end.
func ServePipes(t *testing.T, handler http.Handler, stop func()) *Pipes {
	t.Helper()
	p := &Pipes{accepted: make(chan net.Conn), closed: make(chan struct{}), connections: map[net.Conn]bool{}}
	web := &http.Server{Handler: handler} //nolint:gosec // its clients are this test's
	go func() { _ = web.Serve(p) }()
	t.Cleanup(func() {
		stop()
		p.CloseConnections()
		_ = web.Close()
	})
	return p
}

// Accept waits for a client.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case connection := <-p.accepted:
		return connection, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further clients.
func (p *Pipes) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// Addr returns a placeholder; a pipe has no address.
func (p *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// Dial connects a client to the server; the address is ignored.
func (p *Pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections[server] = true
	return client, nil
}

// CloseConnections closes the connections of all clients.
func (p *Pipes) CloseConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for connection := range p.connections {
		_ = connection.Close()
	}
	clear(p.connections)
}
