package localaws_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

func eksClient(server *localawstest.Server, change ...func(*eks.Options)) *eks.Client {
	return eks.New(eks.Options{
		Region: localaws.DefaultRegion, BaseEndpoint: aws.String(server.URL()), RetryMaxAttempts: 1,
		Credentials: credentials(localaws.DefaultAccessKeyID, localaws.DefaultSecretAccessKey),
	}, change...)
}

// authority returns the certificate of a server that has stopped.
func authority(t *testing.T) []byte {
	t.Helper()
	web := localawstest.Start(t).Cluster("x", http.NotFoundHandler())
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
}

func TestDescribeCluster(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t, func(o *localaws.Options) { o.Account, o.Region = "123456789012", "eu-west-1" })
	client := eksClient(server, func(o *eks.Options) { o.Region = "eu-west-1" })
	ca := authority(t)
	if err := server.PutCluster(localaws.Cluster{Name: "shop", Endpoint: "https://127.0.0.1:6443", CA: ca}); err != nil {
		t.Fatal(err)
	}
	if err := server.PutCluster(localaws.Cluster{Name: "soon", Status: localaws.ClusterCreating}); err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("shop")})
	if err != nil {
		t.Fatal(err)
	}
	got := out.Cluster
	if *got.Name != "shop" || *got.Arn != "arn:aws:eks:eu-west-1:123456789012:cluster/shop" || got.Status != "ACTIVE" ||
		*got.Endpoint != "https://127.0.0.1:6443" || *got.CertificateAuthority.Data != base64.StdEncoding.EncodeToString(ca) || time.Since(*got.CreatedAt) > time.Hour {
		t.Errorf("got %+v", got)
	}
	out, err = client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("soon")})
	if err != nil || out.Cluster.Status != "CREATING" || out.Cluster.Endpoint != nil || out.Cluster.CertificateAuthority.Data != nil {
		t.Errorf("got %+v, %v", out, err)
	}
	if got := server.Status().Clusters; !cmp.Equal(got, []string{"shop", "soon"}) {
		t.Errorf("the status names %v", got)
	}
	_, err = client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("other")})
	wantAPIError(t, err, "ResourceNotFoundException", "No cluster found for name: other.")
	if got := server.Count(localaws.RouteDescribeCluster, http.MethodGet); got != 3 {
		t.Errorf("counted %d calls in %+v", got, server.Requests())
	}
}

// TestEKSRefusals: EKS operations that this server lacks are refused, and so are requests that are not signed for EKS.
func TestEKSRefusals(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Cluster("shop", http.NotFoundHandler())
	client := eksClient(server)
	_, err := client.ListClusters(t.Context(), &eks.ListClustersInput{})
	wantAPIError(t, err, "UnknownOperationException", "GET /clusters")
	_, err = client.DeleteCluster(t.Context(), &eks.DeleteClusterInput{Name: aws.String("shop")})
	wantAPIError(t, err, "UnknownOperationException", "DELETE /clusters/shop")
	_, err = client.ListNodegroups(t.Context(), &eks.ListNodegroupsInput{ClusterName: aws.String("shop")})
	wantAPIError(t, err, "UnknownOperationException", "GET /clusters/shop/node-groups")

	describe := &eks.DescribeClusterInput{Name: aws.String("shop")}
	_, err = eksClient(server, func(o *eks.Options) { o.Credentials = credentials("AKIAOTHER", "x") }).DescribeCluster(t.Context(), describe)
	wantAPIError(t, err, "UnrecognizedClientException", "security token")
	_, err = eksClient(server, func(o *eks.Options) { o.Credentials = credentials(localaws.DefaultAccessKeyID, "x") }).DescribeCluster(t.Context(), describe)
	wantAPIError(t, err, "InvalidSignatureException", "signature we calculated")
	_, err = eksClient(server, func(o *eks.Options) { o.Region = "eu-west-1" }).DescribeCluster(t.Context(), describe)
	wantAPIError(t, err, "InvalidSignatureException", "valid region")
	for _, path := range []string{"/clusters/shop", "/clusters", "/_localaws/eks/shop", "/_localaws/eks//tokenreview", "/_localaws/eks/a/b"} {
		got := send(t, http.MethodGet, server.URL()+path, nil, nil)
		if got.status != http.StatusForbidden || got.header.Get("X-Amzn-Errortype") != "MissingAuthenticationTokenException" {
			t.Errorf("unsigned %s: got %d %s", path, got.status, got.body)
		}
	}
}

// TestPutCluster: invalid clusters are refused, by the method and by a request.
func TestPutCluster(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	ca := authority(t)
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})
	for name, test := range map[string]struct {
		cluster localaws.Cluster
		want    string
	}{
		"good":        {localaws.Cluster{Name: "shop", Endpoint: "https://127.0.0.1:1", CA: ca, Access: []localaws.AccessEntry{{Groups: []string{"a"}}}}, ""},
		"no name":     {localaws.Cluster{Endpoint: "https://127.0.0.1:1", CA: ca}, "cluster name"},
		"a path":      {localaws.Cluster{Name: "a/b", Endpoint: "https://127.0.0.1:1", CA: ca}, "cluster name"},
		"plain HTTP":  {localaws.Cluster{Name: "shop", Endpoint: "http://127.0.0.1:1", CA: ca}, "not an https URL"},
		"no CA":       {localaws.Cluster{Name: "shop", Endpoint: "https://127.0.0.1:1"}, "no certificate"},
		"a key":       {localaws.Cluster{Name: "shop", Endpoint: "https://127.0.0.1:1", CA: append(ca, key...)}, "private key"},
		"odd status":  {localaws.Cluster{Name: "shop", Status: "READY"}, "not one of EKS's"},
		"no endpoint": {localaws.Cluster{Name: "shop", Status: localaws.ClusterPending}, ""},
	} {
		body, err := json.Marshal(test.cluster)
		if err != nil {
			t.Fatal(err)
		}
		got := put(t, server, "shop", body)
		direct := server.PutCluster(test.cluster)
		switch {
		case test.want == "" && (got.status != http.StatusOK || direct != nil):
			t.Errorf("%s: got %d %s, %v", name, got.status, got.body, direct)
		case test.want != "" && (got.status < 400 || direct == nil || !strings.Contains(direct.Error(), test.want)):
			t.Errorf("%s: got %d %s, %v", name, got.status, got.body, direct)
		}
	}
	for name, body := range map[string]string{"no JSON": "x", "another's": `{"name":"other","status":"PENDING"}`, "unknown member": `{"name":"shop","colour":"red"}`} {
		if got := put(t, server, "shop", []byte(body)); got.status != http.StatusBadRequest {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
}

func put(t *testing.T, server *localawstest.Server, name string, body []byte) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL()+localaws.ClusterPath(name), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = int64(len(body))
	keys := aws.Credentials{AccessKeyID: localaws.DefaultAccessKeyID, SecretAccessKey: localaws.DefaultSecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, request, hash(string(body)), "eks", localaws.DefaultRegion, time.Now()); err != nil {
		t.Fatal(err)
	}
	return send(t, http.MethodPut, request.URL.String(), request.Header, body)
}

// signedToken is a token for a cluster as clients make it, with the changes of a test.
type signedToken struct {
	cluster, endpoint, secret, service string
	at                                 time.Time
	query                              url.Values
	header                             http.Header
	after                              func(address string) string // once it is signed
}

func (s signedToken) make(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.endpoint+"?"+s.query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = s.header.Clone()
	if s.cluster != "" {
		request.Header.Set("x-k8s-aws-id", s.cluster)
	}
	keys := aws.Credentials{AccessKeyID: localaws.DefaultAccessKeyID, SecretAccessKey: s.secret}
	address, _, err := v4.NewSigner().PresignHTTP(t.Context(), keys, request, hash(""), s.service, localaws.DefaultRegion, s.at)
	if err != nil {
		t.Fatal(err)
	}
	if s.after != nil {
		address = s.after(address)
	}
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(address))
}

// TestTokenReview compares the webhook with what the authenticator of EKS accepts and refuses.
func TestTokenReview(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Cluster("shop", http.NotFoundHandler(), "onedigest:deployers", "viewers")
	server.Cluster("other", http.NotFoundHandler())
	if err := server.PutCluster(localaws.Cluster{Name: "closed", Status: localaws.ClusterPending}); err != nil {
		t.Fatal(err)
	}
	good := func() signedToken {
		return signedToken{
			cluster: "shop", endpoint: server.URL() + "/", secret: localaws.DefaultSecretAccessKey, service: "sts", at: time.Now(), header: http.Header{},
			query: url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Expires": {"60"}},
		}
	}
	replace := func(from, to string) func(string) string {
		return func(address string) string { return strings.Replace(address, from, to, 1) }
	}
	for _, test := range []struct {
		name   string
		change func(*signedToken)
		want   string // of the error; "" is taken
	}{
		{"good", func(*signedToken) {}, ""},
		{"14 minutes old", func(s *signedToken) { s.at = s.at.Add(-14 * time.Minute) }, ""},
		{"15 minutes old", func(s *signedToken) { s.at = s.at.Add(-15*time.Minute - time.Second) }, "expired"},
		{"of tomorrow", func(s *signedToken) { s.at = s.at.Add(time.Hour) }, "not yet current"},
		{"for another cluster", func(s *signedToken) { s.cluster = "other" }, "signature we calculated does not match"},
		{"for no cluster", func(s *signedToken) { s.cluster = "" }, "did not sign the x-k8s-aws-id header"},
		{"another's key", func(s *signedToken) { s.secret = "wrong" }, "signature we calculated does not match"},
		{"signature changed", func(s *signedToken) { s.after = replace("X-Amz-Signature=", "X-Amz-Signature=0") }, "signature we calculated does not match"},
		{"time changed", func(s *signedToken) {
			s.at = s.at.Add(-time.Hour)
			s.after = replace(s.at.UTC().Format("20060102T150405Z"), time.Now().UTC().Format("20060102T150405Z"))
		}, "does not match"},
		{"key unknown", func(s *signedToken) { s.after = replace(localaws.DefaultAccessKeyID, "AKIAOTHER") }, "security token included in the request is invalid"},
		{"another host", func(s *signedToken) { s.endpoint = "http://example.com/" }, `unexpected host "example.com"`},
		{"another port", func(s *signedToken) { s.endpoint = "http://127.0.0.1:1/" }, `unexpected host "127.0.0.1:1"`},
		{"a host that looks alike", func(s *signedToken) { s.after = replace(server.Address(), server.Address()+"@example.com") }, "unexpected path"},
		{"another scheme", func(s *signedToken) { s.after = replace("http:", "https:") }, "unexpected host"},
		{"a user in the URL", func(s *signedToken) { s.after = replace("http://", "http://x@") }, "unexpected path"},
		{"another path", func(s *signedToken) { s.endpoint += "x" }, "unexpected path"},
		{"another action", func(s *signedToken) { s.query.Set("Action", "GetSessionToken") }, "unexpected action"},
		{"another version", func(s *signedToken) { s.query.Set("Version", "2010-01-01") }, "unexpected action"},
		{"two actions", func(s *signedToken) { s.query.Add("Action", "GetSessionToken") }, "multiple values"},
		{"another parameter", func(s *signedToken) { s.query.Set("DurationSeconds", "3600") }, "non-whitelisted"},
		{"another service", func(s *signedToken) { s.service = "eks" }, "correct service: 'sts'"},
		{"a header besides", func(s *signedToken) { s.header.Set("X-Other", "x") }, "signature we calculated does not match"},
		{"long expiry", func(s *signedToken) { s.query.Set("X-Amz-Expires", "901") }, "invalid X-Amz-Expires"},
		{"no expiry", func(s *signedToken) { s.query.Del("X-Amz-Expires") }, "invalid X-Amz-Expires"},
		{"no URL", func(s *signedToken) { s.after = func(string) string { return "http://[" } }, "token is not a URL"},
		{"too long", func(s *signedToken) { s.after = func(a string) string { return a + strings.Repeat("x", 4096) } }, "too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			token := good()
			test.change(&token)
			got := review(t, server, "shop", token.make(t))
			if test.want != "" {
				if got.Authenticated || got.User != nil || !strings.Contains(got.Error, test.want) {
					t.Errorf("got %+v, want it refused with %q", got, test.want)
				}
				return
			}
			if !got.Authenticated || got.Error != "" || got.User.Username != server.Principal() || !cmp.Equal(got.User.Groups, []string{"onedigest:deployers", "viewers"}) {
				t.Errorf("got %+v, want it taken", got)
			}
		})
	}
	for name, token := range map[string]string{"empty": "", "a service account's": "eyJhbGciOiJub25lIn0.e30.", "not base64": "k8s-aws-v1.%%"} {
		if got := review(t, server, "shop", token); got.Authenticated || got.Error == "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	closed := good()
	closed.cluster = "closed"
	if got := review(t, server, "closed", closed.make(t)); got.Authenticated || !strings.Contains(got.Error, "ARN is not mapped: "+server.Principal()) {
		t.Errorf("without an access entry: got %+v", got)
	}
	if got := review(t, server, "nowhere", good().make(t)); got.Authenticated || !strings.Contains(got.Error, `no cluster "nowhere"`) {
		t.Errorf("without a cluster: got %+v", got)
	}
}

type reviewStatus struct {
	Authenticated bool
	Error         string
	User          *struct {
		Username, UID string
		Groups        []string
	}
}

func review(t *testing.T, server *localawstest.Server, cluster, token string) reviewStatus {
	t.Helper()
	question := fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","metadata":{"creationTimestamp":null},"spec":{"token":%q},"status":{"user":{}}}`, token)
	got := send(t, http.MethodPost, server.URL()+localaws.ReviewPath(cluster), http.Header{"Content-Type": {"application/json"}}, []byte(question))
	var answer struct {
		APIVersion, Kind string
		Status           reviewStatus
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != http.StatusOK || answer.Kind != "TokenReview" {
		t.Fatalf("got %d %s, %v", got.status, got.body, err)
	}
	return answer.Status
}

// TestShortTokens: tests of clients rely on the counts and on the shorter lifetime.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	server := localawstest.Start(t, func(o *localaws.Options) {
		o.ClusterTokenLife, o.Now = 20*time.Second, func() time.Time { return now }
	})
	server.Cluster("shop", http.NotFoundHandler())
	token := signedToken{
		cluster: "shop", endpoint: server.URL() + "/", secret: localaws.DefaultSecretAccessKey, service: "sts", at: now, header: http.Header{},
		query: url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Expires": {"60"}},
	}.make(t)
	for _, want := range []bool{true, false} {
		if got := review(t, server, "shop", token); got.Authenticated != want {
			t.Errorf("got %+v, want %t", got, want)
		}
		now = now.Add(21 * time.Second)
	}
	if taken, refused := server.TokenReviews(); taken != 1 || refused != 1 {
		t.Errorf("counted %d taken, %d refused", taken, refused)
	}
	for _, life := range []time.Duration{-time.Second, 16 * time.Minute} {
		if _, err := localaws.New(localaws.Options{ClusterTokenLife: life}); err == nil {
			t.Errorf("a life of %s was accepted", life)
		}
	}
}

func TestWebhookWantsAReview(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	for _, body := range []string{"", "{", `{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview"}`, `{"apiVersion":"authentication.k8s.io/v1","kind":"Pod"}`, strings.Repeat(" ", 1<<17)} {
		if got := send(t, http.MethodPost, server.URL()+localaws.ReviewPath("shop"), nil, []byte(body)); got.status != http.StatusBadRequest {
			t.Errorf("%.40q: got %d %s", body, got.status, got.body)
		}
	}
}

// TestPresignedLife: STS accepts a presigned request for 15 minutes, whatever its query says.
func TestPresignedLife(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	for age, want := range map[time.Duration]int{10 * time.Minute: http.StatusOK, 16 * time.Minute: http.StatusForbidden} {
		address := ""
		signedToken{
			cluster: "shop", endpoint: server.URL() + "/", secret: localaws.DefaultSecretAccessKey, service: "sts", at: time.Now().Add(-age), header: http.Header{},
			query: url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Expires": {"60"}},
			after: func(signed string) string { address = signed; return signed },
		}.make(t)
		if got := send(t, http.MethodGet, address, http.Header{"X-K8s-Aws-Id": {"shop"}}, nil); got.status != want {
			t.Errorf("%s old: got %d %s, want %d", age, got.status, got.body, want)
		}
		if got := send(t, http.MethodGet, address, http.Header{"X-K8s-Aws-Id": {"other"}}, nil); got.status != http.StatusForbidden {
			t.Errorf("for another cluster: got %d", got.status)
		}
	}
}

func TestClusterFromKubeconfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := authority(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.crt", string(ca))
	data := base64.StdEncoding.EncodeToString(ca)
	config := func(cluster string) string {
		return "apiVersion: v1\nkind: Config\ncurrent-context: b\ncontexts:\n- name: a\n  context: {cluster: other}\n- name: b\n  context: {cluster: mine, user: me}\n" +
			"clusters:\n- name: other\n  cluster: {server: 'https://127.0.0.1:1'}\n- name: mine\n  cluster: " + cluster + "\nusers:\n- name: me\n  user: {token: sekret}\n"
	}
	for name, cluster := range map[string]string{
		"data": "{server: 'https://127.0.0.1:2', certificate-authority-data: " + data + "}",
		"file": "{server: 'https://127.0.0.1:2', certificate-authority: ca.crt}",
	} {
		got, err := localaws.ClusterFromKubeconfig("shop", write(name, config(cluster)))
		if diff := cmp.Diff(localaws.Cluster{Name: "shop", Endpoint: "https://127.0.0.1:2", CA: ca}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	for name, test := range map[string]struct{ text, want string }{
		"not YAML":      {"{sekret", "not a kubeconfig"},
		"no context":    {"apiVersion: v1\n", "names no cluster"},
		"no such file":  {config("{server: 'https://127.0.0.1:2', certificate-authority: gone.crt}"), "gone.crt"},
		"not base64":    {config("{server: 'https://127.0.0.1:2', certificate-authority-data: '!'}"), "not base64"},
		"no authority":  {config("{server: 'https://127.0.0.1:2'}"), "no certificate"},
		"plain HTTP":    {config("{server: 'http://127.0.0.1:2', certificate-authority-data: " + data + "}"), "not an https URL"},
		"much too long": {strings.Repeat("# x\n", 1<<19), "longer than"},
	} {
		_, err := localaws.ClusterFromKubeconfig("shop", write("bad", test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sekret") {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if _, err := localaws.ClusterFromKubeconfig("shop", filepath.Join(dir, "gone")); err == nil {
		t.Error("a file that is not there was read")
	}
}
