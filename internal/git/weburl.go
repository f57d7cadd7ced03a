package git

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// webURL converts the address of a remote to the URL of its web page, without user, password and ".git". It returns "" for a
// remote without a network host (a path, or an alias in an ssh configuration).
//
// The forms are those of git-fetch(1), "Git URLs".
func webURL(remote string) string {
	if !strings.Contains(remote, "://") {
		return webURL(fromSCP(remote)) // fromSCP's result always contains "://", so this recurses once
	}
	u, err := url.Parse(remote)
	if err != nil || !isHost(u.Hostname()) || strings.Trim(u.Path, "/") == "" {
		return ""
	}
	page := url.URL{Scheme: "https", Host: u.Host, Path: strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")}
	switch u.Scheme {
	case "http":
		page.Scheme = "http"
	case "https":
	case "ssh", "git", "git+ssh", "ssh+git": // their port is not that of the web server
		page.Host = u.Hostname()
		if strings.Contains(page.Host, ":") {
			page.Host = "[" + page.Host + "]"
		}
	default:
		return ""
	}
	return page.String()
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func isHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return namePattern.MatchString(host) || err == nil && address.Zone() == ""
}

// fromSCP converts [user@]host:path to a URL; "://" if the remote has another form. A colon after a slash belongs to a path. A
// host without a dot counts as an ssh alias.
func fromSCP(remote string) string {
	host, path, found := strings.Cut(remote, ":")
	host = host[strings.LastIndex(host, "@")+1:]
	if !found || strings.Contains(host, "/") || !strings.Contains(host, ".") && host != "localhost" {
		return "://"
	}
	return "ssh://" + host + "/" + strings.TrimLeft(path, "/")
}
