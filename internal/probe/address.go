package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"
)

// blockedError says that something may not be asked at all, and why.
type blockedError struct{ to, why string }

func (e *blockedError) Error() string { return fmt.Sprintf("asking %q is blocked: %s", e.to, e.why) }

// ParseBase accepts the URL of a service: http or https, a host, and a path if the service lives below one. Credentials,
// a query and a fragment are refused, as are literal addresses that Probe would never dial. The error says what to write.
func ParseBase(text string) (string, error) {
	base, err := parseBase(text)
	if err != nil {
		return "", err
	}
	return base.String(), nil
}

func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://") && !strings.HasPrefix(text, "file:"):
		return nil, fmt.Errorf("URL %s has no scheme; write http:// or https:// before the host", shown(text))
	case err != nil:
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("%s is not a URL: %s", shown(text), clean(err.Error(), maxExcerpt))
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("URL %s: scheme %s is not asked, only http and https", shown(text), quote(base.Scheme))
	case base.Hostname() == "":
		return nil, fmt.Errorf("URL %s names no host", shown(text))
	case !hostName.MatchString(base.Hostname()) && !isAddress(base.Hostname()):
		return nil, fmt.Errorf("URL %s: %s is not the name or address of a host", shown(text), quote(base.Hostname()))
	case base.User != nil:
		return nil, fmt.Errorf("URL %s carries credentials; send them as a header of a check", shown(text))
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("URL %s carries a query or fragment; put a query into the path of a check", shown(text))
	}
	if address, err := netip.ParseAddr(base.Hostname()); err == nil {
		if why := blocked(address); why != "" {
			return nil, &blockedError{to: text, why: why}
		}
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	return base, nil
}

// hostName is what a name server can be asked for; other alphabets come as xn--… (RFC 5890, section 2.3.2.1).
var hostName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9._])?$`)

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// shown quotes a URL without the credentials it may carry, parsable or not.
func shown(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if at := strings.LastIndex(rest, "@"); found && at >= 0 {
		text = scheme + "://xxxxx@" + rest[at+1:]
	}
	return quote(text)
}

// join is the URL of a check's path, which may carry a query, below a base.
func join(base, path string) (*url.URL, error) {
	target, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	if why := badPath(path); why != "" {
		return nil, fmt.Errorf("path %s %s", quote(path), why)
	}
	joined, err := url.Parse(target.String() + path)
	if err != nil {
		return nil, fmt.Errorf("path %s is not one of a URL", quote(path))
	}
	return joined, nil
}

// badPath says what is wrong with a check's path, or "".
func badPath(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "does not start with /"
	case strings.HasPrefix(path, "//"):
		return "starts with //, which names another host"
	case strings.Contains(path, "#"):
		return "carries a fragment, which no server ever sees"
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return "has a space, a backslash or a control character; escape it as %XX"
	}
	if _, err := url.Parse("http://host" + path); err != nil {
		return "is not one of a URL"
	}
	return ""
}

// allowRedirect lets a redirect stay on the host and port that was asked, or go from http to https on the same name.
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

// refuseBlocked runs for each address after the name was resolved and before anything is sent to it, so that a name which
// resolves to a forbidden address is held back like the address itself.
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

// The metadata services of AWS answer on these besides 169.254.0.0/16: EC2 User Guide, "Access instance metadata"
// (fd00:ec2::254), and EKS User Guide, "Pod Identity agent" (fd00:ec2::23).
var awsMetadata = netip.MustParsePrefix("fd00:ec2::/32")

// IPv6 prefixes that carry an IPv4 address: RFC 6052, section 2.1 (in the last 32 bits), and RFC 3056, section 2 (after 16).
var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToIV = netip.MustParsePrefix("2002::/16")
)

// blocked says why an address is never asked, or "".
func blocked(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return blocked(netip.AddrFrom4([4]byte(bytes[12:16])))
	case sixToIV.Contains(address):
		return blocked(netip.AddrFrom4([4]byte(bytes[2:6])))
	case address.IsLinkLocalUnicast(), awsMetadata.Contains(address):
		return "a link-local or metadata address hands out credentials, and is never a service"
	case address.IsUnspecified(), address.IsMulticast(), address.Is4() && bytes[12] == 255 && bytes[13] == 255:
		return "it is no address of one service"
	}
	return ""
}
