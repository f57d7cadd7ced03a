package chart

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
)

// Cache stores charts between check and deploy, so that the checked files are deployed, and are read once. The zero value is
// ready to use, by several goroutines at once.
type Cache struct {
	mu     sync.Mutex
	charts map[string]*Chart
}

// cacheKey identifies a deployment. Run, actor, commits and whether a plan is followed are not part of it, because the
// chart does not depend on them.
func cacheKey(deployment release.Deployment) string {
	deployment.RunURL, deployment.Actor, deployment.Commit, deployment.AsPlanned = "", "", "", false
	deployment.Images = slices.Clone(deployment.Images)
	for i := range deployment.Images {
		deployment.Images[i].Commit = ""
	}
	text, _ := json.Marshal(deployment) // cannot fail: a deployment has only values that JSON can represent
	return string(text)
}

// Put stores the chart of a deployment. A nil cache stores nothing.
func (c *Cache) Put(deployment release.Deployment, chart *Chart) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.charts == nil {
		c.charts = map[string]*Chart{}
	}
	c.charts[cacheKey(deployment)] = chart
}

// Get returns the stored chart of a deployment, or loads it. Its values contain the deployment's images.
func (c *Cache) Get(deployment release.Deployment) (*Chart, error) { return c.get(deployment, false) }

// Take returns the chart as Get does, and removes it from the cache: the next deploy reads the files again.
func (c *Cache) Take(deployment release.Deployment) (*Chart, error) { return c.get(deployment, true) }

// get returns the stored chart of a deployment with its images set, or loads it; remove takes it out of the cache.
func (c *Cache) get(deployment release.Deployment, remove bool) (chart *Chart, err error) {
	c.mu.Lock()
	chart = c.charts[cacheKey(deployment)]
	if remove {
		delete(c.charts, cacheKey(deployment))
	}
	c.mu.Unlock()
	if chart == nil {
		if chart, err = Load(deployment); err != nil {
			return nil, err
		}
	}
	_, err = chart.setImages(deployment) // Load has reported what is wrong
	return chart, err
}
