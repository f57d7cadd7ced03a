package httpx

import (
	"net/netip"
	"strings"
)

// addressRange is a range of addresses that requests from outside may not reach.
type addressRange struct {
	prefix netip.Prefix
	reason string // what is at these addresses, for messages
}

const (
	metadata  = "the metadata service of a cloud, which serves credentials"
	linkLocal = "a link-local address, where clouds serve credentials"
	noHost    = "not the address of one host"
	private   = "inside a private network"
)

// forbiddenRanges are the addresses that no URL from outside may lead to, directly or through a name. Private and loopback
// addresses are not among them: a release in a cluster has one.
var forbiddenRanges = []addressRange{
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},    // RFC 3927; 169.254.169.254 of AWS, Azure, Google and others; 169.254.170.2 and .23 of ECS and EKS
	{netip.MustParsePrefix("fe80::/10"), linkLocal},         // RFC 4291, section 2.5.6
	{netip.MustParsePrefix("fd00:ec2::/32"), metadata},      // EC2 User Guide, "Access instance metadata" (::254); EKS User Guide, "Pod Identity agent" (::23)
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},   // Google Cloud, "About VM metadata": IPv6-only instances
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},   // Azure, "What is IP address 168.63.129.16?": WireServer
	{netip.MustParsePrefix("100.100.100.200/32"), metadata}, // Alibaba Cloud ECS, "Instance metadata"
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},     // Oracle Cloud Infrastructure Classic, "Retrieving Instance Metadata"
	{netip.MustParsePrefix("0.0.0.0/8"), noHost},            // RFC 1122, section 3.2.1.3: this host; Linux connects 0.0.0.0 to loopback
	{netip.MustParsePrefix("::/128"), noHost},               // RFC 4291, section 2.5.2
	{netip.MustParsePrefix("224.0.0.0/4"), noHost},          // RFC 5771, multicast
	{netip.MustParsePrefix("ff00::/8"), noHost},             // RFC 4291, section 2.7, multicast
	{netip.MustParsePrefix("255.255.255.255/32"), noHost},   // RFC 919, broadcast
}

// embedding is a range of IPv6 addresses that embed an IPv4 address, to which a gateway or the kernel may forward the packets.
type embedding struct {
	prefix   netip.Prefix
	at       [4]int // the bytes that hold the IPv4 address
	inverted bool   // whether the bits of the IPv4 address are inverted
}

var (
	last32     = [4]int{12, 13, 14, 15}
	embeddings = []embedding{
		{netip.MustParsePrefix("::/96"), last32, false},                         // RFC 4291, section 2.5.5.1: IPv4-compatible
		{netip.MustParsePrefix("::ffff:0:0/96"), last32, false},                 // RFC 4291, section 2.5.5.2: IPv4-mapped
		{netip.MustParsePrefix("::ffff:0:0:0/96"), last32, false},               // RFC 2765, section 2.1: IPv4-translated
		{netip.MustParsePrefix("64:ff9b::/96"), last32, false},                  // RFC 6052, section 2.1: NAT64
		{netip.MustParsePrefix("64:ff9b:1::/48"), last32, false},                // RFC 8215: local-use NAT64, with a /96 of it
		{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}, false},   // RFC 6052, section 2.2: the same with the /48 itself
		{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}, false},  // likewise with a /56
		{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}, false}, // likewise with a /64
		{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}, false},         // RFC 3056, section 2: 6to4
		{netip.MustParsePrefix("2001::/32"), [4]int{4, 5, 6, 7}, false},         // RFC 4380, section 4: Teredo's server
		{netip.MustParsePrefix("2001::/32"), last32, true},                      // RFC 4380, section 4: Teredo's client, its bits inverted
	}
	isatap = [4]byte{0x00, 0x00, 0x5e, 0xfe} // RFC 5214, section 6.1: an interface identifier, in any prefix, with or without the bit u
)

// privateRanges are the addresses of networks that are not public, and of this machine.
var privateRanges = []addressRange{
	{netip.MustParsePrefix("10.0.0.0/8"), private},     // RFC 1918
	{netip.MustParsePrefix("172.16.0.0/12"), private},  // RFC 1918
	{netip.MustParsePrefix("192.168.0.0/16"), private}, // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), private},  // RFC 6598: shared by a provider's customers; pods of EKS have such addresses
	{netip.MustParsePrefix("fc00::/7"), private},       // RFC 4193
	{netip.MustParsePrefix("127.0.0.0/8"), private},    // RFC 1122, section 3.2.1.3: loopback
	{netip.MustParsePrefix("::1/128"), private},        // RFC 4291, section 2.5.3: loopback
}

// WhyForbidden returns the reason why no request may be sent to an address, "" if requests are allowed.
func WhyForbidden(address netip.Addr) string { return rangeReason(forbiddenRanges, address) }

// WhyPrivate returns the reason why an address is not public: it is forbidden, or belongs to a private network or to this machine. It
// returns "" for a public address. A redirect or a name from outside must not lead a request to a private address.
func WhyPrivate(address netip.Addr) string {
	if why := rangeReason(privateRanges, address); why != "" {
		return why
	}
	return WhyForbidden(address)
}

// IsPrivateHost reports whether a host is localhost or a private address in text form. It does not resolve other names.
func IsPrivateHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && WhyPrivate(address) != ""
}

// rangeReason returns the reason of the range that contains an address, or the IPv4 address embedded in it; "" if none does.
func rangeReason(ranges []addressRange, address netip.Addr) string {
	address = address.Unmap().WithZone("")
	for _, each := range ranges {
		if each.prefix.Contains(address) {
			return each.reason
		}
	}
	if address.Is4() {
		return ""
	}
	bytes := address.As16()
	for _, each := range embeddings {
		if each.prefix.Contains(address) {
			if why := embeddedReason(ranges, bytes, each.at, each.inverted); why != "" {
				return why
			}
		}
	}
	if bytes[8]&^0x02 == isatap[0] && [3]byte(bytes[9:12]) == [3]byte(isatap[1:]) {
		return embeddedReason(ranges, bytes, last32, false)
	}
	return ""
}

// embeddedReason is rangeReason for the IPv4 address in an IPv6 address. It allows 0.0.0.0/8 there, because ::1 is loopback.
func embeddedReason(ranges []addressRange, bytes [16]byte, at [4]int, inverted bool) string {
	var inner [4]byte
	for i := range inner {
		inner[i] = bytes[at[i]]
		if inverted {
			inner[i] = ^inner[i]
		}
	}
	if inner[0] == 0 {
		return ""
	}
	return rangeReason(ranges, netip.AddrFrom4(inner))
}
