package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestAListenerLeadsToThePodsInTurn: as a Service does. A pod that cannot be reached ends the connection.
func TestAListenerLeadsToThePodsInTurn(t *testing.T) {
	t.Parallel()
	servers := map[string]string{}
	var pods []release.Backend
	for _, name := range []string{"a", "b"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(server.Close)
		servers[name] = strings.TrimPrefix(server.URL, "http://")
		pods = append(pods, release.Backend{Pod: name})
	}
	pods = append(pods, release.Backend{Pod: "gone"})
	listener, err := listen(func(ctx context.Context, to release.Backend) (net.Conn, error) {
		if servers[to.Pod] == "" {
			return nil, errors.New("no such pod")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", servers[to.Pod])
	}, pods)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for range 6 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		reply, err := client.Get("http://" + listener.Address())
		if err != nil {
			got += "-"
			continue
		}
		body, _ := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		got += string(body)
	}
	if got != "ab-ab-" {
		t.Errorf("answered by %s", got)
	}
	idle, err := net.Dial("tcp", listener.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	listener.Close()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("a connection stays open after the port is closed")
	}
	if _, err := net.Dial("tcp", listener.Address()); err == nil {
		t.Error("the port stays open")
	}
}
