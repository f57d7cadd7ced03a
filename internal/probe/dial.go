package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/onedigest/onedigest/internal/httpx"
)

// blockedError reports that no request may be sent to an address or URL, and why.
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

// port returns the port of a URL: its own, or that of its scheme.
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
	if why := httpx.WhyForbidden(target.Addr()); why != "" {
		return &blockedError{to: target.Addr().String(), why: why}
	}
	return nil
}
