package forward

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Listener is a port of the loopback address that leads to pods, for a program that opens its own connections. As through a Service, each
// connection leads to another pod in turn.
type Listener struct {
	listener net.Listener
	dial     func(ctx context.Context, to release.Backend) (net.Conn, error)
	pods     []release.Backend
	stop     context.CancelFunc
	open     sync.WaitGroup
}

// Listen opens a port that leads to the pods, at least one, until it is closed.
func (f *Forwarder) Listen(pods []release.Backend) (*Listener, error) { return listen(f.Dial, pods) }

func listen(dial func(context.Context, release.Backend) (net.Conn, error), pods []release.Backend) (*Listener, error) {
	opened, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, release.NewFault("this machine", "", err, "opening a port for the command of a check")
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Listener{listener: opened, dial: dial, pods: pods, stop: stop}
	l.open.Go(func() { l.accept(ctx) })
	return l, nil
}

// Address is the address and port, such as 127.0.0.1:40001.
func (l *Listener) Address() string { return l.listener.Addr().String() }

// Close closes the port and its connections.
func (l *Listener) Close() {
	_ = l.listener.Close()
	l.stop()
	l.open.Wait()
}

// accept forwards each client to the next pod, until the listener is closed.
func (l *Listener) accept(ctx context.Context) {
	for next := 0; ; next++ {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		pod := l.pods[next%len(l.pods)]
		l.open.Go(func() { l.serve(ctx, client, pod) })
	}
}

// lingerTime is how long a pod may go on sending to a client that has ended its side.
const lingerTime = 5 * time.Second

// serve copies both ways until the pod ends the connection, the client is gone, or the listener is closed.
func (l *Listener) serve(ctx context.Context, client net.Conn, to release.Backend) {
	defer client.Close() //nolint:errcheck // nothing more is sent
	pod, err := l.dial(ctx, to)
	if err != nil {
		return // the client sees a connection that ends
	}
	defer pod.Close() //nolint:errcheck // nothing more is sent
	sent, received := make(chan struct{}), make(chan struct{})
	go func() { defer close(sent); _, _ = io.Copy(pod, client) }()
	go func() { defer close(received); _, _ = io.Copy(client, pod) }()
	select {
	case <-received:
	case <-ctx.Done():
	case <-sent:
		timer := time.NewTimer(lingerTime)
		defer timer.Stop()
		select {
		case <-received:
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}
