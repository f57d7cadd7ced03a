package kube

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// respondStatus answers with an API error; reason "" is the one that goes with the code.
func respondStatus(w http.ResponseWriter, code int, reason string) {
	if reason == "" {
		reason = map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError", 503: "ServiceUnavailable"}[code]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"the test's %s"}`, reason, code, reason)
}

// receive waits for a value.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("no %s within %s", what, patience)
		panic("unreachable")
	}
}
