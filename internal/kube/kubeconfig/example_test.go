package kubeconfig_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubeconfig"
)

// A cluster that takes short-lived tokens is asked for the platform of a node.
func ExampleBearer() {
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Node","apiVersion":"v1","metadata":{"name":"node-1"},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"arm64"}}}`)
	}))
	defer cluster.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})

	client, err := kube.New(kubeconfig.Bearer(cluster.URL, ca, func(context.Context) (string, time.Time, error) {
		return "token-1", time.Now().Add(14 * time.Minute), nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	platform, err := client.NodePlatform(context.Background(), "node-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(platform)
	// Output:
	// Bearer token-1
	// linux/arm64
}
