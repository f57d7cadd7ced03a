package helm

import (
	"fmt"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// collector adds what releases contain that nothing may show to the secrets of the run. A nil one collects nothing.
type collector struct {
	secrets *text.Secrets
	seen    sync.Map // revisions that were searched, as "namespace/name/number/status"
}

// publish excludes the values that identify a deployment from redaction, even if an environment variable has the same value.
func (c *collector) publish(deployment release.Deployment) {
	if c == nil {
		return
	}
	c.secrets.Publish(deployment.Name, deployment.Namespace, deployment.Environment.String(), deployment.Commit.String(), deployment.Chart)
	for _, built := range deployment.Images {
		image := built.Image
		c.secrets.PublishIdentities(built.Commit.String(), image.String(), image.Repository.String(), image.Repository.Host(), image.Digest.String(), strings.TrimPrefix(image.Digest.String(), "sha256:"))
		c.secrets.Publish(built.Aliases...)
	}
	c.secrets.Publish(deployment.ValuesFiles...)
}

// given adds the values of a deployment: all of them if an error may quote any, else those that the chart's schema or their names say
// are secret.
func (c *collector) given(deployment release.Deployment, loaded *chart.Chart, err error) {
	if c == nil || c.secrets == nil {
		return
	}
	if loaded != nil {
		c.secrets.Add(loaded.SecretValues()...)
		c.named(loaded.Values)
	}
	if err == nil {
		return
	}
	c.secrets.AddPossible(chart.Quotable(deployment)...)
}

// named adds the strings among values whose names say that they are secret.
func (c *collector) named(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if text.NamesSecret(name) {
				c.strings(inner)
			} else {
				c.named(inner)
			}
		}
	case []any:
		for _, item := range value {
			c.named(item)
		}
	}
}

// strings adds all strings in a value, without those that say where a secret is.
func (c *collector) strings(value any) {
	switch value := value.(type) {
	case string:
		c.secrets.AddPossible(value)
	case map[string]any:
		for name, inner := range value {
			if !text.NamesPlace(name) {
				c.strings(inner)
			}
		}
	case []any:
		for _, item := range value {
			c.strings(item)
		}
	}
}

// revision adds what a revision's objects and hooks contain.
func (c *collector) revision(revision *helmrelease.Release) {
	if c == nil || c.secrets == nil || revision.Info == nil {
		return
	}
	id := fmt.Sprintf("%s/%s/%d/%s/%d", revision.Namespace, revision.Name, revision.Version, revision.Info.LastDeployed, len(revision.Manifest))
	if _, searched := c.seen.LoadOrStore(id, true); searched {
		return
	}
	described := history.Describe(revision, history.Entry{})
	c.secrets.PublishIdentities(described.Commit.String(), described.Digest.String())
	c.rendered(revision.Manifest, revision.Hooks)
	c.named(revision.Config)
}

// rendered adds what a manifest and hooks contain. A document that cannot be parsed is searched line by line.
func (c *collector) rendered(objects string, hooks []*helmrelease.Hook) {
	if c == nil || c.secrets == nil {
		return
	}
	texts := []string{objects}
	for _, hook := range hooks {
		texts = append(texts, hook.Manifest)
	}
	for _, one := range texts {
		parsed, err := manifest.Parse(one)
		if err != nil {
			c.secrets.AddPossible(text.Scalars(one)...)
			continue
		}
		secret, possible := manifest.Secrets(parsed)
		c.secrets.Add(secret...)
		c.secrets.AddPossible(possible...)
	}
}

// redact redacts a text that is recorded.
func (c *collector) redact(text string) string {
	if c == nil {
		return text
	}
	return c.secrets.Redact(text)
}
