package ecr

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestParseHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]location{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com":             {account: "123456789012", region: "eu-central-1"},
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":       {account: "123456789012", region: "us-gov-west-1", fips: true},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":            {account: "123456789012", region: "cn-north-1"},
		"123456789012.dkr-ecr.eu-west-1.on.aws":                       {account: "123456789012", region: "eu-west-1", dualStack: true},
		"123456789012.dkr-ecr-fips.us-east-1.on.aws":                  {account: "123456789012", region: "us-east-1", fips: true, dualStack: true},
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {account: "123456789012", region: "cn-north-1", dualStack: true},
		"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu":            {account: "123456789012", region: "eusc-de-east-1"},
	} {
		got, ours := parseHost(host)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(location{})); diff != "" || !ours {
			t.Errorf("%s: %t (-want +got):\n%s", host, ours, diff)
		}
	}
	for _, host := range []string{
		"", "ghcr.io", "public.ecr.aws", "127.0.0.1:5000",
		"12345678901.dkr.ecr.eu-central-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com:443",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
		"evil.example/123456789012.dkr.ecr.eu-central-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-central-1.amazonaws-com",
		"123456789012.dkrXecr.eu-central-1.amazonaws.com",
		"x123456789012.dkr.ecr.eu-central-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com\n",
	} {
		if at, ours := parseHost(host); ours {
			t.Errorf("%q was taken for ECR's: %+v", host, at)
		}
	}
}

// FuzzParseHost: what is taken for ECR's is on one of AWS's own domains, because the token is sent there.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com", "123456789012.dkr-ecr.eu-west-1.on.aws",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com.cn", "ghcr.io", "123456789012.dkr.ecr.a.amazonaws.com.evil",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		at, ours := parseHost(host)
		if !ours {
			if at != (location{}) {
				t.Errorf("%q is not ECR's, and yet %+v", host, at)
			}
			return
		}
		if len(at.account) != 12 || at.region == "" {
			t.Errorf("%q: account %q, region %q", host, at.account, at.region)
		}
		for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".on.aws", ".on.amazonwebservices.com.cn", ".on.amazonwebservices.eu", ".gov", ".uk"} {
			if len(host) > len(domain) && host[len(host)-len(domain):] == domain {
				return
			}
		}
		t.Errorf("%q was taken for ECR's", host)
	})
}

// record refuses every request and keeps its address and body; nothing leaves the process.
type record struct{ url, body string }

func (r *record) Do(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.url, r.body = request.URL.Host, string(body)
	return &http.Response{
		StatusCode: http.StatusBadRequest, Request: request, Header: http.Header{"X-Amzn-Errortype": {"AccessDeniedException"}},
		Body: io.NopCloser(strings.NewReader(`{"message":"no"}`)),
	}, nil
}

// An ECR host determines where requests about it go, whatever region the environment names.
func TestRequestsGoToTheRegionOfTheHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]record{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com":       {"api.ecr.eu-central-1.amazonaws.com", `"registryId":"123456789012"`},
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": {"api.ecr-fips.us-gov-west-1.amazonaws.com", `"registryId":"123456789012"`},
		"123456789012.dkr-ecr.eu-west-1.on.aws":                 {"ecr.eu-west-1.api.aws", `"registryId":"123456789012"`},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":      {"api.ecr.cn-north-1.amazonaws.com.cn", `"registryId":"123456789012"`},
		"registry.example": {"api.ecr.us-east-2.amazonaws.com", `"repositoryName":"shop"`},
	} {
		c := connect(t, map[string]string{"AWS_REGION": "us-east-2", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
		var asked record
		c.config.HTTPClient = &asked
		_, digest := index("one")
		_, err := c.Inspect(t.Context(), release.Repository(host+"/shop"), digest, "one")
		if err == nil || !strings.Contains(err.Error(), "allow ecr:BatchGetImage") {
			t.Errorf("%s: got %v", host, err)
		}
		if asked.url != want.url || !strings.Contains(asked.body, want.body) {
			t.Errorf("%s: asked %s with %s, want %s with %s", host, asked.url, asked.body, want.url, want.body)
		}
		if strings.Contains(asked.body, "registryId") != strings.HasPrefix(host, "123") {
			t.Errorf("%s: asked with %s", host, asked.body)
		}
	}
}
