package eks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

const account = "123456789012"

func start(t *testing.T) (*localawstest.Server, *Client) {
	t.Helper()
	server := localawstest.Start(t, func(o *localaws.Options) { o.Account = account })
	return server, connect(t, server.EnvMap())
}

func connect(t *testing.T, environment map[string]string) *Client {
	t.Helper()
	c, err := New(t.Context(), Options{Environ: func(name string) string { return environment[name] }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCluster(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	web := server.Cluster("shop", http.NotFoundHandler())
	found, err := c.Cluster(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := Cluster{
		Name: "shop", ARN: "arn:aws:eks:us-east-1:123456789012:cluster/shop", Account: account, Endpoint: web.URL, Status: "ACTIVE", CA: found.CA,
	}
	if diff := cmp.Diff(want, found); diff != "" || !strings.HasPrefix(string(found.CA), "-----BEGIN CERTIFICATE-----") {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := server.Count(localaws.RouteDescribeCluster, "GET"); got != 1 || len(server.Requests()) != 1 {
		t.Errorf("made requests %+v, want one", server.Requests())
	}
}

func TestCaller(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	want := release.Caller{Account: account, ARN: server.Principal()}
	if got, err := c.Caller(t.Context()); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The cluster's authentication webhook accepts the token, and only that of the cluster that it was signed for.
func TestToken(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	welcome := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("X-Remote-User"), " ", r.Header["X-Remote-Group"])
	})
	shop, other := server.Cluster("shop", welcome, "onedigest:deployers"), server.Cluster("other", welcome)
	before := time.Now()
	token, expires, err := c.Token(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if left := expires.Sub(before); left < 13*time.Minute || left > 14*time.Minute+time.Second {
		t.Errorf("it may be used for %s, want 14m", left)
	}
	encoded, found := strings.CutPrefix(token, "k8s-aws-v1.")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !found {
		t.Fatalf("%q is no token: %v", token, err)
	}
	signed, err := url.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	query := signed.Query()
	if query.Get("Action") != "GetCallerIdentity" || query.Get("X-Amz-Expires") != "60" || query.Get("X-Amz-SignedHeaders") != "host;x-k8s-aws-id" {
		t.Errorf("signed %s", signed)
	}
	if status, body := visit(t, shop, token); status != 200 || body != server.Principal()+" [onedigest:deployers]" {
		t.Errorf("the cluster answers %d %s", status, body)
	}
	if status, _ := visit(t, other, token); status != 401 {
		t.Errorf("another cluster answers %d", status)
	}
	if server.Count(localaws.RouteGetCallerIdentity, "") != 0 {
		t.Error("signing a token asked STS")
	}
}

func visit(t *testing.T, web *httptest.Server, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := web.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := make([]byte, 1024)
	n, _ := response.Body.Read(text)
	return response.StatusCode, string(text[:n])
}

// A token ends with the credentials that signed it.
func TestTokenExpiresWithItsCredentials(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ends := time.Now().Add(5 * time.Minute)
	c.config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAX", SecretAccessKey: "y", SessionToken: "z", CanExpire: true, Expires: ends}, nil
	})
	if _, expires, err := c.Token(t.Context(), "shop"); err != nil || !expires.Equal(ends) {
		t.Errorf("it may be used until %s, %v; want %s", expires, err, ends)
	}
}

// What cannot be right is refused before anybody is asked.
func TestBadInput(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	for _, name := range []string{"", "-shop", "a/b", "../x", "shop\n", strings.Repeat("a", 101), "arn:aws:eks:us-east-1:123456789012:cluster/shop", "$(id)"} {
		_, err := c.Cluster(t.Context(), name)
		_, _, other := c.Token(t.Context(), name)
		for _, err := range []error{err, other} {
			if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--cluster") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: got %v", name, err)
			}
		}
	}
	for _, region := range []string{"eu-central", "https://example.com", "us-east-1.example.com#", "US-EAST-1", "us east 1"} {
		_, err := New(t.Context(), Options{Region: region})
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--region") {
			t.Errorf("region %q: got %v", region, err)
		}
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
}

// What a person reads when there is no cluster to be had.
func TestNoCluster(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	put := func(name string, status localaws.ClusterStatus) {
		web := server.Cluster(name, http.NotFoundHandler())
		found, err := c.Cluster(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.PutCluster(localaws.Cluster{Name: name, Status: status, Endpoint: web.URL, CA: found.CA}); err != nil {
			t.Fatal(err)
		}
	}
	for status, serves := range map[localaws.ClusterStatus]bool{
		localaws.ClusterUpdating: true, localaws.ClusterCreating: false, localaws.ClusterPending: false,
		localaws.ClusterDeleting: false, localaws.ClusterFailed: false,
	} {
		put("shop", status)
		_, err := c.Cluster(t.Context(), "shop")
		switch {
		case serves && err != nil:
			t.Errorf("%s: got %v", status, err)
		case !serves && (release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "it is "+string(status)) || !strings.Contains(err.Error(), "ACTIVE")):
			t.Errorf("%s: got %v", status, err)
		}
	}
	_, err := c.Cluster(t.Context(), "nowhere")
	for _, want := range []string{`no EKS cluster "nowhere" in region us-east-1 of account 123456789012`, server.Principal(), "--region", "aws eks list-clusters --region us-east-1"} {
		if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), want) {
			t.Errorf("absent: got %v, want it to say %q", err, want)
		}
	}
}

// What a person reads when AWS says no: what was being done, AWS's words in one line, who was refused, what to do.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   localaws.Action
		want []string
	}{
		"denied": {
			localaws.APIError(403, "AccessDeniedException", "User: x is not authorized to perform: eks:DescribeCluster\n##[error]x"),
			[]string{
				`AccessDeniedException: User: x is not authorized to perform: eks:DescribeCluster ##\[error]x`,
				"allow arn:aws:iam::123456789012:user/localaws eks:DescribeCluster on arn:*:eks:us-east-1:*:cluster/shop",
			},
		},
		"expired":   {localaws.APIError(403, "ExpiredTokenException", "The security token included in the request is expired"), []string{"credentials have expired: get new ones"}},
		"unknown":   {localaws.APIError(403, "UnrecognizedClientException", "The security token included in the request is invalid."), []string{"does not know these credentials in us-east-1"}},
		"not yours": {localaws.APIError(403, "InvalidSignatureException", "Credential should be scoped to a valid region."), []string{"--region", "us-east-1"}},
		"other":     {localaws.APIError(400, "ClientException", "no"), []string{"ClientException: no"}},
		"empty":     {localaws.Answer(200, nil, `{}`), []string{"contains no cluster"}},
		"huge":      {localaws.AnswerHugeManifest(4 << 20), []string{"longer than 1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := start(t)
			injected := server.Inject(localaws.Fault{Route: localaws.RouteDescribeCluster, Do: test.do})
			_, err := c.Cluster(t.Context(), "shop")
			var fault *release.Fault
			if !errors.As(err, &fault) || fault.Side != "AWS" {
				t.Fatalf("got %v, want a fault of AWS", err)
			}
			for _, want := range append(test.want, `finding EKS cluster "shop" in region us-east-1`) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q is not one line", err)
			}
			if injected.Hits() != 1 {
				t.Errorf("asked %d times, want once", injected.Hits())
			}
		})
	}
}

// R1, R2: throttled requests are sent again.
func TestThrottled(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]localaws.Action{"429": localaws.Throttle(0), "400": localaws.ThrottlingException()} {
		server, c := start(t)
		server.Cluster("shop", http.NotFoundHandler())
		injected := server.Inject(localaws.Fault{Route: localaws.RouteDescribeCluster, Times: 1, Do: do})
		if _, err := c.Cluster(t.Context(), "shop"); err != nil || injected.Hits() != 1 {
			t.Errorf("%s: got %v after %d hits", name, err, injected.Hits())
		}
	}
}

// A response that names no endpoint to trust with a token is refused.
func TestMalformedResponses(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	server.Cluster("shop", http.NotFoundHandler())
	good, err := c.Cluster(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	authority := base64.StdEncoding.EncodeToString(good.CA)
	for name, test := range map[string]struct{ cluster, arn, endpoint, ca, want string }{
		"good":          {"shop", good.ARN, good.Endpoint, authority, ""},
		"another":       {"other", good.ARN, good.Endpoint, authority, `about cluster "other"`},
		"no ARN":        {"shop", "shop", good.Endpoint, authority, "names no account"},
		"plain HTTP":    {"shop", good.ARN, "http://127.0.0.1:1", authority, "not an https URL"},
		"no host":       {"shop", good.ARN, "https://", authority, "not an https URL"},
		"user":          {"shop", good.ARN, "https://x@example.com", authority, "not an https URL"},
		"no authority":  {"shop", good.ARN, good.Endpoint, "", "contains no certificate"},
		"not base64":    {"shop", good.ARN, good.Endpoint, "!", "not base64"},
		"no PEM":        {"shop", good.ARN, good.Endpoint, "AAAA", "contains no certificate"},
		"a private key": {"shop", good.ARN, good.Endpoint, base64.StdEncoding.EncodeToString([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")), "something other than certificates"},
	} {
		injected := server.Inject(localaws.Fault{Route: localaws.RouteDescribeCluster, Times: 1, Do: localaws.Answer(200, nil, fmt.Sprintf(
			`{"cluster":{"name":%q,"arn":%q,"endpoint":%q,"status":"ACTIVE","certificateAuthority":{"data":%q}}}`, test.cluster, test.arn, test.endpoint, test.ca))})
		_, err := c.Cluster(t.Context(), "shop")
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: got %v", name, err)
		case test.want != "" && (release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want it to say %q", name, err, test.want)
		}
		injected.Remove()
	}
}

// H8: a redirect to another host is not followed; the session's token would go along.
func TestNoRedirect(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	reached := false
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer thief.Close()
	for _, route := range []localaws.Route{localaws.RouteDescribeCluster, localaws.RouteGetCallerIdentity} {
		server.Inject(localaws.Fault{Route: route, Do: localaws.Answer(307, http.Header{"Location": {thief.URL + "/clusters/shop"}}, "")})
	}
	if _, err := c.Cluster(t.Context(), "shop"); release.ExitCode(err) != release.ExitFault {
		t.Errorf("describing: got %v", err)
	}
	if _, err := c.Caller(t.Context()); release.ExitCode(err) != release.ExitFault {
		t.Errorf("asking STS: got %v", err)
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

// The same name in another region is another cluster.
func TestOtherRegion(t *testing.T) {
	t.Parallel()
	here, _ := start(t)
	here.Cluster("shop", http.NotFoundHandler())
	there := localawstest.Start(t, func(o *localaws.Options) { o.Account, o.Region = account, "eu-west-1" })
	_, err := connect(t, there.EnvMap()).Cluster(t.Context(), "shop")
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "in region eu-west-1 of account") {
		t.Errorf("got %v", err)
	}
}

// A runner without credentials or region: nothing is asked, and what to do is said. It cannot run in parallel, for what
// the given environment leaves out the SDK reads from the process's.
func TestNoCredentials(t *testing.T) {
	server := localawstest.Start(t)
	environment := server.EnvMap()
	empty := t.TempDir()
	environment["AWS_CONFIG_FILE"], environment["AWS_SHARED_CREDENTIALS_FILE"] = empty+"/config", empty+"/credentials"
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		delete(environment, name)
		t.Setenv(name, "")
	}
	c := connect(t, environment)
	_, err := c.Cluster(t.Context(), "shop")
	_, _, other := c.Token(t.Context(), "shop")
	for _, err := range []error{err, other} {
		if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "give AWS credentials") {
			t.Errorf("no credentials: got %v", err)
		}
	}
	delete(environment, "AWS_REGION")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err = New(t.Context(), Options{Environ: func(name string) string { return environment[name] }})
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "--region") {
		t.Errorf("no region: got %v", err)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
}
