package probe

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/httpx"
)

// maxAddresses is the most addresses of a name that requests are sent to. A load balancer has one for each zone.
const maxAddresses = 32

// Addresses resolves the host of a base URL: every address that a client may be sent to, in order, at most 32. It returns none
// where there is nothing to choose: a host that is an address, a name with one address or of this machine, a name that does not
// resolve. Addresses of a family that this machine cannot send to, as IPv6 on many runners, are left out.
func (p *Prober) Addresses(ctx context.Context, base string) []string {
	target, err := parseBase(base)
	if err != nil {
		return nil
	}
	host := strings.ToLower(strings.TrimSuffix(target.Hostname(), "."))
	if isAddress(host) || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	resolver := p.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	found = slices.DeleteFunc(found, func(address netip.Addr) bool { return httpx.WhyForbidden(address) == "" && !p.hasRoute(address) })
	if len(found) < 2 {
		return nil
	}
	addresses := make([]string, 0, maxAddresses)
	for _, address := range found[:min(len(found), maxAddresses)] {
		addresses = append(addresses, address.String())
	}
	return addresses
}

// hasRoute reports whether this machine can send to an address. Connecting a UDP socket looks up the route and sends nothing.
func hasRoute(address netip.Addr) bool {
	connection, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 9)))
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}
