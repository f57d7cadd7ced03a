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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// collector adds the secret values of charts and releases to the secrets of the run, which are redacted. A nil collector adds none.
type collector struct {
	secrets *text.Secrets
	seen    sync.Map // revisions that were searched, as "namespace/name/number/status"
}

// markPublic excludes the values that identify a deployment from redaction, even if an environment variable has the same value.
func (c *collector) markPublic(deployment release.Deployment) {
	if c == nil {
		return
	}
	c.secrets.MarkPublicIdentities(deployment.Name, deployment.Namespace, deployment.Environment.String())
	c.secrets.MarkPublic(deployment.Commit.String(), deployment.Chart)
	for _, built := range deployment.Images {
		image := built.Image
		c.secrets.MarkPublicIdentities(built.Commit.String(), image.String(), image.Repository.String(), image.Repository.Host(), image.Digest.String(), strings.TrimPrefix(image.Digest.String(), "sha256:"))
		c.secrets.MarkPublic(built.Aliases...)
	}
	c.secrets.MarkPublic(deployment.ValuesFiles...)
}

// addDeployment adds the values of a deployment: those that the chart's schema or their names say are secret, and all of them if there is
// an error, which may quote any value.
func (c *collector) addDeployment(deployment release.Deployment, loaded *chart.Chart, err error) {
	if c == nil || c.secrets == nil {
		return
	}
	if loaded != nil {
		c.secrets.MarkPublicNames(loaded.Chart.Name())
		c.secrets.MarkPlain(loaded.Defaults()...)
		c.secrets.Add(loaded.SecretValues()...)
		c.addNamedSecrets(loaded.Values)
	}
	if err == nil {
		return
	}
	c.secrets.AddPossible(chart.Quotable(deployment)...)
}

// addNamedSecrets adds the strings below those keys of a value whose names say that they hold a secret.
func (c *collector) addNamedSecrets(value any) { c.secrets.AddPossible(chart.NamedSecrets(value)...) }

// addRevision adds what a revision's objects and hooks contain.
func (c *collector) addRevision(revision *helmrelease.Release) {
	if c == nil || c.secrets == nil || revision.Info == nil {
		return
	}
	id := fmt.Sprintf("%s/%s/%d/%s/%d", revision.Namespace, revision.Name, revision.Version, revision.Info.LastDeployed, len(revision.Manifest))
	if _, searched := c.seen.LoadOrStore(id, true); searched {
		return
	}
	described := history.Describe(revision, history.Entry{})
	c.secrets.MarkPublicIdentities(described.Commit.String(), described.Digest.String())
	c.addManifests(revision.Manifest, revision.Hooks)
	c.addNamedSecrets(revision.Config)
}

// addManifests adds what a manifest and hooks contain. A document that cannot be parsed is searched line by line.
func (c *collector) addManifests(objects string, hooks []*helmrelease.Hook) {
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
		for _, object := range parsed {
			c.secrets.MarkPublicNames(nameOf(object))
			c.secrets.MarkReferences(manifest.Images(object)...)
		}
		secret, possible := manifest.Secrets(parsed)
		c.secrets.Add(secret...)
		c.secrets.AddPossible(possible...)
	}
}

// nameOf returns an object's name if Kubernetes would accept it, otherwise "".
func nameOf(object map[string]any) string {
	name := (&unstructured.Unstructured{Object: object}).GetName()
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return ""
	}
	return name
}

// redact redacts a text that is recorded.
func (c *collector) redact(text string) string {
	if c == nil {
		return text
	}
	return c.secrets.Redact(text)
}
