// Package argocd follows an Application of Argo CD: which repository it applies, whether a commit is applied, and whether Argo CD calls the result
// healthy. It changes nothing but the annotation that asks for a refresh.
package argocd

import (
	"fmt"
	"path"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource and kind are those of Argo CD's Application. Source: argo-cd.readthedocs.io, "Application Specification".
var (
	resource = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
	kind     = resource.GroupVersion().WithKind("Application")
)

// States of an Application. Source: github.com/argoproj/argo-cd, pkg/apis/application/v1alpha1, types.go; gitops-engine, pkg/health, pkg/sync/common.
const (
	synced         = "Synced"
	healthy        = "Healthy"
	degraded       = "Degraded"
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
	phaseRunning   = "Running"
	phaseError     = "Error"
)

// maxMessage limits a message of Argo CD that an error repeats.
const maxMessage = 500

// application is what is read of an Application.
type application struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Destination destination `json:"destination"`
		Source      *source     `json:"source"`
		Sources     []source    `json:"sources"`
		SyncPolicy  struct {
			Automated *struct {
				Enabled *bool `json:"enabled"`
			} `json:"automated"`
		} `json:"syncPolicy"`
	} `json:"spec"`
	Status struct {
		Sync struct {
			Status    string   `json:"status"`
			Revision  string   `json:"revision"`
			Revisions []string `json:"revisions"`
		} `json:"sync"`
		Health         health           `json:"health"`
		Resources      []resourceStatus `json:"resources"`
		Conditions     []condition      `json:"conditions"`
		OperationState *operationState  `json:"operationState"`
	} `json:"status"`
}

type destination struct {
	Server    string `json:"server"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type source struct {
	RepoURL        string         `json:"repoURL"`
	TargetRevision string         `json:"targetRevision"`
	Path           string         `json:"path"`
	Chart          string         `json:"chart"`
	Ref            string         `json:"ref"`
	Kustomize      map[string]any `json:"kustomize"`
	Plugin         map[string]any `json:"plugin"`
	Directory      map[string]any `json:"directory"`
	Helm           *helm          `json:"helm"`
}

// helm is how a source's chart is rendered.
type helm struct {
	ReleaseName    string         `json:"releaseName"`
	Namespace      string         `json:"namespace"`
	ValueFiles     []string       `json:"valueFiles"`
	Values         string         `json:"values"`
	ValuesObject   map[string]any `json:"valuesObject"`
	Parameters     []any          `json:"parameters"`
	FileParameters []any          `json:"fileParameters"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Since   string `json:"lastTransitionTime"`
}

type condition struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

type resourceStatus struct {
	Group           string `json:"group"`
	Version         string `json:"version"`
	Kind            string `json:"kind"`
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	Status          string `json:"status"`
	Health          health `json:"health"`
	Hook            bool   `json:"hook"`
	RequiresPruning bool   `json:"requiresPruning"`
}

type operationState struct {
	Phase      string `json:"phase"`
	Message    string `json:"message"`
	SyncResult *struct {
		Revision  string            `json:"revision"`
		Revisions []string          `json:"revisions"`
		Resources []operationResult `json:"resources"`
	} `json:"syncResult"`
	Operation struct {
		Sync *struct {
			Revision  string   `json:"revision"`
			Revisions []string `json:"revisions"`
		} `json:"sync"`
		InitiatedBy struct {
			Username string `json:"username"`
		} `json:"initiatedBy"`
	} `json:"operation"`
}

type operationResult struct {
	Group     string `json:"group"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Status    string `json:"status"` // Synced, SyncFailed, Pruned, PruneSkipped
	Message   string `json:"message"`
	HookType  string `json:"hookType"`
}

// parse reads an Application; fields of other types than expected are an error.
func parse(object *unstructured.Unstructured) (application, error) {
	var found application
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &found)
	return found, err
}

// sources lists the sources; one alone is a list of one.
func (a application) sources() []source {
	if len(a.Spec.Sources) > 0 {
		return a.Spec.Sources
	}
	if a.Spec.Source != nil {
		return []source{*a.Spec.Source}
	}
	return nil
}

// automated reports whether Argo CD applies new commits by itself.
func (a application) automated() bool {
	automated := a.Spec.SyncPolicy.Automated
	return automated != nil && (automated.Enabled == nil || *automated.Enabled)
}

// revision returns the entry of a source, "" if there is none: of the list if the Application has several sources.
func revision(single string, list []string, index int) string {
	switch {
	case len(list) == 0 && index == 0:
		return single
	case index < len(list):
		return list[index]
	}
	return ""
}

// comparedCommit is the commit of a source that Argo CD last compared the cluster with; "" if it is none.
func (a application) comparedCommit(index int) release.Commit {
	return commitOf(revision(a.Status.Sync.Revision, a.Status.Sync.Revisions, index))
}

// lastSyncCommit returns the commit of a source that the newest sync is about, finished or running; "" if there was none.
func (a application) lastSyncCommit(index int) release.Commit {
	state := a.Status.OperationState
	switch {
	case state == nil:
		return ""
	case state.SyncResult != nil:
		return commitOf(revision(state.SyncResult.Revision, state.SyncResult.Revisions, index))
	case state.Operation.Sync != nil:
		return commitOf(revision(state.Operation.Sync.Revision, state.Operation.Sync.Revisions, index))
	}
	return ""
}

func commitOf(text string) release.Commit {
	commit, err := release.ParseCommit(text)
	if err != nil {
		return ""
	}
	return commit
}

// outOfSync lists the objects that differ from the commit, without those that Argo CD would only delete.
func (a application) outOfSync() (differing, unpruned []string) {
	for _, each := range a.Status.Resources {
		name := text.Line(each.Kind+"/"+each.Name, 200)
		switch {
		case each.RequiresPruning:
			unpruned = append(unpruned, name)
		case !each.Hook && each.Status != synced && each.Status != "": // "": Argo CD does not compare it
			differing = append(differing, name)
		}
	}
	return differing, unpruned
}

// objects lists what the Application consists of, without hooks, what Argo CD does not compare (such as with argocd.argoproj.io/hook: Skip), and what is only to be deleted.
func (a application) objects() (objects []release.Object) {
	for _, each := range a.Status.Resources {
		if !each.Hook && !each.RequiresPruning && each.Status != "" {
			objects = append(objects, objectOf(each.Group, each.Version, each.Kind, each.Namespace, each.Name))
		}
	}
	return objects
}

// waitedFor lists what a running sync has applied, if it waits for that to become healthy before it applies more.
func (a application) waitedFor() (objects []release.Object) {
	state := a.Status.OperationState
	if state == nil || state.SyncResult == nil || !strings.HasPrefix(state.Message, "waiting for healthy state of ") {
		return nil
	}
	for _, each := range state.SyncResult.Resources {
		if each.HookType == "" && each.Status == synced {
			objects = append(objects, objectOf(each.Group, each.Version, each.Kind, each.Namespace, each.Name))
		}
	}
	return objects
}

func objectOf(group, version, kind, namespace, name string) release.Object {
	return release.Object{APIVersion: schema.GroupVersion{Group: group, Version: version}.String(), Kind: kind, Namespace: namespace, Name: name}
}

// whyFailed describes a sync that has failed.
func (a application) whyFailed() string {
	state := a.Status.OperationState
	parts := []string{text.Line(state.Message, maxMessage)}
	if state.SyncResult != nil {
		for _, each := range state.SyncResult.Resources {
			if each.Status == "SyncFailed" {
				parts = append(parts, text.Line(fmt.Sprintf("%s/%s: %s", each.Kind, each.Name, each.Message), maxMessage))
			}
		}
	}
	return strings.Join(parts[:min(len(parts), 5)], "; ")
}

// problems lists the conditions that keep Argo CD from comparing or applying.
func (a application) problems() (lines []string) {
	for _, each := range a.Status.Conditions {
		if strings.HasSuffix(each.Type, "Error") {
			lines = append(lines, text.Line(each.Type+": "+each.Message, maxMessage))
		}
	}
	return lines
}

// degradedObjects lists the objects that Argo CD calls Degraded, with their messages; none if it does not write their health into the Application, as it does by
// default since 3.0 (https://argo-cd.readthedocs.io/en/stable/operator-manual/upgrading/2.14-3.0/).
func (a application) degradedObjects() (objects []string) {
	for _, each := range a.Status.Resources {
		if each.Health.Status == degraded {
			objects = append(objects, fmt.Sprintf("%s/%s/%s: %s", each.Kind, each.Namespace, each.Name, each.Health.Message))
		}
	}
	return objects
}

// unhealthy describes what is not healthy.
func (a application) unhealthy() string {
	parts := []string{text.Line(a.Status.Health.Status+prefixed(" ", a.Status.Health.Message), maxMessage)}
	for _, each := range a.Status.Resources {
		if each.Health.Status != "" && each.Health.Status != healthy {
			parts = append(parts, text.Line(fmt.Sprintf("%s/%s is %s%s", each.Kind, each.Name, each.Health.Status, prefixed(": ", each.Health.Message)), maxMessage))
		}
	}
	return strings.Join(parts[:min(len(parts), 5)], "; ")
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// valueFile resolves the path of a values file of a source, relative to the top of the repository; "" if it is of another repository or leaves this one. own: the source is the repository; ref is its name.
func (s source) valueFile(file string, own bool, ref string) string {
	resolved := path.Join("/", s.Path, file)
	if named, rest, found := strings.Cut(file, "/"); found && strings.HasPrefix(named, "$") {
		if ref == "" || named != "$"+ref {
			return ""
		}
		resolved = path.Join("/", rest)
	} else if strings.Contains(file, "://") || s.Chart != "" || !own {
		return ""
	} else if strings.HasPrefix(file, "/") {
		resolved = path.Clean(file)
	}
	return strings.TrimPrefix(resolved, "/")
}
