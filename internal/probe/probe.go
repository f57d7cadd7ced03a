// Package probe puts checks to a served endpoint over HTTP and tells how far each one came.
//
// What answers is not trusted: bodies are capped, redirects stay on the host that was asked, no address that hands out
// cloud credentials is ever dialled, and whatever a server said is cleaned before it is put into words.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Defaults and limits of a Prober.
const (
	DefaultTimeout      = 10 * time.Second
	DefaultMaxBody      = 1 << 20 // bytes
	DefaultUserAgent    = "onedigest-smoke"
	DefaultCommitHeader = "X-Commit"

	maxRedirects   = 3
	maxHeaderBytes = 64 << 10
	maxCommit      = 128 // characters kept of the commit header
)

// Options of a Prober. Every zero value means its default.
type Options struct {
	Timeout      time.Duration  // of one request from the name's look-up to the last byte of the body
	UserAgent    string         // sent unless a check sets its own
	CommitHeader string         // response header that names the commit which answers
	MaxBody      int64          // bytes of a body that are read, counted after decompression
	Resolver     *net.Resolver  // nil: the system's
	RootCAs      *x509.CertPool // nil: the system's
}

// Prober puts checks to an endpoint. It holds no connection and no state: every probe resolves and connects anew, so that
// each backend behind a load balancer is met. It may be used by several goroutines.
type Prober struct{ options Options }

// New is a Prober with those options. A proxy named in the environment is not used: it would hide which address answers.
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
	return &Prober{options: options}
}

// Probe asks base + check.Path once. It never returns an error: what went wrong is in the answer's Wrong, and its Stage
// says where. A name, address or redirect that may not be asked is StageCheck, for no waiting makes it right.
func (p *Prober) Probe(ctx context.Context, base string, check release.Check) release.Answer {
	answer := release.Answer{Check: check.Name, Stage: release.StageCheck}
	question, wrong := compile(check)
	target, err := join(base, check.Path)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) > 0 {
		answer.Wrong = wrong
		return answer
	}
	answer.URL = target.Redacted()

	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	watch := startStopwatch()
	request, err := p.request(httptrace.WithClientTrace(limited, watch.trace()), target.String(), question.check)
	if err != nil {
		answer.Wrong = []string{"asking: " + clean(err.Error(), maxExcerpt)}
		return answer
	}
	reply, err := p.ask(request, question.check.Status)
	stage, latency, spent := watch.stop()

	answer.Latency, answer.Spent, answer.Status = latency, spent, reply.status
	answer.Commit = clean(reply.header.Get(p.options.CommitHeader), maxCommit)
	if err != nil {
		answer.Stage, answer.Wrong = p.stopped(ctx, target, stage, err)
		return answer
	}
	answer.Body = reply.body
	reply.latency = latency
	if answer.Wrong = question.judge(reply); len(answer.Wrong) == 0 {
		answer.Stage = release.StageDone
	}
	return answer
}

func (p *Prober) request(ctx context.Context, url string, check release.Check) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, check.Method, url, strings.NewReader(check.Body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", p.options.UserAgent)
	request.Header.Set("Accept-Encoding", "identity")
	for name, value := range check.Headers {
		if textproto.CanonicalMIMEHeaderKey(name) == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// ask sends the request over a connection of its own. The reply holds what arrived, even with an error.
func (p *Prober) ask(request *http.Request, wanted int) (reply, error) {
	transport := p.transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: follow(wanted)}
	response, err := client.Do(request)
	if response == nil {
		return reply{}, err
	}
	defer response.Body.Close()
	got := reply{status: response.StatusCode, header: response.Header}
	if err != nil {
		return got, err
	}
	got.body, got.cut, err = read(response, p.options.MaxBody)
	return got, err
}

func (p *Prober) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: p.options.Timeout, Resolver: p.options.Resolver, ControlContext: refuseBlocked}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: p.options.RootCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true, // read decompresses, under the cap
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// follow keeps to the host that was asked (credentials travel with the request), and does not follow at all where the
// check expects the redirect itself.
func follow(wanted int) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if wanted >= 300 && wanted < 400 {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return &blockedError{to: next.URL.Redacted(), why: "more than 3 redirects"}
		}
		return allowRedirect(via[0].URL, next.URL)
	}
}

// stopped words an error and says at which stage the probe stopped.
func (p *Prober) stopped(ctx context.Context, target *url.URL, stage release.Stage, err error) (release.Stage, []string) {
	var blocked *blockedError
	var encoding *encodingError
	switch {
	case errors.As(err, &blocked):
		return release.StageCheck, []string{clean(blocked.Error(), maxExcerpt)}
	case errors.As(err, &encoding):
		return release.StageCheck, []string{clean(encoding.Error(), maxExcerpt)}
	case ctx.Err() != nil:
		return stage, []string{doing(stage) + quote(target.Hostname()) + ": stopped before an answer came"}
	}
	return stage, []string{doing(stage) + quote(target.Hostname()) + ": " + cause(err, p.options.Timeout)}
}

func doing(stage release.Stage) string {
	switch stage {
	case release.StageDNS:
		return "resolving "
	case release.StageConnect:
		return "connecting to "
	case release.StageTLS:
		return "TLS handshake with "
	}
	return "reading the answer of "
}

// cause strips what net/http and net wrap around an error, which repeats the URL and the addresses.
func cause(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + timeout.String()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before the answer was complete"
	case errors.As(err, &dns):
		return clean(dns.Err, maxExcerpt)
	case errors.As(err, &op) && op.Err != nil:
		text := op.Err.Error()
		if op.Op == "dial" && op.Addr != nil {
			text += " (" + op.Addr.String() + ")"
		}
		return clean(text, maxExcerpt)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return clean(err.Error(), maxExcerpt)
}
