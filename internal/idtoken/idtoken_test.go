package idtoken_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/idtoken"
)

// TestNoAnswer: the error of a service that does not answer leaves out its address, which has parameters of the job.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	address := server.URL + "/canary-path?canary=1"
	server.Close()
	environ := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": address, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-token"}
	_, err := idtoken.Request(t.Context(), func(name string) string { return environ[name] }, "audience")
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v; want why, without the address", err)
	}
}
