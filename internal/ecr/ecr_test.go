package ecr

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	commit     = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
	production = "production-" + commit
	mediaType  = "application/vnd.oci.image.index.v1+json"
)

func start(t *testing.T) (*localawstest.Server, *Client) {
	t.Helper()
	server := localawstest.Start(t)
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

// index is a manifest that needs no blobs.
func index(name string) (text []byte, digest release.Digest) {
	text = fmt.Appendf(nil, "{\n \"schemaVersion\": 2, \"mediaType\": %q, \"manifests\": [], \"annotations\": {%q: %q, \"name\": %q}}",
		mediaType, release.AnnotationRevision, commit, name)
	return text, release.DigestOf(text)
}

func put(t *testing.T, c *Client, repo release.Repository, name string, tag release.Tag) release.Digest {
	t.Helper()
	text, digest := index(name)
	if err := c.PutTag(t.Context(), repo, text, mediaType, digest, tag); err != nil {
		t.Fatal(err)
	}
	return digest
}

func holds(t *testing.T, c *Client, repo release.Repository, tag release.Tag, want release.Digest) {
	t.Helper()
	if got, err := c.tagDigest(t.Context(), repo, tag); err != nil || got != want {
		t.Errorf("tag %q names %q, %v, want %q", tag, got, err, want)
	}
}

// Promotion inside one repository: inspect, tag, inspect.
func TestRetag(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.RepositoryWith("team/shop", localaws.TagRule{Mutability: localaws.Immutable})
	digest := put(t, c, repo, "one", commit)
	server.ResetRequests()
	state, err := c.Inspect(t.Context(), repo, digest, production)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := index("one")
	if !state.Found || !bytes.Equal(state.Manifest, text) || state.MediaType != mediaType || state.Revision != commit || !state.TagDigest.IsZero() {
		t.Errorf("state: %+v", state)
	}
	if err := c.PutTag(t.Context(), repo, state.Manifest, state.MediaType, digest, production); err != nil {
		t.Fatal(err)
	}
	if state, err = c.Inspect(t.Context(), repo, digest, production); err != nil || state.TagDigest != digest || !state.Found {
		t.Errorf("after: %+v, %v", state, err)
	}
	if got := len(server.Requests()); got != 3 {
		t.Errorf("made %d requests, want 3: %v", got, server.Requests())
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	one, two := put(t, c, repo, "one", "one"), put(t, c, repo, "two", "two")
	_, gone := index("gone")
	for name, test := range map[string]struct {
		digest release.Digest
		tag    release.Tag
		found  bool
		holds  release.Digest
	}{
		"own tag":     {one, "one", true, one},
		"other's tag": {one, "two", true, two},
		"free tag":    {two, "three", true, release.Digest{}},
		"no image":    {gone, "one", false, one},
		"nothing":     {gone, "three", false, release.Digest{}},
	} {
		state, err := c.Inspect(t.Context(), repo, test.digest, test.tag)
		if err != nil || state.Found != test.found || state.TagDigest != test.holds {
			t.Errorf("%s: got %+v, %v", name, state, err)
		}
	}
}

// If the digest and the tag name the same image, ECR may return it once; the tag must not count as free then.
func TestInspectReadsAnOmittedTag(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	digest := put(t, c, repo, "one", "one")
	text, _ := index("one")
	server.Inject(localaws.Fault{Route: localaws.RouteBatchGetImage, Times: 1, Do: localaws.Answer(200, http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		fmt.Sprintf(`{"images":[{"imageId":{"imageDigest":%q},"imageManifest":%q,"imageManifestMediaType":%q}],"failures":[]}`, digest, text, mediaType))})
	state, err := c.Inspect(t.Context(), repo, digest, "one")
	if err != nil || state.TagDigest != digest || !state.Found {
		t.Errorf("got %+v, %v", state, err)
	}
}

// R4, by the API's own errors.
func TestPutTagTwice(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]localaws.TagRule{"immutable": {Mutability: localaws.Immutable}, "mutable": {}} {
		server, c := start(t)
		repo := server.RepositoryWith("shop", rule)
		one := put(t, c, repo, "one", production)
		text, _ := index("one")
		if err := c.PutTag(t.Context(), repo, text, mediaType, one, production); err != nil {
			t.Errorf("%s: the same digest: %v", name, err)
		}
		other, two := index("two")
		err := c.PutTag(t.Context(), repo, other, mediaType, two, production)
		var taken *release.TagTakenError
		switch {
		case rule.Mutability == localaws.Immutable && (!errors.As(err, &taken) || taken.Holds != one || taken.Wanted != two || taken.Tag != production):
			t.Errorf("%s: another digest: %v", name, err)
		case rule.Mutability == "" && err != nil:
			t.Errorf("%s: another digest: %v", name, err)
		}
		if rule.Mutability == localaws.Immutable {
			two = one
		}
		holds(t, c, repo, production, two)
	}
}

func TestPutTagRetries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do    localaws.Action
		times int
	}{
		"R2: throttled":          {localaws.ThrottlingException(), 2},
		"R1: 429":                {localaws.Throttle(0), 2},
		"R3: the answer is lost": {localaws.LoseAnswer(), 1},
		"ECR fails":              {localaws.APIError(500, "ServerException", "oops"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := start(t)
			repo := server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
			injected := server.Inject(localaws.Fault{Route: localaws.RoutePutImage, Times: test.times, Do: test.do})
			digest := put(t, c, repo, "one", production)
			if got := injected.Hits(); got != test.times {
				t.Errorf("the fault hit %d times, want %d", got, test.times)
			}
			holds(t, c, repo, production, digest)
		})
	}
}

// H6: bytes that are not the digest's are neither believed nor written.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	text, digest := index("one")
	if err := c.PutTag(t.Context(), repo, append(text, ' '), mediaType, digest, "one"); err == nil || !strings.Contains(err.Error(), "do not use this image") {
		t.Errorf("PutTag: got %v", err)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
	for name, test := range map[string]struct{ body, want string }{
		"other bytes": {fmt.Sprintf(`{"images":[{"imageId":{"imageDigest":%q,"imageTag":"one"},"imageManifest":"{}"}]}`, digest), "ECR returned bytes of sha256:"},
		"no digest":   {`{"images":[{"imageId":{"imageTag":"one"},"imageManifest":"{}"}]}`, "is not a digest"},
		"failure":     {`{"failures":[{"failureCode":"KmsError","failureReason":"key is\u001b[2J gone"}]}`, "KmsError: key is gone"},
		"5 MiB":       {fmt.Sprintf(`{"images":[{"imageId":{"imageDigest":%q,"imageTag":"one"},"imageManifest":%q}]}`, digest, strings.Repeat("a", 5<<20)), "limit 4194304"},
	} {
		injected := server.Inject(localaws.Fault{Route: localaws.RouteBatchGetImage, Do: localaws.Answer(200, http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, test.body)})
		state, err := c.Inspect(t.Context(), repo, digest, "one")
		if err == nil || !strings.Contains(err.Error(), test.want) || state.Found {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
		injected.Remove()
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	host := server.Address()
	owned, err := c.Owns(t.Context(), host)
	if err != nil || !owned {
		t.Fatalf("the endpoint's registry: got %t, %v", owned, err)
	}
	for other, want := range map[string]bool{"ghcr.io": false, "127.0.0.1:1": false, "123456789012.dkr.ecr.eu-central-1.amazonaws.com": true} {
		if got, err := c.Owns(t.Context(), other); err != nil || got != want {
			t.Errorf("%s: got %t, %v", other, got, err)
		}
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			username, password, expires, err := c.Credentials(t.Context(), host)
			if err != nil || username != "AWS" || password == "" || time.Until(expires) < 11*time.Hour {
				t.Errorf("got %q, %d characters, %s, %v", username, len(password), expires, err)
			}
		})
	}
	group.Wait()
	if got := server.Count(localaws.RouteGetAuthorizationToken, ""); got != 1 {
		t.Errorf("asked for %d tokens, want 1", got)
	}
	_, before, _, err := c.Credentials(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	c.Forget(host)
	_, after, _, err := c.Credentials(t.Context(), host)
	if err != nil || after == before {
		t.Errorf("after Forget: the same token, %v", err)
	}
}

func TestOwnsWithoutEndpointSendsNoRequest(t *testing.T) {
	t.Parallel()
	c := connect(t, map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
	if owned, err := c.Owns(t.Context(), "127.0.0.1:1"); err != nil || owned {
		t.Errorf("got %t, %v", owned, err)
	}
}

// A token that is about to end is not handed out again.
// A host that is named like ECR's under another domain may be an emulator's: the endpoint says whether it is.
func TestOwnsAsksAboutHostsNamedLikeECR(t *testing.T) {
	t.Parallel()
	const host = "000000000000.dkr.ecr.us-east-1.localhost.emulator.example:4566"
	var asked atomic.Int32
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":"https://`+host+`"}]}`,
			base64.StdEncoding.EncodeToString([]byte("AWS:x")), time.Now().Add(12*time.Hour).Unix())
	}))
	defer endpoint.Close()
	c := connect(t, map[string]string{"AWS_ENDPOINT_URL": endpoint.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
	for other, want := range map[string]bool{host: true, "111111111111.dkr.ecr.us-east-1.elsewhere.example": false, "registry.example": false} {
		if owned, err := c.Owns(t.Context(), other); err != nil || owned != want {
			t.Errorf("%s: got %t, %v, want %t", other, owned, err, want)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the endpoint was asked %d times, want once", asked.Load())
	}
}

func TestCredentialsAreRenewedBeforeTheyExpire(t *testing.T) {
	t.Parallel()
	asked := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":"http://registry.example"}]}`,
			base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "AWS:token%d", asked)), time.Now().Add(10*time.Minute).Unix())
	}))
	defer api.Close()
	c := connect(t, map[string]string{"AWS_ENDPOINT_URL": api.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
	for i := range 2 {
		if _, password, _, err := c.Credentials(t.Context(), "registry.example"); err != nil || password != fmt.Sprintf("token%d", i+1) {
			t.Errorf("got %q, %v", password, err)
		}
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"none":         `{"authorizationData":[]}`,
		"not base64":   `{"authorizationData":[{"authorizationToken":"sekret!"}]}`,
		"no password":  `{"authorizationData":[{"authorizationToken":"QVdTOg=="}]}`,
		"no separator": `{"authorizationData":[{"authorizationToken":"c2VrcmV0"}]}`,
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = fmt.Fprint(w, body)
		}))
		c := connect(t, map[string]string{"AWS_ENDPOINT_URL_ECR": api.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})
		_, _, _, err := c.Credentials(t.Context(), "registry.example")
		if err == nil || release.ExitCode(err) != release.ExitFault || strings.Contains(err.Error(), "sekret") || strings.Contains(err.Error(), "c2Vr") {
			t.Errorf("%s: got %v", name, err)
		}
		api.Close()
	}
}

// An error says what was attempted, AWS's code and message in one line, and what to do.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   localaws.Action
		want []string
	}{
		"denied": {
			localaws.APIError(400, "AccessDeniedException", "User: arn:aws:iam::000000000000:user/x is not authorized to perform: ecr:BatchGetImage\n##[error]x"),
			[]string{"AccessDeniedException: User: arn:aws:iam::000000000000:user/x is not authorized to perform: ecr:BatchGetImage ##\\[error]x", "allow ecr:BatchGetImage in the role's policy"},
		},
		"expired": {localaws.APIError(400, "ExpiredTokenException", "The security token included in the request is expired"), []string{"credentials have expired: get new ones"}},
		"unknown": {localaws.APIError(400, "UnrecognizedClientException", "The security token included in the request is invalid."), []string{"AWS does not know these credentials"}},
		"other":   {localaws.APIError(400, "InvalidParameterException", "no"), []string{"InvalidParameterException: no"}},
	} {
		server, c := start(t)
		repo := server.Repository("shop")
		injected := server.Inject(localaws.Fault{Route: localaws.RouteBatchGetImage, Do: test.do})
		_, digest := index("one")
		_, err := c.Inspect(t.Context(), repo, digest, production)
		var fault *release.Fault
		if !errors.As(err, &fault) || fault.Side != "AWS" || release.ExitCode(err) != release.ExitFault {
			t.Errorf("%s: got %v, want a fault of AWS", name, err)
			continue
		}
		for _, want := range append(test.want, fmt.Sprintf("reading %q and tag %q", repo.At(digest), production)) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to say %q", name, err, want)
			}
		}
		if strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("%s: %q is not one line", name, err)
		}
		if injected.Hits() != 1 {
			t.Errorf("%s: asked %d times, want once", name, injected.Hits())
		}
	}
}

func TestFaultsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	_, digest := index("one")
	nowhere := release.Repository(server.Address() + "/nowhere")
	if _, err := c.Inspect(t.Context(), nowhere, digest, production); err == nil || !strings.Contains(err.Error(), "RepositoryNotFoundException") || !strings.Contains(err.Error(), "create the repository") {
		t.Errorf("no repository: got %v", err)
	}
	wrong := server.EnvMap()
	wrong["AWS_SECRET_ACCESS_KEY"] = "wrong"
	if _, err := connect(t, wrong).Inspect(t.Context(), server.Repository("shop"), digest, production); err == nil || !strings.Contains(err.Error(), "AWS does not know these credentials") {
		t.Errorf("wrong key: got %v", err)
	}
	listener := httptest.NewServer(http.NotFoundHandler())
	listener.Close()
	away := server.EnvMap()
	away["AWS_ENDPOINT_URL_ECR"] = listener.URL
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, _, _, err := connect(t, away).Credentials(ctx, server.Address()); err == nil || release.ExitCode(err) != release.ExitFault {
		t.Errorf("nobody listens: got %v", err)
	}
}

// Without credentials no request is sent, and the error says what to do. The test does not run in parallel, since the SDK
// reads from the process's environment what the given one leaves out.
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
	_, _, _, err := connect(t, environment).Credentials(t.Context(), server.Address())
	if err == nil || !strings.Contains(err.Error(), "give AWS credentials") || release.ExitCode(err) != release.ExitFault {
		t.Errorf("no credentials: got %v", err)
	}
	delete(environment, "AWS_REGION")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"] = "x", "y"
	_, _, _, err = connect(t, environment).Credentials(t.Context(), server.Address())
	if err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("no region: got %v", err)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
}

// TestThrottledForEver: a request that ECR throttles for two minutes is given up, but not while it serves others.
func TestThrottledForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log []string
		c := &Client{pacers: map[location]*pacer{}, log: func(line string) { log = append(log, line) }}
		throttle := func(context.Context) error {
			return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
		}
		began := time.Now()
		err := c.paced(t.Context(), location{}, throttle)
		var fault *release.Fault
		if !errors.As(err, &fault) || fault.Do == "" || !strings.Contains(err.Error(), "ThrottlingException") {
			t.Errorf("got %v", err)
		}
		if passed := time.Since(began); passed < throttledPatience || passed > throttledPatience+10*time.Second {
			t.Errorf("it was given up after %s", passed)
		}
		if len(log) != 1 {
			t.Errorf("the log is %q, want one line", log)
		}
		began = time.Now()
		var group sync.WaitGroup
		group.Go(func() {
			for time.Since(began) < 10*time.Minute {
				time.Sleep(time.Minute)
				if err := c.paced(t.Context(), location{}, func(context.Context) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		err = c.paced(t.Context(), location{}, func(ctx context.Context) error {
			if time.Since(began) > 5*time.Minute {
				return nil
			}
			return throttle(ctx)
		})
		if err != nil {
			t.Errorf("while others are served: %v", err)
		}
		group.Wait()
	})
}

// TestPutTagOverTheQuota: nothing is lost, however many requests ECR throttles.
func TestPutTagOverTheQuota(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	server.SetQuotas(map[localaws.Route]localaws.Quota{localaws.RoutePutImage: {PerSecond: 40, Burst: 2}})
	text, digest := index("one")
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			if err := c.PutTag(t.Context(), repo, text, mediaType, digest, release.Tag(fmt.Sprint("t", i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if server.Throttled(localaws.RoutePutImage) == 0 {
		t.Error("nothing was throttled")
	}
	for i := range 30 {
		holds(t, c, repo, release.Tag(fmt.Sprint("t", i)), digest)
	}
}
