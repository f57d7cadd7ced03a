package helm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The kinds that a pod can name.
const (
	kindSecret  = "Secret"
	kindConfig  = "ConfigMap"
	kindAccount = "ServiceAccount"
	kindClaim   = "PersistentVolumeClaim"
)

// podSpecs are the specs of the pods that an object makes, and of a pod itself.
func podSpecs(object map[string]any) (specs []map[string]any) {
	paths := [][]string{}
	if object["kind"] == "Pod" {
		paths = append(paths, []string{"spec"})
	}
	for _, template := range templates {
		paths = append(paths, below(template, "spec"))
	}
	for _, path := range paths {
		if spec, found, _ := unstructured.NestedMap(object, path...); found {
			specs = append(specs, spec)
		}
	}
	return specs
}

// referencesOf is everything that the pods of a workload name and cannot start without.
// Source: kubernetes.io, API reference, PodSpec, Container, Volume.
func referencesOf(object map[string]any, by release.Object) []release.Reference {
	g := gathering{by: by, seen: map[release.Reference]bool{}}
	for _, spec := range podSpecs(object) {
		g.account(spec)
		for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for _, container := range mapsIn(spec, list) {
				g.container(container)
			}
		}
		for _, volume := range mapsIn(spec, "volumes") {
			g.volume(volume)
		}
		for _, secret := range mapsIn(spec, "imagePullSecrets") {
			g.add(kindSecret, secret["name"], nil, nil)
		}
	}
	return g.list
}

type gathering struct {
	by   release.Object
	seen map[release.Reference]bool
	list []release.Reference
}

func (g *gathering) add(kind string, name, key, optional any) {
	one := release.Reference{Kind: kind, By: g.by, Optional: optional == true}
	one.Name, _ = name.(string)
	one.Key, _ = key.(string)
	if one.Name != "" && !g.seen[one] {
		g.seen[one] = true
		g.list = append(g.list, one)
	}
}

// account is the service account; every namespace has the default one.
func (g *gathering) account(spec map[string]any) {
	name := spec["serviceAccountName"]
	if name == nil {
		name = spec["serviceAccount"] // as it was called before
	}
	if name != "default" {
		g.add(kindAccount, name, nil, nil)
	}
}

func (g *gathering) container(container map[string]any) {
	for _, variable := range mapsIn(container, "env") {
		from, _ := variable["valueFrom"].(map[string]any)
		g.keyed(kindSecret, from["secretKeyRef"])
		g.keyed(kindConfig, from["configMapKeyRef"])
	}
	for _, from := range mapsIn(container, "envFrom") {
		g.keyed(kindSecret, from["secretRef"])
		g.keyed(kindConfig, from["configMapRef"])
	}
}

// keyed is a reference to a key, or to all of them.
func (g *gathering) keyed(kind string, reference any) {
	if fields, is := reference.(map[string]any); is {
		g.add(kind, fields["name"], fields["key"], fields["optional"])
	}
}

func (g *gathering) volume(volume map[string]any) {
	if claim, is := volume["persistentVolumeClaim"].(map[string]any); is {
		g.add(kindClaim, claim["claimName"], nil, nil)
	}
	g.files(kindSecret, volume["secret"], "secretName")
	g.files(kindConfig, volume["configMap"], "name")
	if projected, is := volume["projected"].(map[string]any); is {
		for _, source := range mapsIn(projected, "sources") {
			g.files(kindSecret, source["secret"], "name")
			g.files(kindConfig, source["configMap"], "name")
		}
	}
	for driver, field := range map[string]string{"csi": "nodePublishSecretRef", "cephfs": "secretRef", "rbd": "secretRef", "flexVolume": "secretRef", "iscsi": "secretRef",
		"scaleIO": "secretRef", "storageos": "secretRef"} {
		if source, is := volume[driver].(map[string]any); is {
			g.keyed(kindSecret, source[field])
		}
	}
	if share, is := volume["azureFile"].(map[string]any); is {
		g.add(kindSecret, share["secretName"], nil, nil)
	}
}

// files is a volume of the keys of a Secret or ConfigMap: of all, or of those that are listed.
func (g *gathering) files(kind string, source any, nameField string) {
	fields, is := source.(map[string]any)
	if !is {
		return
	}
	items := mapsIn(fields, "items")
	for _, item := range items {
		g.add(kind, fields[nameField], item["key"], fields["optional"])
	}
	if len(items) == 0 {
		g.add(kind, fields[nameField], nil, fields["optional"])
	}
}

func mapsIn(object map[string]any, field string) (list []map[string]any) {
	items, _ := object[field].([]any)
	for _, item := range items {
		if fields, is := item.(map[string]any); is {
			list = append(list, fields)
		}
	}
	return list
}

// brought are what a release itself brings of what pods can name, by kind and name; nil where a controller makes it, so that
// its keys are not known.
type brought map[[2]string]map[string]any

func broughtBy(objects []map[string]any, namespace string) brought {
	b := brought{}
	for _, object := range objects {
		u := unstructured.Unstructured{Object: object}
		if space := u.GetNamespace(); space != "" && space != namespace {
			continue
		}
		b[[2]string{u.GetKind(), u.GetName()}] = object
		if name := secretMadeBy(u); name != "" {
			b[[2]string{kindSecret, name}] = nil
		}
	}
	return b
}

// secretMadeBy is the Secret that a controller makes of an object, "" if none is known to.
// Source: the API references of external-secrets.io, bitnami.com/v1alpha1 (sealed-secrets) and cert-manager.io.
func secretMadeBy(u unstructured.Unstructured) string {
	field := map[string][]string{"ExternalSecret": {"spec", "target", "name"}, "SealedSecret": {"spec", "template", "metadata", "name"}, "Certificate": {"spec", "secretName"}}[u.GetKind()]
	if field == nil {
		return ""
	}
	if name, _, _ := unstructured.NestedString(u.Object, field...); name != "" {
		return name
	}
	return u.GetName()
}

// lacks tells whether a release brings what is referred to, and without the key.
func (b brought) lacks(reference release.Reference) (brings, keyless bool) {
	object, brings := b[[2]string{reference.Kind, reference.Name}]
	if object == nil || reference.Key == "" {
		return brings, false
	}
	for _, field := range []string{"data", "binaryData", "stringData"} {
		values, _ := object[field].(map[string]any)
		if _, has := values[reference.Key]; has {
			return true, false
		}
	}
	return true, !reference.Optional
}

// needs sorts what the pods of the objects and hooks name into what the release does not bring, and what it brings without the
// key, or too late for a hook.
func needs(objects, hooks []map[string]any, early func(object map[string]any) bool, there func(object map[string]any) bool, namespace string) (list []release.Reference, problems []string) {
	own := broughtBy(slices.Concat(objects, hooks), namespace)
	later := broughtBy(objects, namespace)
	for _, object := range slices.Concat(objects, hooks) {
		u := unstructured.Unstructured{Object: object}
		if space := u.GetNamespace(); space != "" && space != namespace {
			continue // what it names is in a namespace that is not looked at
		}
		by := release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: namespace, Name: u.GetName()}
		for _, reference := range referencesOf(object, by) {
			brings, keyless := own.lacks(reference)
			late := later[[2]string{reference.Kind, reference.Name}]
			switch {
			case keyless:
				problems = append(problems, fmt.Sprintf("%s %s: the chart's own %s/%s has no key %q, and %s names it; %s", causes.ConfigurationAbsent,
					by, reference.Kind, reference.Name, reference.Key, by, causes.ConfigurationAbsent.Cause().Advice))
			case !brings:
				list = append(list, reference)
			case early(object) && late != nil && !reference.Optional && !there(late):
				problems = append(problems, fmt.Sprintf("%s %s: the hook runs before the release's %s/%s is made, and cannot start without it; make that a hook of a smaller weight",
					causes.ConfigurationAbsent, by, reference.Kind, reference.Name))
			}
		}
	}
	slices.SortStableFunc(list, func(a, b release.Reference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.By.String(), b.By.String()))
	})
	return list, problems
}
