package kube

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
)

// nodesAtOnce is how many nodes one request lists.
const nodesAtOnce = 200

// UnrunnableTemplates lists the templates whose pods can be scheduled to existing nodes, but only to nodes that have none of the
// platforms. It does not list a template that fits no existing node: an autoscaler may add one. It lists none if the user may not list
// nodes. It takes at most ten seconds, and stops when it has found a node for each template.
func (c *Client) UnrunnableTemplates(ctx context.Context, templates []release.PodTemplate, platforms []release.Platform) ([]release.UnrunnableTemplate, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	specs := make([]core.PodSpec, len(templates))
	for i, template := range templates {
		if err := json.Unmarshal(template.Spec, &specs[i]); err != nil {
			return nil, nil // the apiserver refuses it, and says why
		}
	}
	found := make([][]release.Platform, len(templates)) // of nodes without one of the platforms
	fits := make([]bool, len(templates))
	for options := (metav1.ListOptions{Limit: nodesAtOnce}); ; {
		list, err := c.Dynamic.Resource(core.SchemeGroupVersion.WithResource("nodes")).List(ctx, options)
		if err != nil {
			return nil, nil // nothing is known of the nodes
		}
		for i := range list.Items {
			node := &core.Node{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, node); err != nil {
				continue
			}
			platform := release.Platform{OS: node.Status.NodeInfo.OperatingSystem, Architecture: node.Status.NodeInfo.Architecture}
			for t := range specs {
				switch {
				case fits[t] || platform.OS == "" || platform.Architecture == "" || !mayRunOn(&specs[t], node):
				case slices.ContainsFunc(platforms, func(p release.Platform) bool { return runs(platform, p) }):
					fits[t] = true
				case !slices.Contains(found[t], platform):
					found[t] = append(found[t], platform)
				}
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" || !slices.Contains(fits, false) {
			break
		}
	}
	var unrunnable []release.UnrunnableTemplate
	for t, template := range templates {
		if !fits[t] && len(found[t]) > 0 {
			unrunnable = append(unrunnable, release.UnrunnableTemplate{Object: template.Object, Nodes: found[t]})
		}
	}
	return unrunnable, nil
}

// runs reports whether a node of a platform runs images of another. It ignores variants. Source: containerd's platforms package,
// platformVector: 64-bit nodes run 32-bit images.
func runs(node, image release.Platform) bool {
	compatible := map[string]string{"amd64": "386", "arm64": "arm"}
	return node.OS == image.OS && (node.Architecture == image.Architecture || compatible[node.Architecture] == image.Architecture)
}

// mayRunOn reports whether a node's labels and taints allow pods of a template. Source: kubernetes.io, "Assigning Pods to Nodes"
// and "Taints and Tolerations".
func mayRunOn(spec *core.PodSpec, node *core.Node) bool {
	if spec.NodeName != "" {
		return spec.NodeName == node.Name
	}
	if node.Spec.Unschedulable || !labels.SelectorFromSet(spec.NodeSelector).Matches(labels.Set(node.Labels)) {
		return false
	}
	for _, taint := range node.Spec.Taints {
		tolerates := func(t core.Toleration) bool {
			return (t.Key == "" || t.Key == taint.Key) && (t.Effect == "" || t.Effect == taint.Effect) && (t.Operator == core.TolerationOpExists || t.Value == taint.Value)
		}
		if taint.Effect != core.TaintEffectPreferNoSchedule && !slices.ContainsFunc(spec.Tolerations, tolerates) {
			return false
		}
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(term core.NodeSelectorTerm) bool {
		if len(term.MatchExpressions)+len(term.MatchFields) == 0 {
			return false
		}
		return matchesAll(term.MatchExpressions, labels.Set(node.Labels)) && matchesAll(term.MatchFields, labels.Set{"metadata.name": node.Name})
	})
}

var selectorOperators = map[core.NodeSelectorOperator]selection.Operator{
	core.NodeSelectorOpIn: selection.In, core.NodeSelectorOpNotIn: selection.NotIn, core.NodeSelectorOpExists: selection.Exists,
	core.NodeSelectorOpDoesNotExist: selection.DoesNotExist, core.NodeSelectorOpGt: selection.GreaterThan, core.NodeSelectorOpLt: selection.LessThan,
}

// matchesAll reports whether labels meet all requirements of a node selector term.
func matchesAll(requirements []core.NodeSelectorRequirement, of labels.Set) bool {
	for _, wanted := range requirements {
		requirement, err := labels.NewRequirement(wanted.Key, selectorOperators[wanted.Operator], wanted.Values)
		if err != nil || !requirement.Matches(of) {
			return false
		}
	}
	return true
}
