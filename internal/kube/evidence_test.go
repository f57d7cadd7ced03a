package kube

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	core "k8s.io/api/core/v1"
)

// TestALogIsReadAfterTheSecretsOfItsPod, each of which is read once: the client's transport then knows their values. A log is not shown if one of them
// may exist and could not be read.
func TestALogIsReadAfterTheSecretsOfItsPod(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code int // of every Secret
		want []string
	}{"they are read": {0, []string{"connecting"}}, "they may not be read": {http.StatusForbidden, []string{"connecting"}}, "no answer": {http.StatusInternalServerError, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			reading := pod("shop-1")
			reading.Spec.InitContainers = []core.Container{{EnvFrom: []core.EnvFromSource{{SecretRef: &core.SecretEnvSource{LocalObjectReference: core.LocalObjectReference{Name: "sources"}}}, {}}}}
			reading.Spec.Containers = []core.Container{{Env: []core.EnvVar{{Name: "A"}, {Name: "B", ValueFrom: &core.EnvVarSource{SecretKeyRef: &core.SecretKeySelector{LocalObjectReference: core.LocalObjectReference{Name: "variable"}}}}}}}
			reading.Spec.Volumes = []core.Volume{
				{VolumeSource: core.VolumeSource{Secret: &core.SecretVolumeSource{SecretName: "volume"}}},
				{VolumeSource: core.VolumeSource{Projected: &core.ProjectedVolumeSource{Sources: []core.VolumeProjection{{}, {Secret: &core.SecretProjection{LocalObjectReference: core.LocalObjectReference{Name: "projected"}}}}}}},
			}
			s.Put(reading)
			s.SetLog("shop-1/app", "connecting\n")
			s.SetLog("shop-1/app?previous", "connecting\n")
			if test.code != 0 {
				s.Break(func(r *http.Request) int {
					if strings.Contains(r.URL.Path, "/secrets/") {
						return test.code
					}
					return 0
				})
			}
			client := s.client()
			found := diagnose.Finding{Object: diagnose.PodObject(reading), Container: "app", Started: true, Runs: 1}
			for range 2 {
				if got := client.Diagnose(t.Context(), found).Logs; !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
			if test.want == nil {
				return
			}
			read := map[string]int{}
			for i, request := range s.Requests() {
				if name, is := strings.CutPrefix(request, "get /api/v1/namespaces/"+space+"/secrets/"); is {
					read[name]++
				}
				if strings.HasSuffix(request, "/log") && len(read) < 4 {
					t.Errorf("request %d is for the log after %v", i, read)
				}
			}
			if len(read) != 4 || read["sources"]+read["variable"]+read["volume"]+read["projected"] != 4 {
				t.Errorf("read %v, want each of four once", read)
			}
		})
	}
}
