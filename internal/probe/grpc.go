package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/onedigest/onedigest/internal/release"
)

// The health protocol of gRPC: github.com/grpc/grpc, doc/health-checking.md.
const (
	healthMethod = "/grpc.health.v1.Health/Check"
	maxHealth    = 64 << 10 // bytes of a response
)

// serving is the status of a healthy service; the others are grpc.health.v1.HealthCheckResponse.ServingStatus.
const serving = 1

var healthNames = map[uint32]string{0: "UNKNOWN", serving: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

// probeGRPC asks for the health of a gRPC service: over TLS if the base is https, else in plain HTTP/2 as the kubelet does.
func (p *Prober) probeGRPC(ctx context.Context, to Target, check release.Check) release.Answer {
	answer := release.Answer{Check: check.Name, Kind: release.CheckGRPC, Address: to.Address, Stage: release.StageCheck}
	target, err := joinPath(to.Base, healthMethod)
	if err != nil {
		answer.Wrong = []string{err.Error()}
		return answer
	}
	answer.URL = target.Redacted()
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	watch := startStopwatch()
	status, got, err := p.askHealth(httptrace.WithClientTrace(limited, watch.trace()), target, to, check.GRPCService, watch)
	stage, latency, spent := watch.stop()
	answer.Latency, answer.Spent, answer.Stage, answer.Status = latency, spent, release.StageDone, got.status
	got.latency = latency
	answer.Commit = commitOf(got.header.Get(p.options.CommitHeader))
	var refused *connect.Error
	var unsent *url.Error
	switch {
	case got.isWithoutTarget():
		answer.Stage, answer.Wrong = release.StageTarget, []string{got.withoutTarget()}
		return answer
	case err != nil && limited.Err() == nil && !errors.As(err, &unsent) && errors.As(err, &refused):
		answer.Wrong = []string{fmt.Sprintf("grpc health: %s: %s", refused.Code(), excerpt(refused.Message()))}
	case err != nil:
		answer.Stage, answer.Wrong = p.describeFailure(ctx, target, stage, err, check)
		return answer
	case status != serving:
		answer.Wrong = []string{fmt.Sprintf("grpc health: expected SERVING, got %s (%d)", healthNames[status], status)}
	}
	compiled := compiledCheck{Check: check}
	answer.Wrong = append(answer.Wrong, compareLatency(compiled, got)...)
	answer.Wrong = append(answer.Wrong, compareCertificate(compiled, got)...)
	if len(answer.Wrong) > 0 {
		answer.Stage = release.StageCheck
	}
	return answer
}

// askHealth returns the status that the service reports. The request and the response have the encoding of the wrappers: each is a message
// whose field 1 is a string, or a number.
func (p *Prober) askHealth(ctx context.Context, target *url.URL, to Target, service string, watch *stopwatch) (status uint32, got response, err error) {
	transport := p.transport(to, watch)
	useHTTP2(transport)
	defer transport.CloseIdleConnections()
	keeper := &tlsKeeper{next: transport}
	client := connect.NewClient[wrapperspb.StringValue, wrapperspb.UInt32Value](&http.Client{Transport: keeper}, target.String(),
		connect.WithGRPC(), connect.WithReadMaxBytes(maxHealth))
	request := connect.NewRequest(wrapperspb.String(service))
	request.Header().Set("User-Agent", p.options.UserAgent)
	reply, err := client.CallUnary(ctx, request)
	got = p.newResponse(keeper.response, to)
	if err != nil {
		return 0, got, err
	}
	return reply.Msg.GetValue(), got, nil
}

// tlsKeeper keeps the response, whose connection has the certificate.
type tlsKeeper struct {
	next     http.RoundTripper
	response *http.Response
}

func (k *tlsKeeper) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := k.next.RoundTrip(request)
	k.response = response
	return response, err
}
