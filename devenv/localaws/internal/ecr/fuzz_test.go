package ecr

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/sigv4"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
)

// FuzzAPI: no body or operation makes a call panic or answer 500, and an unsigned call is refused.
func FuzzAPI(f *testing.F) {
	for operation := range operations {
		f.Add(operation, []byte(`{"repositoryName":"shop","imageIds":[{"imageTag":"a"}],"imageManifest":"{}"}`))
		f.Add(operation, []byte(`{"maxResults":-1,"nextToken":"AA","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION"}`))
	}
	f.Add("None", []byte(`[`))
	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		images, err := store.Open("", "000000000000", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := images.Create("shop", store.TagRule{Mutability: store.Mutable}); err != nil {
			t.Fatal(err)
		}
		api := New("000000000000", "us-east-1", sigv4.Verifier{AccessKeyID: "id", SecretAccessKey: "secret", Region: "us-east-1"}, images,
			func() (string, time.Time) { return "password", time.Now() })
		if perform, known := operations[operation]; known {
			if _, err := perform(api, "localhost", body); err != nil && awsapi.AsError(err).Status >= 500 {
				t.Errorf("%s with %q: %v", operation, body, err)
			}
		}
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		request.Header.Set("X-Amz-Target", Target+"."+operation)
		request.Header.Set("Authorization", string(body))
		answer := httptest.NewRecorder()
		api.Serve(answer, request, "ecr", operation)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Errorf("an unsigned %q got %d", operation, answer.Code)
		}
	})
}
