package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// describeFailure describes why a request has no complete response, and returns the stage that the answer reports: a blocked address, an
// unknown encoding, and an expired certificate where the check limits its validity will not change by waiting, so they count as a
// wrong response.
func (p *Prober) describeFailure(ctx context.Context, target *url.URL, stage release.Stage, err error, check release.Check) (release.Stage, []string) {
	var blocked *blockedError
	var certificate x509.CertificateInvalidError
	var encoding *encodingError
	if closed := new(closedError); errors.As(err, &closed) {
		return stage, []string{quote(target.Hostname()) + ": " + excerpt(closed.Error())}
	}
	if refused := refusalIn(err); refused != nil {
		return release.StageConnect, []string{activity(release.StageConnect) + quote(target.Hostname()) + ": " + excerpt(refused.Error())}
	}
	switch {
	case errors.As(err, &blocked):
		return release.StageCheck, []string{excerpt(blocked.Error())}
	case errors.As(err, &encoding):
		return release.StageCheck, []string{excerpt(encoding.Error())}
	case check.CertificateDays > 0 && errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return release.StageCheck, []string{fmt.Sprintf("certificate: expected to be valid for %d more days, but it is not valid now: %s", check.CertificateDays, excerpt(certificate.Error()))}
	case ctx.Err() != nil:
		return stage, []string{activity(stage) + quote(target.Hostname()) + ": stopped before the response was complete"}
	}
	return stage, []string{activity(stage) + quote(target.Hostname()) + ": " + rootCause(err, p.options.Timeout)}
}

// isNotHTTP reports whether an error is how net/http sees a server of another protocol: it sends bytes that are not a response, maybe before
// the request, or it ends the connection. Source: net/http, transport.go, persistConn.readLoop and mapRoundTripError.
func isNotHTTP(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "malformed HTTP") || strings.Contains(err.Error(), "server closed idle connection") ||
		strings.Contains(err.Error(), "readLoopPeekFailLocked") // bytes came before the request was sent
}

// onlyHTTP2 says what to do about a server without HTTP/1.1.
const onlyHTTP2 = "the server speaks HTTP/2 without TLS (h2c), and this check is sent in HTTP/1.1: give it `http2: true`"

// notHTTP2 says what to do about a server without HTTP/2.
const notHTTP2 = "the check asks for HTTP/2 (`http2: true`), and the server does not speak HTTP/2 without TLS (h2c): leave that out"

// http2Preface is what a client of HTTP/2 sends first, with an empty frame of settings. Source: RFC 9113, sections 3.4, 4.1 and 6.5.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// speaksHTTP2 reports whether a server that did not answer in HTTP/1.1 answers the preface of HTTP/2 with its settings, as every server of HTTP/2 does. No request is
// sent. It takes at most two seconds.
func (p *Prober) speaksHTTP2(ctx context.Context, target *url.URL, to Target) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	port := target.Port()
	if port == "" {
		port = "80"
	}
	connection, err := p.dialer(to, startStopwatch())(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return false
	}
	defer func() { _ = connection.Close() }()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	if _, err := io.WriteString(connection, http2Preface); err != nil {
		return false
	}
	frame := make([]byte, 9) // length, type, flags and stream of the first frame
	_, err = io.ReadFull(connection, frame)
	return err == nil && frame[3] == 4 && [4]byte(frame[5:]) == [4]byte{}
}

// refusalIn returns the error of a forwarded connection that was refused after it had been opened; nil if err is another error.
func refusalIn(err error) error {
	var refused interface {
		error
		NotConnected() bool
	}
	if errors.As(err, &refused) && refused.NotConnected() {
		return refused
	}
	return nil
}

// activity is what the client does at a stage.
func activity(stage release.Stage) string {
	switch stage {
	case release.StageDNS:
		return "resolving "
	case release.StageConnect:
		return "connecting to "
	case release.StageTLS:
		return "TLS handshake with "
	}
	return "reading the response of "
}

// rootCause describes the innermost error. The errors that net/http and net wrap around it repeat the URL and the addresses.
func rootCause(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + text.Duration(timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before the response was complete"
	case errors.As(err, &dns):
		return excerpt(dns.Err)
	case errors.As(err, &op) && op.Err != nil:
		text := op.Err.Error()
		if op.Op == "dial" && op.Addr != nil {
			text += " (" + op.Addr.String() + ")"
		}
		return excerpt(text)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return excerpt(err.Error())
}
