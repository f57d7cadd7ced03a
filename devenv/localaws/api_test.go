package localaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

func TestGetCallerIdentity(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t, func(o *localaws.Options) { o.Account = "123456789012" })
	out, err := stsClient(server).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != "123456789012" || *out.Arn != "arn:aws:iam::123456789012:user/localaws" {
		t.Errorf("got account %s, %s", *out.Account, *out.Arn)
	}
	_, err = stsClient(server).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	wantAPIError(t, err, "InvalidAction", "Could not find operation GetSessionToken for version 2011-06-15")
}

// TestPresignedIdentity sends a presigned GET, the form of a token for EKS: whoever has it can send it.
func TestPresignedIdentity(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	signed, err := sts.NewPresignClient(stsClient(server)).PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	got := send(t, signed.Method, signed.URL, nil, nil)
	if got.status != http.StatusOK || !strings.Contains(got.body, "<Account>000000000000</Account>") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	for _, test := range []struct{ from, to, want string }{
		{"Action=GetCallerIdentity", "Action=GetSessionToken", "SignatureDoesNotMatch"},
		{"us-east-1", "eu-west-1", "SignatureDoesNotMatch"},
		{"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=none", "IncompleteSignature"},
		{"X-Amz-Signature=", "X-Amz-Signature=0", "SignatureDoesNotMatch"},
	} {
		changed := strings.Replace(signed.URL, test.from, test.to, 1)
		got := send(t, signed.Method, changed, nil, nil)
		var failure struct {
			Code string `xml:"Error>Code"`
		}
		if err := xml.Unmarshal([]byte(got.body), &failure); err != nil || failure.Code != test.want {
			t.Errorf("%s for %s: got %d %s, want %s", test.to, test.from, got.status, got.body, test.want)
		}
	}
}

// TestEnvironment configures the clients by the SDK's environment variables, like every other caller.
func TestEnvironment(t *testing.T) {
	server := localawstest.Start(t)
	server.Setenv()
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ecr.NewFromConfig(loaded).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}); err != nil {
		t.Error(err)
	}
	if _, err := sts.NewFromConfig(loaded).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
		t.Error(err)
	}
	if server.Count(localaws.RouteGetAuthorizationToken, "POST") != 1 || server.Count(localaws.RouteGetCallerIdentity, "") != 1 {
		t.Errorf("got requests %+v, want one of each", server.Requests())
	}
}

func send(t *testing.T, method, address string, header http.Header, body []byte) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// signedCall is a request signed by the SDK, with the changes of a test.
type signedCall struct {
	target, service, region, id, secret string
	at                                  time.Time
	body                                string
	after                               func(*http.Request) // once it is signed
}

func (c signedCall) send(t *testing.T, server *localawstest.Server) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/", strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", c.target)
	if c.service != "" {
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: c.id, SecretAccessKey: c.secret},
			request, hash(c.body), c.service, c.region, c.at)
		if err != nil {
			t.Fatal(err)
		}
	}
	if c.after != nil {
		c.after(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	good := func() signedCall {
		return signedCall{
			target: "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories", service: "ecr", region: "us-east-1",
			id: localaws.DefaultAccessKeyID, secret: localaws.DefaultSecretAccessKey, at: time.Now(), body: "{}",
		}
	}
	replace := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	for _, test := range []struct {
		name   string
		change func(*signedCall)
		want   string // "" is accepted
	}{
		{"good", func(*signedCall) {}, ""},
		{"unsigned", func(c *signedCall) { c.service = "" }, "MissingAuthenticationTokenException"},
		{"key unknown", func(c *signedCall) { c.id = "AKIAOTHER" }, "UnrecognizedClientException"},
		{"secret wrong", func(c *signedCall) { c.secret = "wrong" }, "InvalidSignatureException"},
		{"service wrong", func(c *signedCall) { c.service = "s3" }, "InvalidSignatureException"},
		{"region wrong", func(c *signedCall) { c.region = "eu-west-1" }, "InvalidSignatureException"},
		{"too old", func(c *signedCall) { c.at = time.Now().Add(-time.Hour) }, "InvalidSignatureException"},
		{"not yet", func(c *signedCall) { c.at = time.Now().Add(time.Hour) }, "InvalidSignatureException"},
		{"body changed", func(c *signedCall) {
			c.after = func(r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader("[]")), 2
			}
		}, "InvalidSignatureException"},
		{"target changed", func(c *signedCall) {
			c.after = func(r *http.Request) { r.Header.Set("X-Amz-Target", c.target+"x") }
		}, "InvalidSignatureException"},
		{"basic", func(c *signedCall) { c.after = func(r *http.Request) { r.SetBasicAuth("a", "b") } }, "IncompleteSignatureException"},
		{"no signature", func(c *signedCall) { c.after = replace("Signature=", "Other=") }, "IncompleteSignatureException"},
		{"scope short", func(c *signedCall) { c.after = replace("/aws4_request", "") }, "IncompleteSignatureException"},
		{"scope empty", func(c *signedCall) { c.after = replace("/us-east-1/", "//") }, "IncompleteSignatureException"},
		{"host unsigned", func(c *signedCall) { c.after = replace("host;", "") }, "IncompleteSignatureException"},
		{"no date", func(c *signedCall) { c.after = func(r *http.Request) { r.Header.Del("X-Amz-Date") } }, "IncompleteSignatureException"},
		{"bad date", func(c *signedCall) {
			c.after = func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") }
		}, "IncompleteSignatureException"},
		{"operation unknown", func(c *signedCall) {
			c.target = "AmazonEC2ContainerRegistry_V20150921.StartImageScan"
		}, "UnknownOperationException"},
		{"service unknown", func(c *signedCall) { c.target = "Kinesis_20131202.ListStreams" }, "UnknownOperationException"},
		{"no JSON", func(c *signedCall) { c.body = "[]" }, "SerializationException"},
		{"JSON broken", func(c *signedCall) { c.body = `{"maxResults":` }, "SerializationException"},
		{"JSON twice", func(c *signedCall) { c.body = `{}{}` }, "SerializationException"},
		{"wrong type", func(c *signedCall) { c.body = `{"maxResults":"x"}` }, "SerializationException"},
		{"no body", func(c *signedCall) { c.body = "" }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			call := good()
			test.change(&call)
			got := call.send(t, server)
			if test.want == "" {
				if got.status != http.StatusOK {
					t.Errorf("got %d %s, want 200", got.status, got.body)
				}
				return
			}
			var failure struct {
				Type string `json:"__type"`
			}
			if err := json.Unmarshal([]byte(got.body), &failure); err != nil || failure.Type != test.want || got.status != 400 {
				t.Errorf("got %d %s, want 400 %s", got.status, got.body, test.want)
			}
		})
	}
}

func TestNoOperation(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	for _, test := range []struct {
		name, method, path, contentType, body string
		status                                int
		want                                  string
	}{
		{"root", "GET", "/", "", "", 400, "UnknownOperationException"},
		{"form without action", "POST", "/", "application/x-www-form-urlencoded", "a=b", 403, "MissingAuthenticationToken"},
		{"form too long", "POST", "/", "application/x-www-form-urlencoded", strings.Repeat("a", 1<<17), 400, "MalformedQueryString"},
		{"unsigned form", "POST", "/", "application/x-www-form-urlencoded", url.Values{"Action": {"GetCallerIdentity"}}.Encode(),
			403, "MissingAuthenticationToken"},
	} {
		got := send(t, test.method, server.URL()+test.path, http.Header{"Content-Type": {test.contentType}}, []byte(test.body))
		if got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: got %d %s, want %d %s", test.name, got.status, got.body, test.status, test.want)
		}
	}
}
