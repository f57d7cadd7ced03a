package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Deployment describes a Helm release to install or upgrade: a chart, its values and the image to pin it to.
type Deployment struct {
	Name         string // of the Helm release, a DNS label of at most 53 characters
	Namespace    string
	Environment  Environment
	Images       []BuiltImage // images that the release is pinned to, the main one first
	Commit       Commit       // of the main image, "" if unknown
	Chart        string       // directory or .tgz
	ValuesFiles  []string
	Set          []string      // path=value, every value a string exactly as given; see ParseAssignment
	SetJSON      []string      // path=JSON
	SecretValues []SecretValue // strings that override all other values; the release's record has their references
	PinText      bool          // pin references in environment variables, arguments and ConfigMaps too
	HideSecrets  bool          // templates that look a Secret up find none
	AsPlanned    bool          // the objects that the last plan rendered are applied; the deploy is refused if the release has another revision since
	ApplyCRDs    bool          // apply the definitions of the chart's crds directory also if the cluster has different ones
	RunURL       string        // of the workflow run, "" if none
	Actor        string        // who started the run, "" if unknown
}

// ChartRef says where a chart is.
type ChartRef struct {
	Chart      string // path, https:// or oci:// address, or name in Repository; "": the default one
	Repository string // https:// or oci:// address of a chart repository, "" if Chart says it all
	Version    string // "" if Chart says it, or where there is only one
}

// ChartLogin is a user of a chart repository.
type ChartLogin struct {
	Host     string // host or host:port, the only host to which the password is sent
	User     string
	Password string
}

// LocatedChart is a chart on the disk, complete with its dependencies.
type LocatedChart struct {
	Path   string `json:"-"`      // directory or .tgz
	Source string `json:"source"` // where it is from
	Digest Digest `json:"digest"` // of its content, however it is packed
}

// Main returns the release's main image, the zero value if the deployment names none.
func (d Deployment) Main() BuiltImage {
	if len(d.Images) == 0 {
		return BuiltImage{}
	}
	return d.Images[0]
}

// BuiltImage is an image that a release is pinned to, and how the release's chart names it.
type BuiltImage struct {
	Name    string   // "" for the main image
	Image   Image    // the image to run
	Commit  Commit   // the commit in the image's label, "" if it has none; it changes only if the digest does
	Aliases []string // repositories by which the chart names the image besides its own, in full (FullRepository)
	Values  []string // dotted paths of the chart's values that get the image
}

// Repositories lists the repositories by which the chart may name the image, in full (FullRepository), its own first.
func (b BuiltImage) Repositories() []string {
	return append([]string{FullRepository(b.Image.Repository.String())}, b.Aliases...)
}

// Rendering is what a deployment's chart renders for its cluster.
type Rendering struct {
	Manifest  string        // of the objects, without the hooks
	Kinds     []AppliedKind // of the objects and hooks, one entry for each namespace, and of the objects that only a rollback applies
	Declared  []Declared    // the objects, with what they declare of themselves
	Templates []PodTemplate // of the objects
	Endpoints []Object      // Services of type LoadBalancer, and Ingresses
	Leading   []Object      // those of Endpoints that lead to pods of the main image
	NoPorts   []string      // Services that send requests to a port by a name that no container of the pods has which they select
	Images    []ImageUse    // one for each of the deployment's images, in their order
}

// ImageUse says where a release runs an image.
type ImageUse struct {
	Name      string
	Workloads []Object // workloads with the image in their pod template, CronJobs included; empty if only hooks have it
	Loose     []Object // custom resources that name it outside of a pod template: their controllers may make pods of it
}

// Object identifies a Kubernetes object.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

func (o Object) String() string { return fmt.Sprintf("%s/%s", o.Kind, o.Name) }

// Group returns the API group of the object's kind, "" for the core group.
func (o Object) Group() string {
	group, _, isNamed := strings.Cut(o.APIVersion, "/")
	if !isNamed {
		return ""
	}
	return group
}

// ListItems returns the items of a Kubernetes list, such as ConfigMapList or List, recursively. It returns any other object alone, and nothing
// for an empty one.
func ListItems(object map[string]any) []map[string]any {
	if len(object) == 0 {
		return nil
	}
	items, isList := object["items"].([]any)
	kind, _ := object["kind"].(string)
	if !isList || !strings.HasSuffix(kind, "List") {
		return []map[string]any{object}
	}
	var objects []map[string]any
	for _, item := range items {
		if item, ok := item.(map[string]any); ok {
			objects = append(objects, ListItems(item)...)
		}
	}
	return objects
}

// PodTemplates returns the pod templates of a workload, to be read or changed in place: those of the built-in kinds and of custom kinds that follow
// them, spec.template and spec.jobTemplate.spec.template, and any other field of spec whose name ends in "template" and whose spec has a list of
// containers, at any depth. So a custom kind's templates are found without knowing the kind, as KEDA's spec.jobTargetRef.template.
// Source: kubernetes.io, API reference, PodTemplateSpec.
func PodTemplates(object map[string]any) (templates []map[string]any) {
	visitSpec(object, func(template map[string]any) { templates = append(templates, template) }, nil)
	return templates
}

// LooseContainers returns the maps in the spec of a custom resource that have a text in their field image and are in none of its pod templates: steps from which a
// controller makes containers, as those of an Argo Workflow, and the whole spec of a kind with a spec.image. An object of a built-in kind has none.
// Source: argo-workflows.readthedocs.io, Field Reference, Template.
func LooseContainers(object map[string]any) (containers []map[string]any) {
	if !IsCustomKind(object) {
		return nil
	}
	visitSpec(object, nil, func(value map[string]any) {
		if image, isText := value["image"].(string); isText && image != "" {
			containers = append(containers, value)
		}
	})
	return containers
}

// IsCustomKind reports whether an object's API group has a dot and is not one of Kubernetes' own, which end in k8s.io.
func IsCustomKind(object map[string]any) bool {
	version, _ := object["apiVersion"].(string)
	group, _, _ := strings.Cut(version, "/")
	builtIn := strings.HasSuffix(group, ".k8s.io") && !strings.HasSuffix(group, ".x-k8s.io") // kubernetes.io, "API Overview"; kubernetes/enhancements, KEP-2337
	return strings.Contains(version, "/") && strings.Contains(group, ".") && !builtIn
}

// visitSpec calls a function for each pod template in the spec of an object, and another for each map that is in none; either may be nil.
func visitSpec(object map[string]any, ofTemplate, ofMap func(map[string]any)) {
	var visit func(value any)
	visit = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if ofMap != nil {
				ofMap(value)
			}
			for _, key := range slices.Sorted(maps.Keys(value)) {
				inner, _ := value[key].(map[string]any)
				pod, _ := inner["spec"].(map[string]any)
				if _, hasContainers := pod["containers"].([]any); !hasContainers || !strings.HasSuffix(strings.ToLower(key), "template") {
					visit(value[key])
				} else if ofTemplate != nil {
					ofTemplate(inner)
				}
			}
		case []any:
			for _, inner := range value {
				visit(inner)
			}
		}
	}
	spec, _ := object["spec"].(map[string]any)
	visit(spec)
}

// Deployed is the result of an install, an upgrade or a rollback.
type Deployed struct {
	Outcome  Outcome // created, changed, unchanged or rolled-back
	Revision int     // of the Helm release, from 1; also set beside an error once Helm has recorded the revision
	Objects  []Object
	// ConfigCommit is the commit of the configuration repository by which a GitOps controller has applied the release; "" in any other case.
	ConfigCommit Commit
}

// Proposal is a change of a configuration repository that somebody has to merge.
type Proposal struct {
	Branch string `json:"branch"`
	Commit Commit `json:"commit"`
	URL    string `json:"url,omitempty"` // of the pull request, "" if only the branch was pushed
}

// Revision is one entry of a Helm release's history.
type Revision struct {
	Number      int    // from 1
	Status      string // Helm's own: deployed, superseded, failed, pending-upgrade…
	At          time.Time
	Commit      Commit   // "" if unknown, or if another tool made the revision
	Digest      Digest   // zero if another tool made the revision
	Image       Image    // that the objects name by the digest; zero if they do not
	References  []string // of all containers' images, if another tool made the revision
	RunURL      string   // of the run that made it, "" if none
	Actor       string   // who started that run, "" if unknown
	Mark        Mark     // the mark of this revision
	Description string
	Uninstalled bool // an uninstall of it has begun: a part of what it had, or all, is gone
}

// Healed is a revision that a killed run left pending and that is now marked as failed.
type Healed struct {
	Revision int       `json:"revision"`
	Status   string    `json:"status"` // before: pending-install, pending-upgrade, pending-rollback or uninstalling
	At       time.Time `json:"at"`
	RunURL   string    `json:"runURL,omitempty"` // of the run that left it, "" if unknown
	Whole    bool      `json:"whole,omitempty"`  // it was uninstalling and nothing of it was deleted: it counts as installed
}

// Uninstalling reports whether the run that left it had begun to uninstall the release, and may have deleted a part of it.
func (h Healed) Uninstalling() bool { return h.Status == "uninstalling" && !h.Whole }

// RollbackTarget is the revision that a rollback would apply, and the obstacles to that rollback.
type RollbackTarget struct {
	Revision  int  // newest revision that smoke proved, or else that became ready; 0 if there is none
	Mark      Mark // of that revision
	Commit    Commit
	Digest    Digest
	Images    []Image    // images that its pods run, the main one first; empty if another tool made the revision
	Obstacles []Obstacle // known obstacles; may be empty
	// Namespaces are those of its objects, sorted.
	Namespaces []string
}

// Obstacle is a reason why a rollback may fail or do harm.
type Obstacle struct {
	What    string // one line
	Forbids bool   // the rollback would certainly fail, or do harm; if not, it may be tried
	Do      string // what to do instead of a rollback, if it forbids
}

// Forbidding returns the first obstacle that forbids the rollback; false if it may be tried.
func (t RollbackTarget) Forbidding() (Obstacle, bool) {
	for _, obstacle := range t.Obstacles {
		if obstacle.Forbids {
			return obstacle, true
		}
	}
	return Obstacle{}, false
}

func (o Obstacle) String() string { return o.What }

// LabelMark is the label on Helm's record of a revision that contains its mark, as REVISION.MARK. The helm command copies all
// labels to the next revision; the number in the value shows which revision the mark is for.
const LabelMark = "onedigest.dev/verified"

// Mark is the verdict about a revision of a Helm release: by its rollout, by smoke or by a person. A rollback chooses its target by
// it. "" is a revision without a mark.
type Mark string

// The marks.
const (
	MarkReady      Mark = "ready"  // its rollout became ready, and no smoke has checked it
	MarkProved     Mark = "proved" // its smoke passed
	MarkFailed     Mark = "failed" // its smoke failed
	MarkRolledBack Mark = "left"   // it was deliberately replaced by an older commit or revision
)

// Verified reports whether a revision with this mark may be the target of a rollback.
func (m Mark) Verified() bool { return m == MarkReady || m == MarkProved }

// Replaces reports whether this mark may replace an old mark. MarkReady replaces no other mark.
func (m Mark) Replaces(old Mark) bool { return m != old && (m != MarkReady || old == "") }

// LabelValue returns the value of LabelMark for a revision.
func (m Mark) LabelValue(revision int) string { return fmt.Sprintf("%d.%s", revision, m) }

// ParseMark parses the value of LabelMark on a revision's record; "" if it is about another revision or not a mark. A number
// alone is MarkReady in the form of earlier releases of onedigest.
func ParseMark(value string, revision int) Mark {
	number, mark, found := strings.Cut(value, ".")
	switch {
	case number != fmt.Sprint(revision):
		return ""
	case !found:
		return MarkReady
	}
	switch mark := Mark(mark); mark {
	case MarkReady, MarkProved, MarkFailed, MarkRolledBack:
		return mark
	}
	return ""
}
