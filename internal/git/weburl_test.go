package git

import (
	"net/url"
	"strings"
	"testing"
)

var remotes = map[string]string{
	"git@github.com:owner/shop.git":                  "https://github.com/owner/shop",
	"github.com:owner/shop":                          "https://github.com/owner/shop",
	"ssh://git@github.com/owner/shop.git":            "https://github.com/owner/shop",
	"ssh://git@ssh.example.com:2222/owner/shop.git/": "https://ssh.example.com/owner/shop",
	"git://example.com/shop.git":                     "https://example.com/shop",
	"https://github.com/owner/shop":                  "https://github.com/owner/shop",
	"https://x-access-token:secret@github.com/o/r":   "https://github.com/o/r",
	"https://secret@github.com/o/r.git?a=b#c":        "https://github.com/o/r",
	"https://git.example.com:8443/o/r.git":           "https://git.example.com:8443/o/r",
	"http://git.example.com/o/r.git":                 "http://git.example.com/o/r",
	"http://[::1]:3000/o/r.git":                      "http://[::1]:3000/o/r",
	"ssh://git@[::1]:22/o/r.git":                     "https://[::1]/o/r",
	"/srv/git/shop.git":                              "",
	"../shop":                                        "",
	"./a:b":                                          "",
	"file:///srv/git/shop.git":                       "",
	"work:owner/shop":                                "",
	"https://github.com/":                            "",
	"https://":                                       "",
	"https://user:pa ss@host/o/r":                    "",
	"ext::sh -c id":                                  "",
	"":                                               "",
}

func TestWebURL(t *testing.T) {
	t.Parallel()
	for remote, want := range remotes {
		if got := webURL(remote); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}

func FuzzWebURL(f *testing.F) {
	for remote := range remotes {
		f.Add(remote)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		got := webURL(remote)
		if got == "" {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
			t.Errorf("%q became %q", remote, got)
		}
		if strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%q became %q, which has control characters", remote, got)
		}
	})
}
