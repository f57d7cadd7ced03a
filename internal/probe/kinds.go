package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onedigest/onedigest/internal/release"
)

// refusalTime is how long a forwarded port has, within the timeout, to report that the pod refused the connection: nothing confirms one.
const refusalTime = 3 * time.Second

// refusable is a forwarded connection, which is refused after it was opened.
type refusable interface {
	// Refusal waits for a refusal, at most for the given time; nil if there is none.
	Refusal(within time.Duration) error
}

// probeTCP connects to the target's port, and sends nothing.
func (p *Prober) probeTCP(ctx context.Context, to Target, check release.Check) release.Answer {
	answer := release.Answer{Check: check.Name, Address: to.Address, Stage: release.StageCheck}
	target, err := parseBase(to.Base)
	if err != nil {
		answer.Wrong = []string{err.Error()}
		return answer
	}
	answer.URL = "tcp://" + net.JoinHostPort(target.Hostname(), port(target))
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	watch := startStopwatch()
	conn, err := p.dialer(to, watch)(httptrace.WithClientTrace(ctx, watch.trace()), "tcp", net.JoinHostPort(target.Hostname(), port(target)))
	if err == nil {
		if forwarded, ok := conn.(refusable); ok {
			err = forwarded.Refusal(min(refusalTime, p.options.Timeout))
		}
		_ = conn.Close()
	}
	stage, latency, spent := watch.stop()
	answer.Latency, answer.Spent, answer.Stage = latency, spent, release.StageDone
	if err != nil {
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err)
	}
	return answer
}

// The gRPC protocol over HTTP/2: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/health-checking.md. One unary call does
// without the 5 MB that google.golang.org/grpc adds to a program.
const (
	healthMethod  = "/grpc.health.v1.Health/Check"
	statusServing = 1
	maxHealth     = 64 << 10 // bytes of a response
)

// probeGRPC asks for the health of a gRPC service, in plain HTTP/2 as the kubelet does.
func (p *Prober) probeGRPC(ctx context.Context, to Target, check release.Check) release.Answer {
	answer := release.Answer{Check: check.Name, Address: to.Address, Stage: release.StageCheck}
	target, err := joinPath(to.Base, healthMethod)
	if err != nil {
		answer.Wrong = []string{err.Error()}
		return answer
	}
	answer.URL = target.Redacted()
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	watch := startStopwatch()
	status, serving, err := p.askHealth(httptrace.WithClientTrace(limited, watch.trace()), target, to, check.GRPCService, watch)
	stage, latency, spent := watch.stop()
	answer.Latency, answer.Spent, answer.Status, answer.Stage = latency, spent, status, release.StageDone
	switch wrong := new(grpcError); {
	case errors.As(err, &wrong):
		answer.Stage, answer.Wrong = release.StageCheck, []string{"grpc health: " + excerpt(wrong.Error())}
	case err != nil:
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err)
	case serving != statusServing:
		answer.Stage, answer.Wrong = release.StageCheck, []string{fmt.Sprintf("grpc health: expected SERVING (1), got status %d", serving)}
	}
	return answer
}

// grpcError is a complete response that is not gRPC's, or refuses the call.
type grpcError struct{ text string }

func (e *grpcError) Error() string { return e.text }

// askHealth returns the HTTP status and the health that the service reports.
func (p *Prober) askHealth(ctx context.Context, target *url.URL, to Target, service string, watch *stopwatch) (status int, serving uint64, err error) {
	transport := p.transport(to, watch)
	transport.DisableKeepAlives = false // HTTP/2 refuses "Connection: close"
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	transport.Protocols.SetHTTP2(true)
	defer transport.CloseIdleConnections()
	body := newFrame(service)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), body)
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	request.Header.Set("User-Agent", p.options.UserAgent)
	reply, err := transport.RoundTrip(request)
	if err != nil {
		return 0, 0, err
	}
	defer reply.Body.Close()
	content, err := io.ReadAll(io.LimitReader(reply.Body, maxHealth))
	if err != nil {
		return reply.StatusCode, 0, err
	}
	code := reply.Trailer.Get("Grpc-Status")
	if code == "" {
		code = reply.Header.Get("Grpc-Status") // of a response without a message
	}
	if reply.StatusCode != http.StatusOK || code != "0" {
		return reply.StatusCode, 0, &grpcError{fmt.Sprintf("HTTP %d, grpc-status %q %s", reply.StatusCode, code, reply.Trailer.Get("Grpc-Message"))}
	}
	serving, err = parseHealth(content)
	return reply.StatusCode, serving, err
}

// newFrame returns a HealthCheckRequest in a gRPC frame: one byte for "not compressed", four bytes for the length, and the message.
func newFrame(service string) io.Reader {
	var message []byte
	if service != "" {
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, service)
	}
	return bytes.NewReader(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)) // #nosec G115 -- a name of a few bytes
}

// parseHealth reads the status of a HealthCheckResponse in a frame.
func parseHealth(frame []byte) (uint64, error) {
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:5])) != uint64(len(frame)-5) { // #nosec G115 -- not negative
		return 0, &grpcError{"the response is not one uncompressed message"}
	}
	var status uint64
	for message := frame[5:]; len(message) > 0; {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0, &grpcError{"the response is not a HealthCheckResponse"}
		}
		message = message[n:]
		if number == 1 && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(message)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return 0, &grpcError{"the response is not a HealthCheckResponse"}
		}
		message = message[n:]
	}
	return status, nil
}
