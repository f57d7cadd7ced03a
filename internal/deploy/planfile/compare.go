package planfile

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxSkew is how far the clocks of the two runs may be apart.
const maxSkew = 5 * time.Minute

// CheckAge returns why a plan may not be carried out now: it is older than maxAge, or from the future. It returns "" if it may.
func (p Plan) CheckAge(now time.Time, maxAge time.Duration) string {
	switch age := now.Sub(p.MadeAt); {
	case age > maxAge:
		return fmt.Sprintf("it was made at %s, %s ago, and may be %s old", p.MadeAt.UTC().Format(time.RFC3339), text.Age(age), text.Duration(maxAge))
	case age < -maxSkew:
		return fmt.Sprintf("it was made at %s, which is in the future", p.MadeAt.UTC().Format(time.RFC3339))
	}
	return ""
}

// CompareSubject lists the differences between the planned deploy and the current one, one line each.
func (p Plan) CompareSubject(current Subject) (differences []string) {
	planned := p.Subject
	differ := func(what string, before, after any) {
		if before, after := fmt.Sprint(before), fmt.Sprint(after); before != after {
			differences = append(differences, fmt.Sprintf("%s: planned %s, now %s", what, orNone(before), orNone(after)))
		}
	}
	differ("environment", planned.Environment, current.Environment)
	differ("release", planned.Release, current.Release)
	differ("namespace", planned.Namespace, current.Namespace)
	differ("commit", planned.Commit, current.Commit)
	for i := range max(len(planned.Images), len(current.Images)) {
		differ("image", imageAt(planned.Images, i), imageAt(current.Images, i))
	}
	differ("chart", fmt.Sprintf("%s (%s)", planned.Chart, planned.ChartDigest), fmt.Sprintf("%s (%s)", chartName(planned, current), current.ChartDigest))
	differ("apply-crds", planned.ApplyCRDs, current.ApplyCRDs)
	differ("pin-text", planned.PinText, current.PinText)
	return differences
}

// chartName returns the name of the current chart, or that of the planned one if both have the same content, because its place does not matter.
func chartName(planned, current Subject) string {
	if planned.ChartDigest == current.ChartDigest {
		return planned.Chart
	}
	return current.Chart
}

func imageAt(images []Image, i int) Image {
	if i < len(images) {
		return images[i]
	}
	return Image{}
}

func (i Image) String() string {
	if i.Name == "" {
		return i.Reference
	}
	return i.Name + "=" + i.Reference
}

func orNone(text string) string { return cmp.Or(text, "none") }

// CompareBasis lists the changes since a plan was made, one line each: of the cluster, of the release, and of each object as it is rendered and as
// it is live. The error is that of a malformed salt in the plan.
func (p Plan) CompareBasis(basis release.Basis) (differences []string, err error) {
	salt, err := hex.DecodeString(p.Against.Salt)
	if err != nil {
		return nil, fmt.Errorf("the plan's salt: %w", err)
	}
	planned := p.Against
	current, err := newAgainst(basis, salt)
	if err != nil {
		return nil, err
	}
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	switch {
	case planned.Namespace != "" && current.Namespace != planned.Namespace:
		differ("cluster: the namespace is not the planned one (UID %s, now %s at %s)", planned.Namespace, orNone(current.Namespace), current.Server)
	case planned.Namespace == "" && current.Server != planned.Server:
		differ("cluster: planned %s, now %s", planned.Server, current.Server)
	}
	if current.Revision != planned.Revision || current.Status != planned.Status {
		differ("release: planned on revision %s, and now it has %s", revision(planned), revision(current))
	}
	if basis.NotKeepable != "" {
		differ("%s", basis.NotKeepable)
	}
	if !slices.Equal(planned.Varies, current.Varies) {
		differ("the chart renders other fields differently each time: planned %s, now %s", orNone(strings.Join(planned.Varies, ", ")), orNone(strings.Join(current.Varies, ", ")))
	}
	rendered, live := compareObjects(planned.Objects, current.Objects)
	differences = append(slices.Concat(differences, rendered), live...)
	if current.Values != planned.Values {
		differ("values: the values files and assignments are not those of the plan")
	}
	if current.Rendered != planned.Rendered && len(rendered) == 0 {
		differ("a secret value that the chart renders is not that of the plan")
	}
	if current.Live != planned.Live && len(live) == 0 {
		differ("a secret value of a live object has changed since the plan")
	}
	return differences, nil
}

// revision describes a release's newest revision, for a message.
func revision(against Against) string {
	if against.Revision == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%s)", against.Revision, against.Status)
}

// compareObjects lists the objects that the chart renders differently than planned, and those that have changed in the cluster.
func compareObjects(planned, current []release.PlannedObject) (rendered, live []string) {
	plannedKeys, currentKeys := keysOf(planned), keysOf(current)
	unmatched := map[objectKey]release.PlannedObject{} // planned objects that were not found among the current ones yet
	for i, object := range planned {
		unmatched[plannedKeys[i]] = object
	}
	for i, object := range current {
		before, isPlanned := unmatched[currentKeys[i]]
		delete(unmatched, currentKeys[i])
		switch {
		case !isPlanned && object.Rendered.IsZero():
			live = append(live, fmt.Sprintf("%s: it exists now, and the plan does not have it", title(object)))
		case !isPlanned:
			rendered = append(rendered, fmt.Sprintf("%s: the chart renders it now, and the plan does not have it", title(object)))
		default:
			if before.Rendered != object.Rendered {
				rendered = append(rendered, fmt.Sprintf("%s: the chart renders it differently than planned", title(object)))
			}
			if change := liveChange(before.Live, object.Live); change != "" {
				live = append(live, fmt.Sprintf("%s: it %s since the plan", title(object), change))
			}
		}
	}
	for i, object := range planned {
		if _, missing := unmatched[plannedKeys[i]]; !missing {
			continue
		}
		if object.Rendered.IsZero() {
			live = append(live, fmt.Sprintf("%s: it was deleted or changed since the plan", title(object)))
		} else {
			rendered = append(rendered, fmt.Sprintf("%s: the plan has it, and the chart does not render it now", title(object)))
		}
	}
	return rendered, live
}

// title names an object with its namespace, for a message.
func title(object release.PlannedObject) string {
	name := object.Object.String()
	if object.Object.Namespace != "" {
		name += " in " + object.Object.Namespace
	}
	if object.Hook {
		name = "hook " + name
	}
	return name
}

// liveChange describes the change between two digests of a live object; "" if there is none. The zero digest means that it does not exist.
func liveChange(before, after release.Digest) string {
	switch {
	case before == after:
		return ""
	case before.IsZero():
		return "was created"
	case after.IsZero():
		return "was deleted"
	}
	return "was changed"
}

// objectKey identifies an object of a plan. Two hooks of one kind and name differ by their place among those.
type objectKey struct {
	object release.Object
	hook   bool
	nth    int
}

// keysOf returns the keys of objects in their order.
func keysOf(objects []release.PlannedObject) []objectKey {
	keys, seen := make([]objectKey, len(objects)), map[objectKey]int{}
	for i, object := range objects {
		same := objectKey{object: object.Object, hook: object.Hook}
		keys[i] = same
		keys[i].nth = seen[same]
		seen[same]++
	}
	return keys
}
