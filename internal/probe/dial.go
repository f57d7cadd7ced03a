package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// blockedError says that no request may be sent to an address or URL, and why.
type blockedError struct{ to, why string }

func (e *blockedError) Error() string {
	return fmt.Sprintf("a request to %q is blocked: %s", e.to, e.why)
}

// allowRedirect allows a redirect to the same host and port, and one from http to https on the same host. The request's
// headers, credentials included, are sent to the redirect's target.
func allowRedirect(from, to *url.URL) error {
	same := strings.EqualFold(from.Hostname(), to.Hostname())
	switch {
	case to.Scheme != "http" && to.Scheme != "https":
		return &blockedError{to: to.Redacted(), why: "a redirect may only lead to http or https"}
	case !same:
		return &blockedError{to: to.Redacted(), why: "a redirect may not leave the host " + from.Host}
	case from.Scheme == to.Scheme && port(from) == port(to):
		return nil
	case from.Scheme == "http" && to.Scheme == "https" && (port(to) == "443" || port(to) == port(from)):
		return nil
	case from.Scheme == "https" && to.Scheme == "http":
		return &blockedError{to: to.Redacted(), why: "a redirect may not leave https"}
	}
	return &blockedError{to: to.Redacted(), why: "a redirect may not go to another port than " + port(from)}
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// refuseBlocked is called for each address that a name resolves to, before the connection is made, so that a name that
// resolves to a blocked address is blocked too.
func refuseBlocked(_ context.Context, _, hostPort string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		host, _, _ := net.SplitHostPort(hostPort)
		return &blockedError{to: host, why: "its address cannot be read"}
	}
	if why := blocked(target.Addr()); why != "" {
		return &blockedError{to: target.Addr().String(), why: why}
	}
	return nil
}

// awsMetadata are the addresses of AWS's metadata services besides 169.254.0.0/16: EC2 User Guide, "Access instance metadata"
// (fd00:ec2::254), and EKS User Guide, "Pod Identity agent" (fd00:ec2::23).
var awsMetadata = netip.MustParsePrefix("fd00:ec2::/32")

// IPv6 prefixes that carry an IPv4 address: RFC 6052, section 2.1 (in the last 32 bits), and RFC 3056, section 2 (after 16).
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// blocked says why an address is never dialled; "" if it may be.
func blocked(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return blocked(netip.AddrFrom4([4]byte(bytes[12:16])))
	case sixToFour.Contains(address):
		return blocked(netip.AddrFrom4([4]byte(bytes[2:6])))
	case address.IsLinkLocalUnicast(), awsMetadata.Contains(address):
		return "link-local and metadata addresses serve credentials, not a release"
	case address.IsUnspecified(), address.IsMulticast(), address.Is4() && bytes[12] == 255 && bytes[13] == 255:
		return "it is not the address of one host"
	}
	return ""
}
