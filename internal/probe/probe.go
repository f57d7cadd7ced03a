// Package probe sends the requests of smoke checks over HTTP and compares the responses with what the checks expect.
//
// The server is not trusted: bodies are limited in size, redirects stay on the host of the request, addresses that serve
// cloud credentials are never dialled, and text from the server is sanitized before it is shown.
package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ohler55/ojg/jp"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Defaults and limits of a Prober.
const (
	DefaultTimeout      = 10 * time.Second
	DefaultMaxBody      = 1 << 20 // bytes
	DefaultUserAgent    = "onedigest-smoke"
	DefaultCommitHeader = "X-Commit"

	maxRedirects   = 3
	maxHeaderBytes = 64 << 10
	maxCommit      = 128 // bytes kept of the commit header
)

// Options of a Prober. Every zero value means its default.
type Options struct {
	Timeout      time.Duration  // of one request, from the DNS lookup to the last byte of the body
	UserAgent    string         // unless a check sets its own
	CommitHeader string         // response header in which the service names its commit
	MaxBody      int64          // bytes of a body that are read, counted after decompression
	Resolver     *net.Resolver  // nil: the system's
	RootCAs      *x509.CertPool // nil: the system's

	// Captured gets the captured values of a session before a text that may contain them is returned; nil: nobody does.
	Captured func(values ...string)
}

// Prober sends the requests of checks. It keeps no connection and no state: every probe resolves the name and connects
// again, so that a load balancer spreads the probes over all backends. It may be used by several goroutines.
type Prober struct {
	options  Options
	hasRoute func(netip.Addr) bool
}

// New returns a Prober, with defaults for the options that are zero. Probes never use HTTP_PROXY: a proxy would hide which address
// answers.
func New(options Options) *Prober {
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	if options.UserAgent == "" {
		options.UserAgent = DefaultUserAgent
	}
	if options.CommitHeader == "" {
		options.CommitHeader = DefaultCommitHeader
	}
	if options.MaxBody <= 0 {
		options.MaxBody = DefaultMaxBody
	}
	return &Prober{options: options, hasRoute: hasRoute}
}

// Target is where Probe sends its requests.
type Target struct {
	Base    string // URL whose host the request names
	Address string // address to connect to instead of those that the name resolves to; "" for these

	// Dial opens the connection instead, to a pod of the cluster: nothing is resolved, and a certificate is not verified, which
	// the kubelet does not do either (kubernetes.io, "Configure Liveness, Readiness and Startup Probes", HTTP probes).
	Dial func(ctx context.Context) (net.Conn, error)
	// Proto is the scheme that clients of the gateway in front use, sent as X-Forwarded-Proto; "" for none.
	Proto string
}

// Probe sends one request in a session of its own.
func (p *Prober) Probe(ctx context.Context, to Target, check release.Check) release.Answer {
	return p.Session(to).Probe(ctx, check)
}

// probeHTTP sends one request to the target and check.Path, and compares the response with the check. shown is the path in reports.
func (p *Prober) probeHTTP(ctx context.Context, to Target, check release.Check, shown string, session *Session) release.Answer {
	answer := release.Answer{Check: check.Name, Address: to.Address, Stage: release.StageCheck}
	compiled, wrong := compile(check)
	target, err := session.target(check.Path, shown)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) > 0 {
		answer.Wrong = wrong
		return answer
	}
	if answer.URL = target.Redacted(); shown != check.Path {
		answer.URL = strings.TrimRight(to.Base, "/") + shown
	}

	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	compiled.HTTP2 = p.sendsHTTP2(limited, target, to, check)
	watch := startStopwatch()
	request, err := p.newRequest(httptrace.WithClientTrace(limited, watch.trace()), target.String(), to, compiled.Check)
	if err != nil {
		answer.Wrong = []string{"request: " + excerpt(err.Error())}
		return answer
	}
	got, err := p.send(request, to, watch, compiled, session)
	stage, latency, spent := watch.stop()

	answer.Latency, answer.Spent, answer.Status = latency, spent, got.status
	answer.Commit = commitOf(got.header.Get(p.options.CommitHeader))
	answer.CachedFor = ageOf(got.header)
	if err != nil {
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err, check)
		answer.NotHTTP = answer.Stage == release.StageHTTP && got.status == 0 && isNotHTTP(err)
		switch {
		case target.Scheme != "http" || check.OrTCP:
		case compiled.HTTP2:
			if answer.Stage == release.StageHTTP && !p.speaksHTTP2(limited, target, to) {
				answer.Wrong = append(answer.Wrong, notHTTP2)
			}
		case answer.NotHTTP && p.speaksHTTP2(limited, target, to):
			answer.Wrong = append(answer.Wrong, onlyHTTP2)
		}
		return answer
	}
	answer.Body, answer.Path = got.body, cmp.Or(got.at.EscapedPath(), "/")
	got.latency, got.asked = latency, target
	answer.Wrong = compiled.compare(got)
	var uncaptured []string
	answer.Captures, uncaptured = session.capture(compiled, got)
	answer.Wrong = append(answer.Wrong, uncaptured...)
	if check.CommitField != "" {
		answer.Commit = commitIn(got, compiled.paths[check.CommitField])
	}
	switch {
	case len(answer.Wrong) == 0:
		answer.Stage = release.StageDone
	case got.isWithoutTarget():
		answer.Stage, answer.Wrong = release.StageTarget, []string{got.withoutTarget()}
	}
	return answer
}

// ageOf returns how long a response was in a cache; 0 if no cache says so. Source: RFC 9111, section 5.1.
func ageOf(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// newRequest returns the request of a check.
func (p *Prober) newRequest(ctx context.Context, url string, to Target, check release.Check) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, check.Method, url, strings.NewReader(check.Body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", p.options.UserAgent)
	request.Header.Set("Accept-Encoding", "identity")
	if to.Dial == nil { // a cache in front of the service should not answer for it (RFC 9111, section 5.2.1.4)
		request.Header.Set("Cache-Control", "no-cache")
	}
	if to.Proto != "" {
		request.Header.Set("X-Forwarded-Proto", to.Proto)
		request.Header.Set("X-Forwarded-Host", request.URL.Hostname())
	}
	for name, value := range check.Headers {
		if breaksHeader(value) { // a captured one
			return nil, fmt.Errorf("header %s has a control character in its value", name)
		}
		if textproto.CanonicalMIMEHeaderKey(name) == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// send sends the request over a connection of its own. The response holds what arrived, even with an error.
func (p *Prober) send(request *http.Request, to Target, watch *stopwatch, check compiledCheck, session *Session) (response, error) {
	transport := p.transport(to, watch)
	if check.HTTP2 {
		useHTTP2(transport)
		transport.Protocols.SetHTTP1(request.URL.Scheme == "https") // by ALPN
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: redirectPolicy(check)}
	if check.Cookies {
		client.Jar = session.jar()
	}
	reply, err := client.Do(request)
	if reply == nil {
		return response{}, err
	}
	defer reply.Body.Close()
	got := p.newResponse(reply, to)
	if err != nil {
		return got, err
	}
	got.body, got.truncated, err = readBody(reply, p.options.MaxBody)
	return got, err
}

// transport returns a transport for one request: no proxy, no kept connection, no decompression.
func (p *Prober) transport(to Target, watch *stopwatch) *http.Transport {
	return &http.Transport{
		DialContext:            p.dialer(to, watch),
		TLSClientConfig:        p.tlsConfig(to),
		DisableKeepAlives:      true,
		DisableCompression:     true, // readBody decompresses, within its limit
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// useHTTP2 makes a transport send requests in HTTP/2 only, without TLS by prior knowledge. Source: RFC 9113, section 3.3.
func useHTTP2(transport *http.Transport) {
	transport.DisableKeepAlives = false // HTTP/2 refuses "Connection: close"
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	transport.Protocols.SetHTTP2(true)
}

// sendsHTTP2 reports whether a check is sent in HTTP/2: to a pod if it asks for that, and elsewhere without TLS only if what answers there speaks it, as a gateway in front of the pods need not.
func (p *Prober) sendsHTTP2(ctx context.Context, target *url.URL, to Target, check release.Check) bool {
	if !check.HTTP2 || to.Dial != nil || target.Scheme == "https" {
		return check.HTTP2
	}
	return p.speaksHTTP2(ctx, target, to)
}

// tlsConfig verifies certificates, except a pod's.
func (p *Prober) tlsConfig(to Target) *tls.Config {
	return &tls.Config{RootCAs: p.options.RootCAs, MinVersion: tls.VersionTLS12, InsecureSkipVerify: to.Dial != nil} //nolint:gosec // Target.Dial says why
}

// dialer opens the connections of a target's requests.
func (p *Prober) dialer(to Target, watch *stopwatch) func(ctx context.Context, network, hostPort string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: p.options.Timeout, Resolver: p.options.Resolver, ControlContext: refuseBlocked}
	switch {
	case to.Dial != nil:
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			watch.enter(release.StageConnect)
			return to.Dial(ctx)
		}
	case to.Address != "":
		return func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(hostPort)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(to.Address, port))
		}
	}
	return dialer.DialContext
}

// redirectPolicy follows redirects within the host of the request, or that of its Host header, at most three, and none where the check expects the
// redirect itself.
func redirectPolicy(check compiledCheck) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if check.NoRedirects || check.StatusBelow > 300 || check.Status >= 300 && check.Status < 400 {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return &blockedError{to: next.URL.Redacted(), why: "more than 3 redirects"}
		}
		first := via[0]
		err := allowRedirect(first.URL, next.URL)
		if err == nil || first.Host == "" || next.URL.Scheme != first.URL.Scheme {
			return err
		}
		// A service knows itself by the Host header; a redirect to that host is sent to where the first request was.
		named := *first.URL
		named.Host = first.Host
		if allowRedirect(&named, next.URL) != nil {
			return err
		}
		next.Host, next.URL.Host = next.URL.Host, first.URL.Host
		return nil
	}
}

// commitIn returns the first string at a JSONPath of a JSON body, sanitized; "" if there is none or the body was truncated.
func commitIn(got response, field jp.Expr) string {
	document, err := parseJSON(got.body)
	if err != nil || got.truncated {
		return ""
	}
	for _, value := range field.Get(document) {
		if commit, ok := value.(string); ok {
			return commitOf(commit)
		}
	}
	return ""
}

// commitOf returns the commit in a header or field, sanitized. A text with unprintable characters gets a mark in front, so that its
// sanitized form cannot equal a commit.
func commitOf(header string) string {
	if header == "" || text.IsPrintable(header) {
		return text.Line(header, maxCommit)
	}
	return text.Line("\ufffd"+header, maxCommit)
}
