package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/text"

	"github.com/onedigest/onedigest/internal/httpx"
)

// ParseBase accepts the base URL of a service: http or https, a host, and optionally a path. Credentials, a query and a
// fragment are refused, as are literal addresses that Probe would not dial. The error says what to write instead.
func ParseBase(text string) (string, error) {
	base, err := parseBase(text)
	if err != nil {
		return "", err
	}
	return base.String(), nil
}

// parseBase parses a base URL and refuses what ParseBase refuses.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://") && !strings.HasPrefix(text, "file:"):
		return nil, fmt.Errorf("URL %s has no scheme; write http:// or https:// before the host", quoteURL(text))
	case err != nil:
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("%s is not a URL: %s", quoteURL(text), excerpt(err.Error()))
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("URL %s: scheme %s is not supported, only http and https", quoteURL(text), quote(base.Scheme))
	case base.Hostname() == "":
		return nil, fmt.Errorf("URL %s names no host", quoteURL(text))
	case !hostName.MatchString(base.Hostname()) && !isAddress(base.Hostname()):
		return nil, fmt.Errorf("URL %s: %s is not the name or address of a host", quoteURL(text), quote(base.Hostname()))
	case base.User != nil:
		return nil, fmt.Errorf("URL %s carries credentials; send them as a header of a check", quoteURL(text))
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("URL %s carries a query or fragment; put a query into the path of a check", quoteURL(text))
	}
	if address, err := netip.ParseAddr(base.Hostname()); err == nil {
		if why := httpx.WhyForbidden(address); why != "" {
			return nil, &blockedError{to: text, why: why}
		}
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	return base, nil
}

// hostName is a name that DNS can resolve; other alphabets are written as xn--… (RFC 5890, section 2.3.2.1).
var hostName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9._])?$`)

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// quoteURL quotes a URL without its credentials, even if it cannot be parsed.
func quoteURL(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if at := strings.LastIndex(rest, "@"); found && at >= 0 {
		text = scheme + "://xxxxx@" + rest[at+1:]
	}
	return quote(text)
}

// joinPath appends a check's path, which may have a query, to a base URL.
func joinPath(base, path string) (*url.URL, error) {
	target, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	if why := pathProblem(path); why != "" {
		return nil, fmt.Errorf("path %s %s", quote(path), why)
	}
	joined, err := url.Parse(target.String() + path)
	if err != nil {
		return nil, fmt.Errorf("path %s is not a path of a URL", quote(path))
	}
	return joined, nil
}

// pathProblem describes what is wrong with a check's path; "" if nothing is.
func pathProblem(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "does not start with /"
	case strings.HasPrefix(path, "//"):
		return "starts with //, which names another host"
	case strings.Contains(path, "#"):
		return "has a fragment, which is never sent to a server"
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return "has a space, a backslash or a control character; escape it as %XX"
	case !text.IsPrintable(path):
		return "has an invisible character; escape it as %XX"
	}
	if _, err := url.Parse("http://host" + path); err != nil {
		return "is not a path of a URL"
	}
	return ""
}
