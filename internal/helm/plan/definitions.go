package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	helmchart "helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"
)

// CRD is a CustomResourceDefinition of a chart's crds directory that is missing in the cluster or differs there. Helm
// creates a missing one when it installs a chart, and changes none when it upgrades.
type CRD struct {
	Info    *resource.Info
	Absent  bool
	Patch   []byte   // a merge patch that makes the cluster's as the chart's
	Differs []string // paths of the chart's that the cluster does not have so, at most maxPaths
	Unknown error    // why it could not be compared, nil if it could

	live map[string]any
}

// maxPaths bounds how many paths of a CRD are named.
const maxPaths = 3

// ChangedCRDs returns the chart's CRDs that are missing in the cluster or differ there. It only reads.
func ChangedCRDs(cluster *objects.Cluster, crds []helmchart.CRD) ([]CRD, error) {
	var list []CRD
	for _, crd := range crds {
		built, err := cluster.Build(bytes.NewReader(crd.File.Data), false)
		if err != nil {
			return nil, fmt.Errorf("reading %s of the chart: %w", crd.Name, err)
		}
		for _, info := range built {
			if info.Mapping.GroupVersionKind.Kind != "CustomResourceDefinition" {
				continue
			}
			one, err := compareCRD(info)
			if err != nil {
				return nil, err
			}
			if one.Absent || one.Unknown != nil || len(one.Differs) > 0 {
				list = append(list, one)
			}
		}
	}
	return list, nil
}

// compareCRD reads the cluster's CRD and returns how the chart's differs from it.
func compareCRD(info *resource.Info) (CRD, error) {
	one := CRD{Info: info}
	current, err := objects.Get(info)
	switch {
	case apierrors.IsNotFound(err):
		one.Absent = true
		return one, nil
	case apierrors.IsForbidden(err):
		one.Unknown = err
		return one, nil
	case err != nil:
		return one, fmt.Errorf("reading %s: %w", objects.ID(info), err)
	}
	one.live = manifest.Fields(current.Object)
	wanted := withoutInjected(manifest.Fields(info.Object), one.live)
	one.Differs = missingIn(wanted["spec"], one.live["spec"], "spec")
	patch := map[string]any{"spec": wanted["spec"]}
	if metadata, ok := wanted["metadata"].(map[string]any); ok {
		described := map[string]any{"labels": metadata["labels"], "annotations": metadata["annotations"]}
		maps.DeleteFunc(described, func(_ string, value any) bool { return value == nil })
		patch["metadata"] = described
	}
	one.Patch, err = json.Marshal(patch)
	return one, err
}

// caBundle is the path of the certificates that verify a CRD's conversion webhook.
// Source: kubernetes.io, apiextensions.k8s.io/v1, WebhookClientConfig.
var caBundle = []string{"spec", "conversion", "webhook", "clientConfig", "caBundle"}

// withoutInjected returns a wanted CRD without the certificates of its webhook if the live one has some: cert-manager or
// the operator wrote them, and the chart has at most a placeholder.
func withoutInjected(wanted, live map[string]any) map[string]any {
	if manifest.ValueAt(live, strings.Join(caBundle, "."), "") == "" {
		return wanted
	}
	wanted = runtime.DeepCopyJSON(wanted)
	unstructured.RemoveNestedField(wanted, caBundle...)
	return wanted
}

// missingIn returns the paths at which a live value differs from what is wanted. A live map may have more keys, because an
// apiserver sets defaults.
func missingIn(wanted, live any, path string) (paths []string) {
	switch wanted := wanted.(type) {
	case map[string]any:
		fields, ok := live.(map[string]any)
		if !ok {
			return []string{path}
		}
		for name, value := range wanted {
			if len(paths) < maxPaths {
				paths = append(paths, missingIn(value, fields[name], path+"."+name)...)
			}
		}
	case []any:
		items, ok := live.([]any)
		if !ok || len(items) != len(wanted) {
			return []string{path}
		}
		for i, value := range wanted {
			if len(paths) < maxPaths {
				paths = append(paths, missingIn(value, items[i], path+"["+strconv.Itoa(i)+"]")...)
			}
		}
	default:
		if !manifest.Equal(wanted, live) && !(wanted == false && live == nil) {
			return []string{path}
		}
	}
	return paths[:min(len(paths), maxPaths)]
}

// Contains reports whether a live object's spec has everything that the wanted object's spec has.
func Contains(live, wanted map[string]any) bool {
	return len(missingIn(wanted["spec"], live["spec"], "spec")) == 0
}

// DryRun asks the cluster what applying the CRD would change. Refusals are problems, and so is everything that would be
// removed, because another release may need it.
func (d CRD) DryRun() (fields []release.FieldChange, problems []string, err error) {
	id := objects.ID(d.Info)
	if d.Unknown != nil {
		return nil, []string{failure.Refusal(id, d.Unknown)}, nil
	}
	if d.Absent {
		_, err := dryRunHelper(d.Info).Create(d.Info.Namespace, true, d.Info.Object.DeepCopyObject())
		return nil, refusals(id, err), asTransient(id, err)
	}
	applied, err := dryRunHelper(d.Info).Patch(d.Info.Namespace, d.Info.Name, types.MergePatchType, d.Patch, nil)
	if err != nil {
		return nil, refusals(id, err), asTransient(id, err)
	}
	var removed []string
	for _, one := range differences(manifest.WithoutVolatile(d.live), manifest.WithoutVolatile(manifest.Fields(applied))) {
		fields = append(fields, one.format(d.live, new(secrets)))
		if one.after == nil {
			removed = append(removed, one.place())
		}
	}
	if len(removed) > 0 {
		problems = append(problems, fmt.Sprintf("%s: applying it would remove %s; --apply-crds removes nothing: check that nobody needs it, and do so by hand", id,
			strings.Join(removed[:min(len(removed), maxPaths)], ", ")))
	}
	return fields, problems, nil
}

// refusals returns the cluster's refusal of a CRD as problems.
func refusals(id release.Object, err error) []string {
	if err == nil || failure.IsTransient(err) {
		return nil
	}
	return []string{failure.Refusal(id, err)}
}

// asTransient returns err with its context if a retry may succeed, else nil.
func asTransient(id release.Object, err error) error {
	if err == nil || !failure.IsTransient(err) {
		return nil
	}
	return fmt.Errorf("asking the cluster about %s: %w", id, err)
}

// Note returns a warning about a CRD that the deploy does not apply, "" if there is nothing to say.
func (d CRD) Note(install bool) string {
	id := objects.ID(d.Info)
	switch {
	case d.Unknown != nil:
		return fmt.Sprintf("%s of the chart's crds directory is not compared with the cluster's: reading it is forbidden", id)
	case d.Absent && install:
		return ""
	case d.Absent:
		return fmt.Sprintf("WARNING: %s of the chart's crds directory is not in the cluster, and an upgrade does not create it; --apply-crds does", id)
	}
	return fmt.Sprintf("WARNING: %s of the chart's crds directory differs from the cluster's (%s), which Helm leaves as it is: objects lose the fields that only the chart's has; --apply-crds applies it",
		id, strings.Join(d.Differs, ", "))
}

// reportCRDs adds the changes of the CRDs in the chart's crds directory. It reports whether any would change.
func (p *planner) reportCRDs() (changed bool, err error) {
	list, err := ChangedCRDs(p.Release.Cluster, p.Chart.Chart.CRDObjects())
	if err != nil {
		return false, err
	}
	p.crds = list
	for _, one := range list {
		applied := one.Absent && p.State.Install || p.Deployment.ApplyCRDs
		if !applied || one.Unknown != nil {
			if note := one.Note(p.State.Install); note != "" {
				p.plan.Notes = append(p.plan.Notes, note)
			}
		}
		if !applied {
			continue
		}
		fields, problems, err := one.DryRun()
		if err != nil {
			return false, err
		}
		p.plan.Problems = append(p.plan.Problems, problems...)
		action := release.ActionChange
		if one.Absent {
			action = release.ActionCreate
		}
		if one.Unknown == nil {
			p.plan.Changes = append(p.plan.Changes, release.Change{Object: objects.ID(one.Info), Action: action, Fields: fields})
			changed = changed || p.Deployment.ApplyCRDs
		}
	}
	return changed, nil
}
