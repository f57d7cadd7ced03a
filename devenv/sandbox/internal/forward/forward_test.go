package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var dial Dial = func(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck,gosec // some tests have closed it
	return listener
}

// backend answers every line with its name and that line.
func backend(t *testing.T, name string) string {
	t.Helper()
	listener := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // a test's
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintf(conn, "%s %s\n", name, lines.Text()) //nolint:errcheck // the client notices
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// dead is an address that nobody listens on.
func dead(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	defer listener.Close() //nolint:errcheck // a test's
	return listener.Addr().String()
}

func serve(t *testing.T, backends ...string) *Server {
	t.Helper()
	server := Serve(listen(t), dial, backends...)
	t.Cleanup(func() { server.Close() }) //nolint:errcheck,gosec // some tests have closed it
	return server
}

type client struct {
	net.Conn
	lines *bufio.Reader
}

func connect(t *testing.T, server *Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", server.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck,gosec // some tests have closed it
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	return c.lines.ReadString('\n')
}

func TestConnectionsUseEveryBackend(t *testing.T) {
	t.Parallel()
	server := serve(t, backend(t, "a"), backend(t, "b"), backend(t, "c"))
	got := map[string]int{}
	for range 30 {
		answer, err := connect(t, server).ask("x")
		if err != nil {
			t.Fatal(err)
		}
		got[answer]++
	}
	if diff := cmp.Diff(map[string]int{"a x\n": 10, "b x\n": 10, "c x\n": 10}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeadBackendsAreSkipped(t *testing.T) {
	t.Parallel()
	server := serve(t, dead(t), backend(t, "alive"), dead(t))
	for range 12 {
		if answer, err := connect(t, server).ask("x"); err != nil || answer != "alive x\n" {
			t.Fatalf("got %q, %v", answer, err)
		}
	}
}

// TestALaggingBackendGetsConnections gives half of the connections to an address that was left out; none of them goes to another.
func TestALaggingBackendGetsConnections(t *testing.T) {
	server := serve(t, backend(t, "a"))
	server.SetLagging([]string{dead(t)})
	closed := 0
	for range 10 {
		conn, err := net.Dial("tcp", server.Address().String())
		if err != nil {
			closed++ // reset before the dial returned
			continue
		}
		fmt.Fprintln(conn, "hello") //nolint:errcheck // a closed connection is counted
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			closed++
		}
		conn.Close() //nolint:errcheck,gosec // a test's
	}
	if closed != 5 {
		t.Errorf("%d of 10 connections were closed, want 5", closed)
	}
}

func TestWithoutBackendsConnectionsClose(t *testing.T) {
	t.Parallel()
	for name, backends := range map[string][]string{"none": nil, "dead": {dead(t)}} {
		conn, err := net.Dial("tcp", serve(t, backends...).Address().String())
		if err != nil {
			continue // reset before the dial returned
		}
		if answer, err := (&client{conn, bufio.NewReader(conn)}).ask("x"); err == nil {
			t.Errorf("%s: got the answer %q from nobody", name, answer)
		}
		conn.Close() //nolint:errcheck,gosec // a test's
	}
}

func TestConnectionsOutliveTheirBackendsRemoval(t *testing.T) {
	t.Parallel()
	server := serve(t, backend(t, "old"))
	early := connect(t, server)
	if _, err := early.ask("first"); err != nil {
		t.Fatal(err)
	}
	server.SetBackends([]string{backend(t, "new")})
	if answer, err := early.ask("again"); err != nil || answer != "old again\n" {
		t.Errorf("on the early connection: %q, %v", answer, err)
	}
	if answer, err := connect(t, server).ask("late"); err != nil || answer != "new late\n" {
		t.Errorf("on a late connection: %q, %v", answer, err)
	}
}

func TestHalfCloseReachesTheBackend(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		all, err := io.ReadAll(conn) // ends only if the client's half-close arrives
		if err == nil {
			fmt.Fprintf(conn, "got %d", len(all)) //nolint:errcheck // the client notices
		}
		conn.Close() //nolint:errcheck,gosec // a test's
	}()
	c := connect(t, serve(t, listener.Addr().String()))
	if _, err := c.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "got 100000" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	server := serve(t, backend(t, "a"))
	c := connect(t, server)
	if _, err := c.ask("x"); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if answer, err := c.ask("y"); err == nil {
		t.Errorf("the connection still answers: %q", answer)
	}
	if conn, err := net.Dial("tcp", server.Address().String()); err == nil {
		conn.Close() //nolint:errcheck,gosec // a test's
		t.Error("the address still accepts")
	}
}
