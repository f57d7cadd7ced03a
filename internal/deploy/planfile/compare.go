package planfile

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// maxSkew is how far the clocks of the two runs may be apart.
const maxSkew = 5 * time.Minute

// CheckAge returns why a plan may not be carried out at a time, "" if it may: it is older than maxAge, or from the future.
func (p Plan) CheckAge(now time.Time, maxAge time.Duration) string {
	switch age := now.Sub(p.MadeAt); {
	case age > maxAge:
		return fmt.Sprintf("it was made at %s, %s ago, and may be %s old", p.MadeAt.UTC().Format(time.RFC3339), age.Round(time.Second), maxAge)
	case age < -maxSkew:
		return fmt.Sprintf("it was made at %s, which is in the future", p.MadeAt.UTC().Format(time.RFC3339))
	}
	return ""
}

// CompareSubject lists in what a deploy is not the one that was planned, one line each.
func (p Plan) CompareSubject(now Subject) (differences []string) {
	was := p.Subject
	differ := func(what string, before, after any) {
		if before, after := fmt.Sprint(before), fmt.Sprint(after); before != after {
			differences = append(differences, fmt.Sprintf("%s: planned %s, now %s", what, orNone(before), orNone(after)))
		}
	}
	differ("environment", was.Environment, now.Environment)
	differ("release", was.Release, now.Release)
	differ("namespace", was.Namespace, now.Namespace)
	differ("commit", was.Commit, now.Commit)
	for i := range max(len(was.Images), len(now.Images)) {
		before, after := imageAt(was.Images, i), imageAt(now.Images, i)
		differ("image", before, after)
	}
	differ("chart", fmt.Sprintf("%s (%s)", was.Chart, was.ChartDigest), fmt.Sprintf("%s (%s)", chartName(was, now), now.ChartDigest))
	differ("apply-crds", was.ApplyCRDs, now.ApplyCRDs)
	differ("pin-text", was.PinText, now.PinText)
	return differences
}

// chartName returns the planned chart's name if the other one has the same content: where it is from does not matter.
func chartName(was, now Subject) string {
	if was.ChartDigest == now.ChartDigest {
		return was.Chart
	}
	return now.Chart
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

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func orNone(text string) string { return firstOf(text, "none") }

// CompareBasis lists what has changed since a plan was made: the cluster, the release, and for each object what the chart renders and what is
// live, one line each.
func (p Plan) CompareBasis(basis release.Basis) (differences []string, err error) {
	salt, err := hex.DecodeString(p.Against.Salt)
	if err != nil {
		return nil, fmt.Errorf("the plan's salt: %w", err)
	}
	was := p.Against
	now, err := against(basis, salt)
	if err != nil {
		return nil, err
	}
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	switch {
	case was.Namespace != "" && now.Namespace != was.Namespace:
		differ("cluster: the namespace is not the planned one (UID %s, now %s at %s)", was.Namespace, orNone(now.Namespace), now.Server)
	case was.Namespace == "" && now.Server != was.Server:
		differ("cluster: planned %s, now %s", was.Server, now.Server)
	}
	if now.Revision != was.Revision || now.Status != was.Status {
		differ("release: planned on revision %s, and now it has %s", revision(was), revision(now))
	}
	if basis.Unkept != "" {
		differ("%s", basis.Unkept)
	}
	if !slices.Equal(was.Varies, now.Varies) {
		differ("the chart renders other fields differently each time: planned %s, now %s", orNone(strings.Join(was.Varies, ", ")), orNone(strings.Join(now.Varies, ", ")))
	}
	rendered, live := compareObjects(was.Objects, now.Objects)
	differences = append(slices.Concat(differences, rendered), live...)
	if now.Values != was.Values {
		differ("values: the values files and assignments are not those of the plan")
	}
	if now.Rendered != was.Rendered && len(rendered) == 0 {
		differ("a secret value that the chart renders is not that of the plan")
	}
	if now.Live != was.Live && len(live) == 0 {
		differ("a secret value of a live object has changed since the plan")
	}
	return differences, nil
}

func revision(against Against) string {
	if against.Revision == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%s)", against.Revision, against.Status)
}

// compareObjects lists the objects that are rendered otherwise, and those that have changed in the cluster.
func compareObjects(was, now []release.PlannedObject) (rendered, live []string) {
	type key struct {
		object release.Object
		hook   bool
	}
	keyOf := func(object release.PlannedObject) key { return key{object.Object, object.Hook} }
	before := map[key]release.PlannedObject{}
	for _, object := range was {
		before[keyOf(object)] = object
	}
	for _, object := range now {
		planned, isPlanned := before[keyOf(object)]
		delete(before, keyOf(object))
		switch {
		case !isPlanned && object.Rendered.IsZero():
			live = append(live, fmt.Sprintf("%s: it is there now, and the plan does not have it", title(object)))
		case !isPlanned:
			rendered = append(rendered, fmt.Sprintf("%s: the chart renders it now, and the plan does not have it", title(object)))
		default:
			if planned.Rendered != object.Rendered {
				rendered = append(rendered, fmt.Sprintf("%s: the chart renders it otherwise than planned", title(object)))
			}
			if change := liveChange(planned.Live, object.Live); change != "" {
				live = append(live, fmt.Sprintf("%s: it %s since the plan", title(object), change))
			}
		}
	}
	for _, object := range was {
		if _, missing := before[keyOf(object)]; !missing {
			continue
		}
		delete(before, keyOf(object))
		if object.Rendered.IsZero() {
			live = append(live, fmt.Sprintf("%s: it was deleted or changed since the plan", title(object)))
		} else {
			rendered = append(rendered, fmt.Sprintf("%s: the plan has it, and the chart does not render it now", title(object)))
		}
	}
	return rendered, live
}

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

func liveChange(before, now release.Digest) string {
	switch {
	case before == now:
		return ""
	case before.IsZero():
		return "was created"
	case now.IsZero():
		return "was deleted"
	}
	return "was changed"
}
