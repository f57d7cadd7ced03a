package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestAsksToSlowDown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   bool
	}{
		"R2: HTTP 400 ThrottlingException": {400, `{"__type":"ThrottlingException","message":""}`, true},
		"HTTP 400 Rate exceeded":           {400, `{"message":"Rate exceeded"}`, true},
		"HTTP 400 TOOMANYREQUESTS":         {400, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, true},
		"HTTP 400 of another kind":         {400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`, false},
		"HTTP 403":                         {403, "ThrottlingException", false},
	} {
		response := &http.Response{StatusCode: test.status, Body: io.NopCloser(strings.NewReader(test.body))}
		if got := asksToSlowDown(response); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
		if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != test.body {
			t.Errorf("%s: the body is %q, %v", name, rest, err)
		}
	}
}

func TestIsTransient(t *testing.T) {
	t.Parallel()
	if isTransient(&blockedError{to: "x"}) || isTransient(&mismatchError{}) || !isTransient(syscall.ECONNRESET) {
		t.Error("only a broken connection is worth another attempt")
	}
}

func TestRefuseForbidden(t *testing.T) {
	t.Parallel()
	for address, refused := range map[string]bool{
		"169.254.169.254:80":         true,
		"[fe80::1]:443":              true,
		"[fd00:ec2::254]:80":         true,
		"[::ffff:169.254.169.254]:1": true,
		"[64:ff9b::a9fe:a9fe]:443":   true,
		"168.63.129.16:80":           true,
		"no address":                 true,
		"127.0.0.1:5000":             false,
		"10.0.0.1:443":               false,
		"93.184.216.34:443":          false,
	} {
		if err := refuseForbidden(t.Context(), "tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: got %v, want refused = %t", address, err, refused)
		}
	}
}

// A redirect to a host below the registry's keeps its headers in net/http. Credentials are removed here.
func TestOtherHostsGetNoCredentials(t *testing.T) {
	t.Parallel()
	var sent http.Header
	registry, err := name.NewRegistry("registry.example")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{registry: registry, scheme: "https", next: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})}
	request := httptest.NewRequest(http.MethodGet, "https://storage.registry.example/blob", nil)
	request.Header = http.Header{"Authorization": {"Basic secret"}, "Cookie": {"session=secret"}, "Accept": {"*/*"}}
	response, err := s.sendToOtherHost(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if sent.Get("Authorization") != "" || sent.Get("Cookie") != "" || sent.Get("Accept") != "*/*" {
		t.Errorf("sent %v", sent)
	}
}
