package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
)

// maxRedirects is how many redirects in a row are followed.
const maxRedirects = 3

// web reads files over HTTPS. It never connects to the cloud's metadata service. A host that a chart names, or that a redirect leads to, may
// not be inside a network, and none may speak plain HTTP, unless it is among the hosts that are allowed to.
type web struct {
	allowed   []string
	logins    []release.ChartLogin
	trusted   *http.Client // for hosts that the user named
	untrusted *http.Client // for all others
	resolve   func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newWeb(allowed []string, logins []release.ChartLogin) *web {
	w := &web{allowed: allowed, logins: logins, resolve: net.DefaultResolver.LookupNetIP}
	w.trusted, w.untrusted = w.client(refuseMetadata), w.client(refuseInside)
	return w
}

// client returns a client whose connections a guard may refuse by their address.
func (w *web) client(guard func(netip.Addr) error) *http.Client {
	dialer := &net.Dialer{Timeout: 15 * time.Second}
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil
		}
		return guard(target.Addr().Unmap())
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{
		Transport:     &httpx.RetryTransport{Next: transport, Transient: httpx.IsTransient},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func refuseMetadata(address netip.Addr) error {
	if why := httpx.WhyForbidden(address); why != "" {
		return &blockedError{address.String(), why}
	}
	return nil
}

// refuseInside returns a *blockedError for an address that is not public.
func refuseInside(address netip.Addr) error {
	if err := refuseMetadata(address); err != nil {
		return err
	}
	if httpx.WhyPrivate(address) != "" {
		return &blockedError{address.String(), private}
	}
	return nil
}

// private is the reason for which an address that the user has not named is blocked.
const private = "inside a private network"

// blockedError reports that an address must not be reached.
type blockedError struct{ address, why string }

func (e *blockedError) Error() string {
	return fmt.Sprintf("%s, which is %s", e.address, e.why)
}

// answerError reports a status that is not expected.
type answerError struct {
	host   string
	status int
}

func (e *answerError) Error() string { return fmt.Sprintf("%q answers %d", e.host, e.status) }

// isUnanswered reports whether a server gave no answer, or one that says nothing about the request: 429 and 5xx.
func isUnanswered(err error) bool {
	var (
		fault  *release.Fault
		answer *answerError
		name   *net.DNSError
	)
	switch {
	case errors.As(err, &fault): // of a registry
		return fault.Unanswered
	case errors.As(err, &answer):
		return answer.status == http.StatusTooManyRequests || answer.status >= http.StatusInternalServerError
	}
	return release.ExitCode(err) != release.ExitInput && (errors.As(err, &name) || httpx.IsTransient(err))
}

// isAllowed reports whether a host is among those that may be private or speak plain HTTP.
func (w *web) isAllowed(u *url.URL) bool {
	return slices.Contains(w.allowed, u.Host) || slices.Contains(w.allowed, u.Hostname())
}

// checkHost refuses a private host that a chart names.
func (w *web) checkHost(host string) error {
	u := &url.URL{Host: host}
	if httpx.IsPrivateHost(u.Hostname()) && !w.isAllowed(u) {
		return release.BadSetting(settingChart, fmt.Sprintf("a dependency leads to %q, inside a private network", host), fmt.Sprintf("if that is intended, give --chart-host %s", host))
	}
	return nil
}

// checkResolved refuses a host that a chart names if it is private or its name resolves to a private address. It does not detect a name
// that resolves to another address when the registry's client connects.
func (w *web) checkResolved(ctx context.Context, host string) error {
	if err := w.checkHost(host); err != nil || w.isAllowed(&url.URL{Host: host}) {
		return err
	}
	addresses, err := w.resolve(ctx, "ip", (&url.URL{Host: host}).Hostname())
	if err != nil {
		return nil //nolint:nilerr // the request will fail, or a proxy looks the name up
	}
	for _, address := range addresses {
		var blocked *blockedError
		if errors.As(refuseInside(address.Unmap()), &blocked) {
			return release.BadSetting(settingChart, fmt.Sprintf("a dependency leads to %q, which is %s", host, blocked), fmt.Sprintf("if that is intended, give --chart-host %s", host))
		}
	}
	return nil
}

// get reads a file of at most limit bytes. The user has named the host if trusted is set.
func (w *web) get(ctx context.Context, address string, limit int64, trusted bool) ([]byte, error) {
	first, err := w.parse(address)
	if err != nil {
		return nil, err
	}
	at := first
	for range maxRedirects + 1 {
		response, err := w.request(ctx, at, trusted && at.Host == first.Host) //nolint:bodyclose // ReadBody and Drain close it
		if err != nil {
			return nil, err
		}
		switch location := response.Header.Get("Location"); {
		case response.StatusCode == http.StatusOK:
			return httpx.ReadBody(response, limit)
		case response.StatusCode >= 300 && response.StatusCode < 400 && location != "":
			httpx.Drain(response)
			next, err := at.Parse(location)
			if err != nil {
				return nil, errors.New("the redirect's address is malformed")
			}
			if at, err = w.parse(next.String()); err != nil {
				return nil, err
			}
		default:
			httpx.Drain(response)
			if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
				return nil, w.denied(at, response.StatusCode)
			}
			if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusGone {
				return nil, release.BadSetting(settingRepo, fmt.Sprintf("%q does not exist at %q", at.Path, at.Host), "check the address")
			}
			return nil, &answerError{at.Host, response.StatusCode}
		}
	}
	return nil, fmt.Errorf("%q redirects more than %d times", first.Host, maxRedirects)
}

// request sends a request; its error contains no address.
func (w *web) request(ctx context.Context, at *url.URL, trusted bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, errors.New("the address is malformed")
	}
	request.Header.Set("User-Agent", "onedigest")
	if login, found := w.loginAt(at); found {
		if at.Scheme != "https" {
			return nil, release.BadSetting(settingLogin, fmt.Sprintf("%q is not reached by https, which would show the password to the network", at.Host), "use https")
		}
		request.SetBasicAuth(login.User, login.Password)
	}
	client := w.untrusted
	if trusted || w.isAllowed(at) {
		client = w.trusted
	} else if proxy, err := http.ProxyFromEnvironment(request); err == nil && proxy != nil { // the connection is to the proxy, which looks the host up
		if err := w.checkHost(at.Host); err != nil {
			return nil, err
		}
		client = w.trusted
	}
	response, err := client.Do(request)
	var blocked *blockedError
	if errors.As(err, &blocked) {
		do := "name another host"
		if blocked.why == private {
			do = fmt.Sprintf("if that is intended, give --chart-host %s", at.Host)
		}
		return nil, release.BadSetting(settingChart, fmt.Sprintf("%q leads to %s", at.Host, blocked), do)
	}
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	return response, err
}

// loginAt returns the login for the host of an address; false if there is none.
func (w *web) loginAt(at *url.URL) (release.ChartLogin, bool) {
	i := slices.IndexFunc(w.logins, func(login release.ChartLogin) bool {
		return strings.EqualFold(strings.TrimSuffix(login.Host, ":443"), strings.TrimSuffix(at.Host, ":443"))
	})
	if i < 0 {
		return release.ChartLogin{}, false
	}
	return w.logins[i], true
}

// denied is the error of a server that asks for other credentials.
func (w *web) denied(at *url.URL, status int) error {
	if login, found := w.loginAt(at); found {
		return release.BadSetting(settingLogin, fmt.Sprintf("%q answers %d to the user %q", at.Host, status, login.User), "check user and password, and what the user may read")
	}
	return release.BadSetting(settingRepo, fmt.Sprintf("%q answers %d", at.Host, status), fmt.Sprintf("give --chart-login %s=USER:PASSWORD", at.Host))
}

// parse refuses an address without TLS, unless its host may speak plain HTTP, and one with credentials, which would end up in logs.
func (w *web) parse(address string) (*url.URL, error) {
	parsed, err := url.Parse(address)
	switch {
	case err != nil || parsed.Host == "":
		return nil, release.BadSetting(settingRepo, "the address of a chart is malformed", "write it as https://host/path")
	case parsed.User != nil:
		return nil, release.BadSetting(settingRepo, fmt.Sprintf("the address of a chart at %q contains credentials", parsed.Host), fmt.Sprintf("give --chart-login %s=USER:PASSWORD", parsed.Host))
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !w.isAllowed(parsed)):
		return nil, release.BadSetting(settingRepo, fmt.Sprintf("%q is not reached by https", strings.TrimSuffix(parsed.Scheme+"://"+parsed.Host, "/")), "use https, or give --chart-host "+parsed.Host)
	}
	return parsed, nil
}

// maxSchema is the largest schema that is fetched, in bytes.
const maxSchema = 1 << 20

// Schema reads a schema to which the schema of a chart refers. Only hosts in the options are asked, and only over HTTPS unless they are among the
// hosts that may speak plain HTTP.
func (f *Finder) Schema(ctx context.Context, address string) ([]byte, error) {
	at, err := url.Parse(address)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" {
		return nil, errors.New("it refers to another document, which is not at an address of HTTPS")
	}
	if !slices.Contains(f.options.Schemas, at.Host) && !slices.Contains(f.options.Schemas, at.Hostname()) {
		return nil, fmt.Errorf("it refers to a document at %q, which --schema-host does not name", at.Host)
	}
	return f.web.get(ctx, address, maxSchema, false)
}
