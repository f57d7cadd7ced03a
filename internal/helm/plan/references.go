package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The kinds that a pod can refer to.
const (
	kindSecret         = "Secret"
	kindConfigMap      = "ConfigMap"
	kindServiceAccount = "ServiceAccount"
	kindVolumeClaim    = "PersistentVolumeClaim"
)

// podReferences returns everything that the pods of a workload refer to and cannot start without.
// Source: kubernetes.io, API reference, PodSpec, Container, Volume.
func podReferences(object map[string]any, by release.Object) []release.Reference {
	c := collector{by: by, seen: map[release.Reference]bool{}}
	for _, spec := range manifest.PodSpecs(object) {
		c.addServiceAccount(spec)
		for _, list := range manifest.ContainerLists {
			for _, container := range mapsAt(spec, list) {
				c.addContainer(container)
			}
		}
		used := usedVolumes(spec)
		for _, volume := range mapsAt(spec, "volumes") {
			c.addVolume(volume, used)
		}
		for _, secret := range mapsAt(spec, "imagePullSecrets") {
			c.add(kindSecret, secret["name"], nil, nil)
		}
	}
	return c.list
}

// collector collects the references of one object, each once.
type collector struct {
	by   release.Object
	seen map[release.Reference]bool
	list []release.Reference
}

// add adds a reference unless it is optional or known already. A pattern, as the template in a policy's rule may have one, is no name.
func (c *collector) add(kind string, name, key, optional any) {
	one := release.Reference{Kind: kind, By: c.by, Optional: optional == true}
	one.Name, _ = name.(string)
	one.Key, _ = key.(string)
	if one.Name != "" && !strings.ContainsAny(one.Name, "*?{") && !c.seen[one] {
		c.seen[one] = true
		c.list = append(c.list, one)
	}
}

// addServiceAccount adds the service account, unless it is the default one, which every namespace has.
func (c *collector) addServiceAccount(spec map[string]any) {
	name := spec["serviceAccountName"]
	if name == nil {
		name = spec["serviceAccount"] // its deprecated name
	}
	if name != "default" {
		c.add(kindServiceAccount, name, nil, nil)
	}
}

// addContainer adds the Secrets and ConfigMaps that a container's environment needs.
func (c *collector) addContainer(container map[string]any) {
	for _, variable := range mapsAt(container, "env") {
		from, _ := variable["valueFrom"].(map[string]any)
		c.addKey(kindSecret, from["secretKeyRef"])
		c.addKey(kindConfigMap, from["configMapKeyRef"])
	}
	for _, from := range mapsAt(container, "envFrom") {
		c.addKey(kindSecret, from["secretRef"])
		c.addKey(kindConfigMap, from["configMapRef"])
	}
}

// addKey adds a reference to one key of a Secret or ConfigMap, or to all of them.
func (c *collector) addKey(kind string, reference any) {
	if fields, ok := reference.(map[string]any); ok {
		c.add(kind, fields["name"], fields["key"], fields["optional"])
	}
}

// usedVolumes are the names of the volumes that a container of a pod mounts.
func usedVolumes(spec map[string]any) map[any]bool {
	used := map[any]bool{}
	for _, list := range manifest.ContainerLists {
		for _, container := range mapsAt(spec, list) {
			for _, mount := range slices.Concat(mapsAt(container, "volumeMounts"), mapsAt(container, "volumeDevices")) {
				used[mount["name"]] = true
			}
		}
	}
	return used
}

// addVolume adds the objects that a volume mounts. A claim has to exist before its pod is assigned to a node; anything else is mounted only if a
// container uses the volume.
// Source: kubernetes/kubernetes, pkg/kubelet/volumemanager/populator, processPodVolumes.
func (c *collector) addVolume(volume map[string]any, used map[any]bool) {
	if claim, ok := volume["persistentVolumeClaim"].(map[string]any); ok {
		c.add(kindVolumeClaim, claim["claimName"], nil, nil)
	}
	if name, isText := volume["name"].(string); !isText || !used[name] {
		return
	}
	c.addFiles(kindSecret, volume["secret"], "secretName")
	c.addFiles(kindConfigMap, volume["configMap"], "name")
	if projected, ok := volume["projected"].(map[string]any); ok {
		for _, source := range mapsAt(projected, "sources") {
			c.addFiles(kindSecret, source["secret"], "name")
			c.addFiles(kindConfigMap, source["configMap"], "name")
		}
	}
	for driver, field := range map[string]string{"csi": "nodePublishSecretRef", "cephfs": "secretRef", "rbd": "secretRef", "flexVolume": "secretRef", "iscsi": "secretRef",
		"scaleIO": "secretRef", "storageos": "secretRef"} {
		if source, ok := volume[driver].(map[string]any); ok {
			c.addKey(kindSecret, source[field])
		}
	}
	if share, ok := volume["azureFile"].(map[string]any); ok {
		c.add(kindSecret, share["secretName"], nil, nil)
	}
}

// addFiles adds the keys of a Secret or ConfigMap that a volume mounts: the listed ones, or all.
func (c *collector) addFiles(kind string, source any, nameField string) {
	fields, ok := source.(map[string]any)
	if !ok {
		return
	}
	items := mapsAt(fields, "items")
	for _, item := range items {
		c.add(kind, fields[nameField], item["key"], fields["optional"])
	}
	if len(items) == 0 {
		c.add(kind, fields[nameField], nil, fields["optional"])
	}
}

// mapsAt returns the maps in a list field.
func mapsAt(object map[string]any, field string) (list []map[string]any) {
	items, _ := object[field].([]any)
	for _, item := range items {
		if fields, ok := item.(map[string]any); ok {
			list = append(list, fields)
		}
	}
	return list
}

// contents are the objects of a release that pods can refer to, by kind and name. A value is nil where a controller creates the
// object, so that its keys are not known.
type contents map[[2]string]map[string]any

// contentsOf returns what is created in a namespace.
func contentsOf(list []map[string]any, namespace string) contents {
	c := contents{}
	for _, object := range list {
		id := manifest.ObjectID(object, namespace)
		if id.Namespace != namespace {
			continue
		}
		c[[2]string{id.Kind, id.Name}] = object
		if name := createdSecret(unstructured.Unstructured{Object: object}); name != "" {
			c[[2]string{kindSecret, name}] = nil
		}
	}
	return c
}

// createdSecret returns the name of the Secret that a controller creates from an object, "" for any kind of object whose controller
// is not known to create one.
// Source: the API references of external-secrets.io, bitnami.com/v1alpha1 (sealed-secrets) and cert-manager.io; docs.openshift.com, service
// serving certificates.
func createdSecret(u unstructured.Unstructured) string {
	if manifest.GroupKind(u.Object) == "/Service" {
		return u.GetAnnotations()["service.beta.openshift.io/serving-cert-secret-name"]
	}
	field := map[string][]string{"ExternalSecret": {"spec", "target", "name"}, "SealedSecret": {"spec", "template", "metadata", "name"}, "Certificate": {"spec", "secretName"}}[u.GetKind()]
	if field == nil {
		return ""
	}
	if name, _, _ := unstructured.NestedString(u.Object, field...); name != "" {
		return name
	}
	return u.GetName()
}

// find reports whether the object that is referred to is among the contents, and whether it lacks a required key.
func (c contents) find(reference release.Reference) (found, lacksKey bool) {
	object, found := c[[2]string{reference.Kind, reference.Name}]
	if object == nil || reference.Key == "" {
		return found, false
	}
	return true, !reference.Optional && !hasKey(object, reference.Key)
}

// dataFields are the fields of a Secret or ConfigMap that hold its keys.
var dataFields = []string{"data", "binaryData", "stringData"}

// hasKey reports whether a Secret or ConfigMap has a key.
func hasKey(object map[string]any, key string) bool {
	return slices.ContainsFunc(dataFields, func(field string) bool {
		values, _ := object[field].(map[string]any)
		_, has := values[key]
		return has
	})
}

// isEmpty reports whether a Secret or ConfigMap has no key.
func isEmpty(object map[string]any) bool {
	return !slices.ContainsFunc(dataFields, func(field string) bool {
		values, _ := object[field].(map[string]any)
		return len(values) > 0
	})
}

// referenceCheck checks what the pods of a release refer to.
type referenceCheck struct {
	objects, hooks []map[string]any
	namespace      string
	isPreHook      func(object map[string]any) bool           // it runs before the objects are applied
	isLive         func(object map[string]any) bool           // it is in the cluster already
	applied        func(object map[string]any) map[string]any // as the cluster would have it after the deploy; nil if that is unknown
}

// run returns the references to objects that the release does not contain, and the problems of those that it does contain: it
// lacks the key, or is applied only after the hook that needs it. An object that is rendered without any key is for a controller to fill, which
// is a note unless the cluster's has the key. Pods of other namespaces are skipped.
func (r referenceCheck) run() (external []release.Reference, problems, notes []string) {
	all := contentsOf(slices.Concat(r.objects, r.hooks), r.namespace)
	applied := contentsOf(r.objects, r.namespace)
	creators := r.creators(all)
	for _, object := range slices.Concat(r.objects, r.hooks) {
		by := manifest.ObjectID(object, r.namespace)
		if by.Namespace != r.namespace {
			continue
		}
		for _, reference := range podReferences(object, by) {
			found, lacksKey := all.find(reference)
			needed := applied[[2]string{reference.Kind, reference.Name}]
			switch rendered := all[[2]string{reference.Kind, reference.Name}]; {
			case lacksKey && hasKey(r.applied(rendered), reference.Key): // a controller has filled it
			case lacksKey && isEmpty(rendered):
				notes = append(notes, fmt.Sprintf("the chart's own %s/%s is rendered without keys: a controller has to add the key %q before %s needs it",
					reference.Kind, reference.Name, reference.Key, by))
			case lacksKey:
				problems = append(problems, fmt.Sprintf("%s %s: the chart's own %s/%s has no key %q, and %s refers to it; %s", causes.ConfigurationAbsent,
					by, reference.Kind, reference.Name, reference.Key, by, causes.ConfigurationAbsent.Cause().Advice))
			case !found:
				reference.MadeBy = creators.of(reference, r.isPreHook(object))
				external = append(external, reference)
			case r.isPreHook(object) && needed != nil && !reference.Optional && !r.isLive(needed):
				problems = append(problems, fmt.Sprintf("%s %s: the hook runs before the release's %s/%s is created, and cannot start without it; make that a hook of a smaller weight",
					causes.ConfigurationAbsent, by, reference.Kind, reference.Name))
			}
		}
	}
	slices.SortStableFunc(external, func(a, b release.Reference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.By.String(), b.By.String()))
	})
	return external, problems, notes
}

// creator is a hook or a Job of the release, or a custom resource, that may create objects at run time. words are all words in the commands,
// arguments, variables and ConfigMaps of its pods, or all strings of a custom resource: an object's name among them shows that it may create that object.
type creator struct {
	id       release.Object
	uses     map[[2]string]bool // kind and name of what its own pods refer to
	words    map[string]bool
	operator bool // it is a custom resource, whose controller derives names from its own
	late     bool // it is not there before the hooks that run first
}

type creators []creator

// inert are custom kinds that refer to Secrets and make none.
var inert = []string{"ServiceMonitor.monitoring.coreos.com", "PodMonitor.monitoring.coreos.com", "Probe.monitoring.coreos.com", "PrometheusRule.monitoring.coreos.com",
	"HTTPRoute.gateway.networking.k8s.io", "GRPCRoute.gateway.networking.k8s.io", "TLSRoute.gateway.networking.k8s.io", "TCPRoute.gateway.networking.k8s.io",
	"ScaledObject.keda.sh", "ScaledJob.keda.sh", "TriggerAuthentication.keda.sh", "VerticalPodAutoscaler.autoscaling.k8s.io", "IngressRoute.traefik.io", "Middleware.traefik.io",
	"VirtualService.networking.istio.io", "DestinationRule.networking.istio.io", "ServiceEntry.networking.istio.io"}

// isOperated reports whether an object is a custom resource, for which an operator may create objects.
func isOperated(object map[string]any) bool {
	u := unstructured.Unstructured{Object: object}
	kind := u.GroupVersionKind()
	return strings.Contains(kind.Group, ".") && !slices.Contains(kubernetesGroups, kind.Group) && !slices.Contains(inert, kind.GroupKind().String())
}

// kubernetesGroups are the API groups of Kubernetes itself whose names have a dot.
var kubernetesGroups = []string{"networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "admissionregistration.k8s.io", "coordination.k8s.io",
	"discovery.k8s.io", "node.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "apiextensions.k8s.io"}

// creators returns the hooks that run before the objects are applied, and the release's Jobs: they may create the objects that their commands,
// arguments, variables and ConfigMaps name. It returns the custom resources too: an operator may create what they name, or what is named after them.
func (r referenceCheck) creators(all contents) (list creators) {
	for i, object := range slices.Concat(r.hooks, r.objects) {
		id := manifest.ObjectID(object, r.namespace)
		operated := isOperated(object) && (i >= len(r.hooks) || r.isPreHook(object))
		if id.Namespace != r.namespace || !r.isPreHook(object) && manifest.GroupKind(object) != "batch/Job" && !operated {
			continue
		}
		one := creator{id: id, uses: map[[2]string]bool{}, words: map[string]bool{}, operator: operated, late: operated && !r.isPreHook(object) && !r.isLive(object)}
		if operated {
			for field, value := range object {
				if field != "metadata" && field != "apiVersion" && field != "kind" {
					one.addStrings(value)
				}
			}
		}
		for _, spec := range manifest.PodSpecs(object) {
			for _, list := range manifest.ContainerLists {
				for _, container := range mapsAt(spec, list) {
					one.read(container["command"], container["args"])
					for _, variable := range mapsAt(container, "env") {
						one.read(variable["value"])
					}
				}
			}
		}
		for _, reference := range podReferences(object, id) {
			one.uses[[2]string{reference.Kind, reference.Name}] = true
			if reference.Kind == kindConfigMap { // it may be a script
				one.read(all[[2]string{kindConfigMap, reference.Name}]["data"])
			}
		}
		if len(one.words) > 0 || operated {
			list = append(list, one)
		}
	}
	return list
}

// read adds the words of all strings in some values, any of which may be the name of an object.
func (m creator) read(values ...any) {
	for _, value := range values {
		switch value := value.(type) {
		case string:
			for _, word := range strings.FieldsFunc(value, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' }) {
				m.words[strings.Trim(word, "-.")] = true
			}
		case []any:
			m.read(value...)
		case map[string]any:
			for _, inner := range value {
				m.read(inner)
			}
		}
	}
}

// addStrings adds all strings in a value, whole.
func (m creator) addStrings(value any) {
	switch value := value.(type) {
	case string:
		m.words[value] = true
	case []any:
		for _, inner := range value {
			m.addStrings(inner)
		}
	case map[string]any:
		for _, inner := range value {
			m.addStrings(inner)
		}
	}
}

// derives reports whether a name is the creator's own, or begins with it.
func (m creator) derives(name string) bool {
	rest, found := strings.CutPrefix(name, m.id.Name)
	return m.operator && found && (rest == "" || rest[0] == '-' || rest[0] == '.')
}

// of returns the first creator that names the referenced object, or whose name the object's begins with, and that does not need it itself; "" if none
// does. An object that comes late does not create what a hook needs early.
func (m creators) of(reference release.Reference, early bool) string {
	for _, one := range m {
		if (one.words[reference.Name] || one.derives(reference.Name)) && !one.uses[[2]string{reference.Kind, reference.Name}] && !(early && one.late) {
			return one.id.String()
		}
	}
	return ""
}
