package probe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/onedigest/onedigest/internal/probe"
)

func ExampleLoadChecks() {
	checks, err := probe.LoadChecks("checks.yaml", []byte("checks:\n  - path: /healthz\n    body-contains: ok\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(checks[0].Name, checks[0].Status, checks[0].BodyContains)

	_, err = probe.LoadChecks("checks.yaml", []byte("checks:\n  - path: healthz\n"))
	fmt.Println(err)
	// Output:
	// GET /healthz 200 [ok]
	// checks.yaml:2:11: path "healthz" does not start with /; write it as /healthz or /search?q=1
}

func ExampleProber_Probe() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Commit", "4f2c1d")
		fmt.Fprint(w, `{"environment":"qa"}`)
	}))
	defer server.Close()
	checks, err := probe.LoadChecks("checks.yaml", []byte("checks:\n  - path: /configs\n    json: {$.environment: staging}\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := probe.New(probe.Options{}).Probe(context.Background(), probe.Target{Base: server.URL}, checks[0])
	fmt.Println(answer.Stage, answer.Commit)
	fmt.Println(answer.Wrong[0])
	// Output:
	// check 4f2c1d
	// json $.environment: expected "staging", got "qa"
}
