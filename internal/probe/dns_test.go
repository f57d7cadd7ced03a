package probe

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names are the records of the test's DNS server.
type names struct {
	mu    sync.Mutex
	known map[string][]netip.Addr
}

func (n *names) set(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string][]netip.Addr{}
	}
	n.known[name] = nil
	for _, address := range addresses {
		n.known[name] = append(n.known[name], netip.MustParseAddr(address))
	}
}

func (n *names) get(name string) ([]netip.Addr, bool) {
	if n == nil {
		return nil, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	addresses, ok := n.known[name]
	return addresses, ok
}

// resolver queries a DNS server on loopback that has those records and answers NXDOMAIN for all other names.
func resolver(t *testing.T, names *names) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = server.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) != 1 {
				continue
			}
			if answer, err := answer(names, message).Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func answer(names *names, query dnsmessage.Message) *dnsmessage.Message {
	question := query.Questions[0]
	response := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: query.Questions,
	}
	addresses, known := names.get(question.Name.String())
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
	if !known {
		response.RCode = dnsmessage.RCodeNameError
	}
	for _, address := range addresses {
		switch {
		case question.Type == dnsmessage.TypeA && address.Is4():
			response.Answers = append(response.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: address.As4()}})
		case question.Type == dnsmessage.TypeAAAA && address.Is6():
			response.Answers = append(response.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}})
		}
	}
	return response
}
