package httpx

import (
	"net/http"
	"regexp"

	"github.com/onedigest/onedigest/internal/text"
)

// CollectCredentials returns a transport that adds the credentials of each request to secrets before it is sent: those of the
// Authorization header, and signatures and tokens in the URL. An answer may give them back.
func CollectCredentials(next http.RoundTripper, secrets *text.Secrets) http.RoundTripper {
	return &credentialCollector{next: next, secrets: secrets}
}

type credentialCollector struct {
	next    http.RoundTripper
	secrets *text.Secrets
}

// WrappedRoundTripper lets client-go find the transport that holds the connections.
func (c *credentialCollector) WrappedRoundTripper() http.RoundTripper { return c.next }

func (c *credentialCollector) RoundTrip(request *http.Request) (*http.Response, error) {
	for _, header := range request.Header.Values("Authorization") {
		c.secrets.Add(text.CredentialsOf(header)...)
	}
	for name, values := range request.URL.Query() {
		if signature.MatchString(name) || text.NamesSecret(name) {
			c.secrets.Add(values...)
		}
	}
	return c.next.RoundTrip(request)
}

// signature matches the parameters of presigned URLs that must not be shown. Source: Amazon S3 API Reference, "Authenticating
// Requests: Using Query Parameters"; Azure Storage, "Service SAS".
var signature = regexp.MustCompile(`(?i)^(x-amz-(signature|credential|security-token)|sig)$`)
