// Package forward opens connections to pods from outside their cluster, through the API server and the pod's kubelet, as kubectl
// port-forward does.
package forward

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// protocol is the only version of the port-forward protocol: k8s.io/client-go/tools/portforward, PortForwardProtocolV1Name.
const protocol = "portforward.k8s.io"

// maxMessage limits a message of a kubelet or an API server, in bytes.
const maxMessage = 300

// Forwarder opens connections to the pods of one cluster. It may be used by several goroutines.
type Forwarder struct {
	config    *rest.Config
	host      *url.URL
	forbidden atomic.Bool // this user may not forward ports
}

// New makes a Forwarder; it sends nothing.
func New(client *kube.Client) (*Forwarder, error) {
	config, _ := client.RESTConfig()
	config.NextProtos = []string{"http/1.1"} // HTTP/2 has no Upgrade: RFC 9113, section 8.6
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, release.NewFault(kube.Side, "", err, "preparing access to %q", client.Host)
	}
	return &Forwarder{config: config, host: host}, nil
}

// Dial opens a connection to a port of a pod. The kubelet connects to the port on the loopback address inside the pod, so that no
// NetworkPolicy applies. It is a connection to the pod's address instead if this user may not forward ports (pods/portforward).
// What the pod refuses is reported by the first Read, as a *RefusedError.
func (f *Forwarder) Dial(ctx context.Context, to release.Backend) (net.Conn, error) {
	if f.forbidden.Load() {
		return dialDirectly(ctx, to)
	}
	opened := make(chan openedStreams, 1)
	go func() { opened <- f.open(ctx, to) }()
	select {
	case streams := <-opened:
		if f.forbidden.Load() {
			return dialDirectly(ctx, to)
		}
		if streams.err != nil {
			return nil, fmt.Errorf("forwarding to pod %q: %w", to.Pod, streams.err)
		}
		return newConn(to, streams), nil
	case <-ctx.Done():
		go func() { // client-go's upgrade cannot be cancelled: what it opens later is closed
			if late := <-opened; late.connection != nil {
				_ = late.connection.Close()
			}
		}()
		return nil, fmt.Errorf("forwarding to pod %q: %w", to.Pod, context.Cause(ctx))
	}
}

func dialDirectly(ctx context.Context, to release.Backend) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(to.IP, strconv.Itoa(to.Port)))
	if err != nil {
		return nil, fmt.Errorf("this user may not create pods/portforward, and the pod is not reached from here: %w", err)
	}
	return conn, nil
}

// openedStreams are the two streams of one forwarded connection.
type openedStreams struct {
	connection        httpstream.Connection
	data, errorStream httpstream.Stream
	err               error
}

// open opens both streams over a new connection.
func (f *Forwarder) open(ctx context.Context, to release.Backend) (streams openedStreams) {
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	if err != nil {
		return openedStreams{err: err}
	}
	target := f.host.JoinPath("api/v1/namespaces", url.PathEscape(to.Namespace), "pods", url.PathEscape(to.Pod), "portforward") // #nosec G125 -- escaped
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		return openedStreams{err: err}
	}
	client := &http.Client{Transport: f.noticeForbidden(transport)}
	connection, _, err := spdy.NegotiateStreaming(upgrader, client, request, protocol)
	if err != nil {
		return openedStreams{err: &messageError{text.LogLine(err.Error(), maxMessage)}}
	}
	streams.connection = connection
	header := http.Header{}
	header.Set(core.PortHeader, strconv.Itoa(to.Port))
	header.Set(core.PortForwardRequestIDHeader, "0")
	header.Set(core.StreamType, core.StreamTypeError)
	if streams.errorStream, err = connection.CreateStream(header); err == nil {
		_ = streams.errorStream.Close() // it is only read from
		header.Set(core.StreamType, core.StreamTypeData)
		streams.data, err = connection.CreateStream(header)
	}
	if err != nil {
		_ = connection.Close()
		return openedStreams{err: &messageError{text.LogLine(err.Error(), maxMessage)}}
	}
	return streams
}

// noticeForbidden records that this user may not forward ports.
func (f *Forwarder) noticeForbidden(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil && response.StatusCode == http.StatusForbidden {
			f.forbidden.Store(true)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// messageError returns the cluster's answer, sanitized.
type messageError struct{ text string }

func (e *messageError) Error() string { return e.text }

// RefusedError is a kubelet's report that it could not connect to a port.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string { return "the port was not reached inside the pod: " + e.Message }

// NotConnected distinguishes this error from that of a connection that was made and broke.
func (*RefusedError) NotConnected() bool { return true }
