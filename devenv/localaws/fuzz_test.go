package localaws

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// FuzzParseManifest: no manifest, however made, breaks the parser, and what it accepts it can keep and read again.
func FuzzParseManifest(f *testing.F) {
	none := "sha256:" + strings.Repeat("0", 64)
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{"schemaVersion":2}`, `{"schemaVersion":1,"fsLayers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"` + none + `","size":1},"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"` + none + `"}],"subject":{"digest":"` + none + `"}}`,
		`{"schemaVersion":2,"config":{"digest":"sha512:0"},"layers":[{"size":-1}]}`,
		`{"schemaVersion":2,"subject":null,"annotations":{"a":1}}`, strings.Repeat(`{"a":`, 1000),
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), ociManifestType+"; charset=utf-8")
	}
	f.Fuzz(func(t *testing.T, body []byte, mediaType string) {
		parsed, err := parseManifest(body, mediaType)
		if err != nil {
			return
		}
		if parsed.digest.IsZero() || len(parsed.body) != len(body) || parsed.size < 0 && len(parsed.blobs) == 0 {
			t.Errorf("accepted as %+v", parsed)
		}
		again, err := parseManifest(parsed.body, string(parsed.mediaType))
		if err != nil || again.digest != parsed.digest {
			t.Errorf("accepted once, then %v", err)
		}
	})
}

// FuzzAPI: no body, target or path of a signed or unsigned call breaks the server or makes it answer 500.
func FuzzAPI(f *testing.F) {
	for operation := range jsonOperations[ecrService] {
		f.Add(operation, []byte(`{"repositoryName":"shop","imageIds":[{"imageTag":"a"}],"imageManifest":"{}"}`))
		f.Add(operation, []byte(`{"maxResults":-1,"nextToken":"AA","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION"}`))
	}
	f.Add("None", []byte(`[`))
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		server, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = server.Close() }()
		if err := server.CreateRepository("shop", TagRule{}); err != nil {
			t.Fatal(err)
		}
		if perform, known := jsonOperations[ecrService][operation]; known {
			if _, err := perform(server, "localhost", body); err != nil && asAPIError(err).status >= 500 {
				t.Errorf("%s with %q: %v", operation, body, err)
			}
		}
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		request.Header.Set("X-Amz-Target", ecrTarget+"."+operation)
		request.Header.Set("Authorization", string(body))
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, request)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Errorf("an unsigned %q got %d", operation, answer.Code)
		}
	})
}

// FuzzRegistryPath: no path breaks the server or is answered 500; a path that names a part names a repository too.
func FuzzRegistryPath(f *testing.F) {
	for _, seed := range []string{
		"/v2/shop/manifests/a", "/v2/shop/blobs/uploads/", "/v2/shop/blobs/uploads", "/v2/a/b/tags/list", "/v2//manifests/",
		"/v2/shop/referrers/sha256:0", "/v2/blobs/blobs/blobs", "/v2/../v2/x", "/v2/shop/blobs/uploads/x/y",
	} {
		f.Add(seed, "GET")
		f.Add(seed, "PUT")
	}
	server, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := server.CreateRepository("shop", TagRule{}); err != nil {
		f.Fatal(err)
	}
	methods := regexp.MustCompile(`^[A-Z]{1,10}$`)
	f.Fuzz(func(t *testing.T, path, method string) {
		if !methods.MatchString(method) {
			return
		}
		request := httptest.NewRequest(method, "/", nil)
		request.URL.Path = path
		request.SetBasicAuth("AWS", server.IssueToken())
		if named := parseCall(request); named.route.registry() && named.route != RoutePing && named.route != RouteOther && named.repository == "" {
			t.Errorf("%q names %+v", path, named)
		}
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, request)
		if answer.Code >= 500 {
			t.Errorf("%s %q got %d %s", method, path, answer.Code, answer.Body)
		}
	})
}

// FuzzTokenReview: no token and no question breaks the webhook or is taken for anybody's; what is read as a token leads to
// GetCallerIdentity only.
func FuzzTokenReview(f *testing.F) {
	address := "http://127.0.0.1:1/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + DefaultAccessKeyID +
		"%2F20260101%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=00"
	for _, seed := range []string{
		"", "k8s-aws-v1.", address, strings.Replace(address, "GetCallerIdentity", "AssumeRole", 1), "http://[", "http://a:b@c/?", "/?Action=%zz",
		strings.Replace(address, "X-Amz-Date=20260101T000000Z", "X-Amz-Date=", 1), strings.Replace(address, "/?", "/a/../?", 1),
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	server, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := server.PutCluster(Cluster{Name: "shop", Status: ClusterPending, Access: []AccessEntry{{}}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, encode bool) {
		if encode {
			text = clusterTokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(text))
		}
		if address, err := readClusterToken(text); err == nil && (address.Query().Get("Action") != "GetCallerIdentity" || address.Path != "/" || address.User != nil) {
			t.Errorf("%q was read as %s", text, address)
		}
		question, err := json.Marshal(tokenReview{APIVersion: reviewVersion, Kind: reviewKind, Spec: reviewSpec{Token: text}})
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{string(question), text} {
			answer := httptest.NewRecorder()
			server.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, ReviewPath("shop"), strings.NewReader(body)))
			if answer.Code >= 500 || strings.Contains(answer.Body.String(), `"authenticated":true`) {
				t.Errorf("%q got %d %s", body, answer.Code, answer.Body)
			}
		}
	})
}

// FuzzWildcard holds the matcher to a regular expression's answer.
func FuzzWildcard(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b*a", "aba"}, {"ab*ba", "aba"}, {"**", "x"}, {"a", "b"}, {"*a*a*", "xaya"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, tag string) {
		if !filterPattern.MatchString(filter) {
			return
		}
		if _, err := release.ParseTag(tag); err != nil {
			return
		}
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(filter), `\*`, ".*") + "$").MatchString(tag)
		if got := wildcard(filter, tag); got != want {
			t.Errorf("wildcard(%q, %q) = %t, want %t", filter, tag, got, want)
		}
	})
}
