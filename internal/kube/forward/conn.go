package forward

import (
	"cmp"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// conn is a forwarded connection. It does not support deadlines: its user closes it when the time is up.
type conn struct {
	openedStreams
	to      release.Backend
	refused chan struct{} // closed when the error stream has ended
	message string        // of the kubelet, set before refused is closed
	close   sync.Once
}

// newConn returns a connection over the two streams of a forwarded port, and collects the kubelet's message from the error stream in the background.
func newConn(to release.Backend, streams openedStreams) *conn {
	c := &conn{openedStreams: streams, to: to, refused: make(chan struct{})}
	go func() {
		defer close(c.refused)
		message, _ := io.ReadAll(io.LimitReader(c.errorStream, 4*maxMessage)) // an error means that the connection has ended
		c.message = text.LogLine(string(message), maxMessage)
	}()
	return c
}

// Read reads what the pod sent. The kubelet closes both streams of a port that it cannot connect to, and writes the reason to the error stream.
func (c *conn) Read(into []byte) (int, error) {
	n, err := c.data.Read(into)
	if n > 0 || err == nil {
		return n, err
	}
	if refusal := c.Refusal(closeTime); refusal != nil {
		return 0, refusal
	}
	return 0, err
}

// closeTime is how long to wait for the kubelet's reason after the data have ended.
const closeTime = time.Second

// Refusal waits for the kubelet's report that it could not connect to the port, at most for the given time, and returns nil if
// there is none: the protocol does not confirm a connection.
func (c *conn) Refusal(within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-c.refused:
	case <-timer.C:
		return nil
	}
	if c.message == "" {
		return nil
	}
	return &RefusedError{c.message}
}

func (c *conn) Write(data []byte) (int, error) { return c.data.Write(data) }

func (c *conn) Close() (err error) {
	c.close.Do(func() {
		_ = c.data.Reset()
		err = c.connection.Close()
	})
	return err
}

func (c *conn) LocalAddr() net.Addr { return addr("forwarded") }

func (c *conn) RemoteAddr() net.Addr {
	return addr(net.JoinHostPort(cmp.Or(c.to.IP, c.to.Pod), strconv.Itoa(c.to.Port)))
}

func (*conn) SetDeadline(time.Time) error      { return nil }
func (*conn) SetReadDeadline(time.Time) error  { return nil }
func (*conn) SetWriteDeadline(time.Time) error { return nil }

// addr is one end of a forwarded connection.
type addr string

func (addr) Network() string  { return "portforward" }
func (a addr) String() string { return string(a) }
