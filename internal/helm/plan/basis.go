package plan

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// maxVaries limits how many fields are named in a note.
const maxVaries = 5

// basis is the basis of a plan while it is made.
type basis struct {
	planner        *planner
	rendered, live hash.Hash
	result         release.Basis
}

// setBasis records what the plan was made from: digests of the rendered objects, without the fields that a second rendering renders differently, and of
// the live objects.
func (p *planner) setBasis(results []*dryRunResult) error {
	b := &basis{planner: p, rendered: sha256.New(), live: sha256.New()}
	b.result = release.Basis{Namespace: p.namespaceUID}
	if newest := p.State.Newest(); newest != nil {
		b.result.Revision, b.result.Status = newest.Version, newest.Info.Status.String()
	}
	values := sha256.New()
	fmt.Fprint(values, manifest.JSON(p.Chart.Values))
	b.result.Values = release.DigestOfSum(values)
	live := map[string]*dryRunResult{}
	for _, result := range results {
		live[manifest.Key(manifest.Fields(result.info.Object), p.namespace)] = result
	}
	again, err := renderedObjects(p.Rerendered)
	if err != nil {
		return err
	}
	once, err := renderedObjects(p.Rendered)
	if err != nil {
		return err
	}
	if err := b.addRendered(once, again, live); err != nil {
		return err
	}
	for _, info := range p.deletes {
		current, err := objects.Get(info)
		if err != nil {
			return fmt.Errorf("reading %s: %w", objects.ID(info), err)
		}
		b.add(release.PlannedObject{Object: objects.ID(info), Live: b.addLive(manifest.Fields(current.Object))})
	}
	for _, definition := range p.crds {
		b.add(release.PlannedObject{Object: objects.ID(definition.Info), Live: b.addLive(definition.live)})
	}
	b.result.Rendered, b.result.Live = release.DigestOfSum(b.rendered), release.DigestOfSum(b.live)
	p.plan.Basis = b.result
	p.noteVarying()
	return nil
}

// renderedObject is an object as it is rendered; isHook says that it is a hook, isTest that it is one of helm test alone.
type renderedObject struct {
	fields         map[string]any
	isHook, isTest bool
}

// renderedObjects parses a rendering: its objects, then all its hooks, also those of other events.
func renderedObjects(rendered *chart.Rendered) (list []renderedObject, err error) {
	parsed, err := manifest.Parse(rendered.Manifest)
	if err != nil {
		return nil, err
	}
	for _, object := range parsed {
		list = append(list, renderedObject{fields: object})
	}
	for _, hook := range rendered.Hooks {
		object, err := manifest.ParseObject([]byte(hook.Manifest))
		if err != nil {
			return nil, fmt.Errorf("reading hook %q: %w", hook.Path, err)
		}
		for _, item := range release.ListItems(object) {
			list = append(list, renderedObject{fields: item, isHook: true, isTest: isTest(hook)})
		}
	}
	for _, one := range list {
		removeRun(one.fields)
	}
	return list, nil
}

// addRendered adds the rendered objects with their live state. once and again are two renderings of the same chart and values.
func (b *basis) addRendered(once, again []renderedObject, live map[string]*dryRunResult) error {
	p := b.planner
	for i, one := range once {
		if len(again) == len(once) && one.isTest && again[i].isTest {
			hideVaryingName(one.fields, again[i].fields)
		}
		id := manifest.ObjectID(one.fields, p.namespace)
		stable := one.fields
		switch {
		case len(again) != len(once), manifest.Key(again[i].fields, p.namespace) != manifest.Key(one.fields, p.namespace):
			b.result.Varies = []string{fmt.Sprintf("the names of objects, such as %s", id)}
			b.result.NotKeepable = "the chart gives its objects other names each time: " + id.String()
			return nil
		case manifest.JSON(again[i].fields) != manifest.JSON(one.fields):
			for _, differing := range differences(one.fields, again[i].fields) {
				b.result.Varies = append(b.result.Varies, p.secrets.redact(fmt.Sprintf("%s %s", id, differing.place())))
			}
			stable, _ = common(one.fields, again[i].fields).(map[string]any)
		}
		fmt.Fprintln(b.rendered, manifest.JSON(stable))
		planned := release.PlannedObject{Object: id, Hook: one.isHook, Rendered: b.shown(stable)}
		if result := live[manifest.Key(one.fields, p.namespace)]; result != nil && !one.isHook && result.live != nil {
			planned.Live = b.addLive(p.withoutScaled(result))
		}
		b.add(planned)
	}
	return nil
}

// hideVaryingName replaces the names of an object that is named differently each time: no deploy makes or changes a test.
func hideVaryingName(once, again map[string]any) {
	if fmt.Sprint(manifest.ValueAt(once, "metadata.name", "")) == fmt.Sprint(manifest.ValueAt(again, "metadata.name", "")) {
		return
	}
	for _, fields := range []map[string]any{once, again} {
		if metadata, isMap := fields["metadata"].(map[string]any); isMap {
			metadata["name"] = varying
		}
	}
}

func (b *basis) add(object release.PlannedObject) {
	b.result.Objects = append(b.result.Objects, object)
}

// addLive adds a live object to the digest of all live objects, and returns the object's own digest without secret values; zero for none.
func (b *basis) addLive(object map[string]any) release.Digest {
	if object == nil {
		return release.Digest{}
	}
	object = manifest.WithoutVolatile(object)
	fmt.Fprintln(b.live, manifest.JSON(object))
	return b.shown(object)
}

// withoutScaled returns a live object without its replicas if an autoscaler sets them: their number changes nothing of the plan.
func (p *planner) withoutScaled(result *dryRunResult) map[string]any {
	if _, found, _ := unstructured.NestedFieldNoCopy(result.live, "spec", "replicas"); !found || p.Release.Autoscaler(result.info, p.target) == "" {
		return result.live
	}
	kept := manifest.WithoutVolatile(result.live)
	unstructured.RemoveNestedField(kept, "spec", "replicas")
	return kept
}

// shown returns the digest of an object without its secret values, which a plan hides.
func (b *basis) shown(object map[string]any) release.Digest {
	sum := sha256.New()
	fmt.Fprint(sum, manifest.JSON(b.planner.secrets.mask(object, nil, object)))
	return release.DigestOfSum(sum)
}

// mask returns a value of an object with every secret value in it replaced, at any depth.
func (s *secrets) mask(object map[string]any, path []step, value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(value))
		name, _ := value["name"].(string)
		for field, inner := range value {
			if _, isText := inner.(string); isText && field == "value" && text.NamesSecret(name) {
				inner = release.HiddenValue
			}
			kept[s.redact(field)] = s.mask(object, append(slices.Clone(path), step{field: field}), inner)
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for i, inner := range value {
			item, _ := inner.(map[string]any)
			kept[i] = s.mask(object, append(slices.Clone(path), step{key: fmt.Sprint(i), item: item}), inner)
		}
		return kept
	}
	if len(path) > 0 && s.hides(object, path, value, nil) {
		return release.HiddenValue
	}
	return value
}

// varying replaces a value that differs between two renderings of the same chart and values.
const varying = "(rendered differently each time)"

// common returns the part that two values have in common; each difference is replaced by varying.
func common(a, b any) any {
	aMap, aIsMap := a.(map[string]any)
	bMap, bIsMap := b.(map[string]any)
	if aIsMap && bIsMap {
		kept := make(map[string]any, len(aMap))
		for _, name := range slices.Sorted(maps.Keys(aMap)) {
			if other, both := bMap[name]; both {
				kept[name] = common(aMap[name], other)
			}
		}
		return kept
	}
	aList, aIsList := a.([]any)
	bList, bIsList := b.([]any)
	if aIsList && bIsList && len(aList) == len(bList) {
		kept := make([]any, len(aList))
		for i := range aList {
			kept[i] = common(aList[i], bList[i])
		}
		return kept
	}
	if manifest.JSON(a) == manifest.JSON(b) {
		return a
	}
	return varying
}

// noteVarying adds one note about what the chart renders differently each time.
func (p *planner) noteVarying() {
	varies := p.plan.Basis.Varies
	if len(varies) == 0 {
		return
	}
	shown := joinSome(varies, maxVaries)
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("WARNING: the chart renders differently each time, as random passwords and dates do (%s): every deploy changes these, and none is unchanged", shown))
}

// joinSome joins the first items of a list, and says how many more there are.
func joinSome(list []string, limit int) string {
	var joined string
	for i, one := range list {
		switch {
		case i == limit:
			return fmt.Sprintf("%s and %d more", joined, len(list)-limit)
		case i > 0:
			joined += ", "
		}
		joined += one
	}
	return joined
}

// uidOf returns the UID of a live object.
func uidOf(info *resource.Info) string {
	return string((&unstructured.Unstructured{Object: manifest.Fields(info.Object)}).GetUID())
}
