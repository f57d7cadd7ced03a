package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/objects"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/rest"
)

// readAhead reads objects in parallel, and lets the next read of each get what was found. Helm reads the objects of an install one after the other.
// An object that could not be read is read again then. The later reads of an object are sent to the cluster.
func readAhead(list kube.ResourceList) {
	_ = objects.Each(len(list), func(i int) error {
		info := list[i]
		client := &aheadClient{RESTClient: info.Client, kind: info.Mapping}
		found, err := info.Client.Get().NamespaceIfScoped(info.Namespace, info.Mapping.Scope.Name() == meta.RESTScopeNameNamespace).
			Resource(info.Mapping.Resource.Resource).Name(info.Name).Do(context.Background()).Raw()
		var status apierrors.APIStatus
		switch {
		case err == nil:
			client.code, client.body = http.StatusOK, found
		case apierrors.IsNotFound(err) && errors.As(err, &status):
			answer := status.Status()
			answer.APIVersion, answer.Kind = "v1", "Status"
			client.code = http.StatusNotFound
			if client.body, err = json.Marshal(answer); err != nil {
				return nil
			}
		default:
			return nil
		}
		info.Client = client
		return nil
	})
}

// aheadClient answers the first GET with what was read before.
type aheadClient struct {
	resource.RESTClient
	kind *meta.RESTMapping
	code int
	body []byte
	once sync.Once
}

// Get returns a request that is not sent the first time.
func (c *aheadClient) Get() (request *rest.Request) {
	c.once.Do(func() {
		config := resource.UnstructuredPlusDefaultContentConfig()
		content := rest.ClientContentConfig{AcceptContentTypes: runtime.ContentTypeJSON, ContentType: runtime.ContentTypeJSON, GroupVersion: c.kind.GroupVersionKind.GroupVersion(),
			Negotiator: runtime.NewClientNegotiator(config.NegotiatedSerializer, c.kind.GroupVersionKind.GroupVersion())}
		request = rest.NewRequestWithClient(&url.URL{Scheme: "https", Host: "read-ahead.invalid"}, "", content, &http.Client{Transport: c}).Verb(http.MethodGet)
	})
	if request == nil {
		request = c.RESTClient.Get()
	}
	return request
}

// RoundTrip implements http.RoundTripper.
func (c *aheadClient) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.code, Status: http.StatusText(c.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {runtime.ContentTypeJSON}}, Body: io.NopCloser(bytes.NewReader(c.body)), ContentLength: int64(len(c.body))}, nil
}
