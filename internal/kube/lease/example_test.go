package lease_test

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/testing"
)

// A run holds the release "shop" while it deploys it.
func ExampleLeases_AcquireLease() {
	ctx := context.Background()
	cluster := newCluster()
	leases := lease.New(cluster.CoordinationV1(), "https://cluster.example.com")

	held, err := leases.AcquireLease(ctx, release.LeaseRequest{
		Release: "shop", Namespace: "staging", Duration: 30 * time.Second,
		Holder: release.Holder{Run: "4711/1", Actor: "alice"},
	}, func(line string) { fmt.Println(line) })
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := held.Context(ctx) // ends when another run takes the Lease
	defer cancel()

	object, _ := cluster.CoordinationV1().Leases("staging").Get(ctx, "onedigest-shop", meta.GetOptions{})
	fmt.Println("holder:", *object.Spec.HolderIdentity)

	if err := held.Release(ctx); err != nil {
		fmt.Println(err)
	}
	object, _ = cluster.CoordinationV1().Leases("staging").Get(ctx, "onedigest-shop", meta.GetOptions{})
	fmt.Println("released:", object.Spec.HolderIdentity == nil)
	// Output:
	// holder: 4711/1
	// released: true
}

// newCluster is client-go's fake, which gives objects no UID.
func newCluster() *fake.Clientset {
	cluster := fake.NewClientset()
	cluster.PrependReactor("create", "leases", func(action testing.Action) (bool, runtime.Object, error) {
		action.(testing.CreateAction).GetObject().(*coordination.Lease).UID = "1"
		return false, nil, nil
	})
	return cluster
}
