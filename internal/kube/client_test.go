package kube

import (
	"testing"

	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"k8s.io/klog/v2"
)

// TestClientGoLogsNothing: its lines would be printed among those of the run.
func TestClientGoLogsNothing(t *testing.T) {
	t.Parallel()
	if _, err := New(kubetest.New(t).Config()); err != nil {
		t.Fatal(err)
	}
	if sink := klog.Background().GetSink(); sink != nil {
		t.Errorf("it logs to %T", sink)
	}
}
