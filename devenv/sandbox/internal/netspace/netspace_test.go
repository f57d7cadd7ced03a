package netspace

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestSocketsOpenInside(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: that sockets open inside the node's network namespace; it takes root to make one")
	}
	holder := exec.Command("sleep", "300")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		holder.Process.Kill() //nolint:errcheck,gosec // a test's
		holder.Wait()         //nolint:errcheck,gosec // it was killed
	})
	space, err := Of(holder.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close() //nolint:errcheck // a test's
	if err := space.do(func() {
		loopback, lookup := netlink.LinkByName("lo")
		if lookup != nil {
			err = lookup
			return
		}
		err = netlink.LinkSetUp(loopback)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	outer, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := outer.Addr().String()
	listener, err := space.Listen(address) // taken outside, free inside
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // a test's
	if err := outer.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := space.Dial(t.Context(), address)
	if err != nil {
		t.Fatalf("dialling from inside: %v", err)
	}
	conn.Close() //nolint:errcheck,gosec // a test's
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close() //nolint:errcheck,gosec // a test's
		t.Error("the listener answers outside as well")
	}
	// The threads that were inside must not be left there.
	for range 50 {
		outside, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", outside.Addr().String())
		if err != nil {
			t.Fatalf("a thread stayed inside: %v", err)
		}
		conn.Close()    //nolint:errcheck,gosec // a test's
		outside.Close() //nolint:errcheck,gosec // a test's
	}
}

func TestOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	if _, err := Of(1 << 30); err == nil {
		t.Error("it has a namespace")
	}
}
