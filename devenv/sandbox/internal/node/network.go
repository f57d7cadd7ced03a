package node

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// network sets up the namespace's loopback, the node's address and a route for cluster IPs.
//
// The address is on one end of a veth pair whose other end is in the same namespace, because it needs an interface that is up, and
// not every kernel has dummy interfaces. A connection from the node to a cluster IP needs the route; kube-proxy's rules then
// redirect it to a pod.
func network() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("bringing up the loopback interface: %w", err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "node"}, PeerName: "nowhere"}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("making the node's interface: %w", err)
	}
	for _, name := range []string{"nowhere", "node"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("finding the interface %q: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bringing up the interface %q: %w", name, err)
		}
		pair.Index = link.Attrs().Index
	}
	if err := netlink.AddrAdd(pair, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(Address), Mask: net.CIDRMask(32, 32)}}); err != nil {
		return fmt.Errorf("adding the node's address: %w", err)
	}
	_, services, err := net.ParseCIDR(Services)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: pair.Index, Dst: services, Src: net.ParseIP(Address), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("adding the route for cluster IPs: %w", err)
	}
	// The setting is the namespace's, not the machine's.
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
