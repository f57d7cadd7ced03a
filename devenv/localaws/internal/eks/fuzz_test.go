package eks

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
)

// FuzzTokenReview: no token and no question makes the webhook panic or is authenticated; a parsed token is always a GetCallerIdentity.
func FuzzTokenReview(f *testing.F) {
	address := "http://127.0.0.1:1/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIALOCALAWSEXAMPLE0" +
		"%2F20260101%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=00"
	for _, seed := range []string{
		"", "k8s-aws-v1.", address, strings.Replace(address, "GetCallerIdentity", "AssumeRole", 1), "http://[", "http://a:b@c/?", "/?Action=%zz",
		strings.Replace(address, "X-Amz-Date=20260101T000000Z", "X-Amz-Date=", 1), strings.Replace(address, "/?", "/a/../?", 1),
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	api := New(Options{
		Account: "000000000000", Region: "us-east-1", Principal: "arn:aws:iam::000000000000:user/localaws", TokenLife: time.Minute, Now: time.Now,
		Verifier: sigv4.Verifier{AccessKeyID: "AKIALOCALAWSEXAMPLE0", SecretAccessKey: "secret", Region: "us-east-1"},
		URL:      func() string { return "" },
	})
	if err := api.PutCluster(Cluster{Name: "shop", Status: ClusterPending, Access: []AccessEntry{{}}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, encode bool) {
		if encode {
			text = tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(text))
		}
		if address, err := parseToken(text); err == nil && (address.Query().Get("Action") != "GetCallerIdentity" || address.Path != "/" || address.User != nil) {
			t.Errorf("%q was read as %s", text, address)
		}
		question, err := json.Marshal(tokenReview{APIVersion: reviewVersion, Kind: reviewKind, Spec: reviewSpec{Token: text}})
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{string(question), text} {
			answer := httptest.NewRecorder()
			api.ServeTokenReview(answer, httptest.NewRequest(http.MethodPost, ReviewPath("shop"), strings.NewReader(body)), "shop")
			if answer.Code >= 500 || strings.Contains(answer.Body.String(), `"authenticated":true`) {
				t.Errorf("%q got %d %s", body, answer.Code, answer.Body)
			}
		}
	})
}
