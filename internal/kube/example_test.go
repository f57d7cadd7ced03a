package kube_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
)

// A cluster that takes short-lived tokens is asked which images the release "shop" runs.
func ExampleBearer() {
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"shop-1"},"status":{"phase":"Running","containerStatuses":[
			{"name":"app","ready":true,"imageID":"example.com/shop@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}}]}`)
	}))
	defer cluster.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})

	client, err := kube.New(kube.Bearer(cluster.URL, ca, func(context.Context) (string, time.Time, error) {
		return "token-1", time.Now().Add(14 * time.Minute), nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	images, err := client.Images(context.Background(), "staging", "shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, image := range images {
		fmt.Println(image.Pod, image.Container, image.Digest, image.Ready)
	}
	// Output:
	// Bearer token-1
	// shop-1 app sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa true
}
