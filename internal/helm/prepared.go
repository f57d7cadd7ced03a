package helm

import (
	"encoding/json"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/chart"
)

// prepared is a chart with its values, checked.
type prepared struct {
	chart  *chart.Chart
	values map[string]any
}

// preparedCharts keeps what Check has read until it is deployed: what was checked is what is deployed, and is read once.
type preparedCharts struct {
	mu   sync.Mutex
	kept map[string]*prepared
}

// preparedKey names a deployment but for who deploys it.
func preparedKey(deployment release.Deployment) string {
	deployment.RunURL, deployment.Actor, deployment.Commit = "", "", ""
	text, _ := json.Marshal(deployment) // of strings
	return string(text)
}

func (p *preparedCharts) put(deployment release.Deployment, made *prepared) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil {
		p.kept = map[string]*prepared{}
	}
	p.kept[preparedKey(deployment)] = made
}

// get is what was kept of a deployment, or is read now. Deploy takes it away: the next one reads what there is then.
func (p *preparedCharts) get(deployment release.Deployment, take bool) (*prepared, error) {
	p.mu.Lock()
	key := preparedKey(deployment)
	made := p.kept[key]
	if take {
		delete(p.kept, key)
	}
	p.mu.Unlock()
	if made != nil {
		return made, nil
	}
	return load(deployment)
}

// runs remembers on whose behalf releases are worked on: a rollback is the same run's as the deploy that failed.
type runs struct {
	mu      sync.Mutex
	authors map[[2]string]author // by namespace and release
}

func (r *runs) remember(deployment release.Deployment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.authors == nil {
		r.authors = map[[2]string]author{}
	}
	r.authors[[2]string{deployment.Namespace, deployment.Name}] = author{deployment.RunURL, deployment.Actor}
}

func (r *runs) of(namespace, name string) author {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.authors[[2]string{namespace, name}]
}
