package helm

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// withoutSecrets returns a configuration whose requests find no Secret: a get is answered with "not found", a list with an empty one,
// and nothing is sent to the cluster. asked counts these requests.
func withoutSecrets(config *rest.Config, asked *atomic.Int64) *rest.Config {
	hidden := rest.CopyConfig(config)
	hidden.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			match := secretPath.FindStringSubmatch(request.URL.Path)
			if match == nil {
				return next.RoundTrip(request)
			}
			asked.Add(1)
			if match[1] == "" {
				return answer(request, http.StatusOK, `{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[]}`), nil
			}
			return answer(request, http.StatusNotFound,
				`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404,"message":"a dry run reads no Secrets"}`), nil
		})
	})
	return hidden
}

// secretPath matches the paths of Secrets, with a slash and the name at the end if it is one.
// Source: kubernetes.io, "Kubernetes API Concepts", resource URIs.
var secretPath = regexp.MustCompile(`/api/v1/(?:namespaces/[^/]+/)?secrets(/[^/]+)?$`)

// answer returns a made-up JSON response to a request that is not sent to the cluster.
func answer(request *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}
