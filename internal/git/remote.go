package git

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// browsable turns a remote's address into what people open: no user, no password, no ".git". A remote that is no host
// on the network (a path, an alias from somebody's ssh configuration) has none.
//
// The forms are those of git-fetch(1), "Git URLs".
func browsable(remote string) string {
	if !strings.Contains(remote, "://") {
		return browsable(fromSCP(remote))
	}
	u, err := url.Parse(remote)
	if err != nil || !isHost(u.Hostname()) || strings.Trim(u.Path, "/") == "" {
		return ""
	}
	open := url.URL{Scheme: "https", Host: u.Host, Path: strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")}
	switch u.Scheme {
	case "http":
		open.Scheme = "http"
	case "https":
	case "ssh", "git", "git+ssh", "ssh+git": // their port is not the web server's
		open.Host = u.Hostname()
		if strings.Contains(open.Host, ":") {
			open.Host = "[" + open.Host + "]"
		}
	default:
		return ""
	}
	return open.String()
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func isHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return namePattern.MatchString(host) || err == nil && address.Zone() == ""
}

// fromSCP makes [user@]host:path a URL; "://" if it is not one. A colon after a slash belongs to a path, and a host
// without a dot is an alias.
func fromSCP(remote string) string {
	host, path, found := strings.Cut(remote, ":")
	host = host[strings.LastIndex(host, "@")+1:]
	if !found || strings.Contains(host, "/") || !strings.Contains(host, ".") && host != "localhost" {
		return "://"
	}
	return "ssh://" + host + "/" + strings.TrimLeft(path, "/")
}
