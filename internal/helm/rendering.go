package helm

import (
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

// keptRendering is a rendered revision with everything that it depends on. A rendering that has looked anything up in the cluster is not kept.
type keptRendering struct {
	deployment release.Deployment
	chart      *chart.Chart
	api        *clusterAPI
	revision   int
	install    bool
	rendered   *chart.Rendered
}

// isOf reports whether a rendering now would have the same input.
func (k *keptRendering) isOf(deployment release.Deployment, loaded *chart.Chart, api *clusterAPI, state history.State) bool {
	return k != nil && k.chart == loaded && k.api == api && k.revision == state.NextRevision() && k.install == state.Install && reflect.DeepEqual(k.deployment, deployment)
}

// render returns the next revision of a release as the client has rendered it before, so that what was checked is what is applied. It renders the
// revision if the client has not, or if the chart, the deployment, the cluster's API or the revision is another one, or if a template looked
// something up, which may have changed.
func (s *session) render(deployment release.Deployment, loaded *chart.Chart, state history.State) (*chart.Rendered, error) {
	found, _ := s.client.rendered.Load(releaseKey(deployment))
	if kept, _ := found.(*keptRendering); kept.isOf(deployment, loaded, s.api.Load(), state) {
		return kept.rendered, nil
	}
	asked := s.lookups.Load()
	rendered, err := s.renderUncached(deployment, loaded, state)
	if err == nil && s.lookups.Load() == asked {
		s.client.rendered.Store(releaseKey(deployment), &keptRendering{deployment, loaded, s.api.Load(), state.NextRevision(), state.Install, rendered})
	}
	return rendered, err
}

// renderUncached renders the next revision of a release, whatever was rendered before. It logs the warnings, and adds the secrets of the
// chart and its manifests to those that are redacted.
func (s *session) renderUncached(deployment release.Deployment, loaded *chart.Chart, state history.State) (*chart.Rendered, error) {
	rendered, err := loaded.RenderRevision(deployment, s.target(deployment, state))
	s.client.collector.addDeployment(deployment, loaded, err)
	if err == nil {
		s.client.collector.addManifests(rendered.Manifest, rendered.Hooks)
		for _, warning := range rendered.Warnings {
			s.client.logOnce("WARNING: " + warning)
		}
	}
	return rendered, err
}

// counting returns a configuration whose requests are counted.
func counting(config *rest.Config, requests *atomic.Int64) *rest.Config {
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			requests.Add(1)
			return next.RoundTrip(request)
		})
	})
	return counted
}
