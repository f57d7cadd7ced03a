package release

// Permission is a rule of Kubernetes RBAC that a deploy needs. Source: kubernetes.io, "Using RBAC Authorization", Role.
type Permission struct {
	Group     string // API group; "" is the core group
	Resource  string // with its subresource: pods/log
	Namespace string // "": the release's
	Cluster   bool   // the resource is in no namespace
	// Names are the objects that the verbs get, patch and delete are needed for, and list and watch if it is one: a rule that is limited
	// to them (resourceNames) does too. None: any object.
	Names   []string
	Verbs   []string
	For     string // what needs it
	Without string // what is lost without it; "" if a deploy cannot work without it
}

// Name returns the resource as kubectl names it: deployments.apps.
func (p Permission) Name() string {
	if p.Group == "" {
		return p.Resource
	}
	return p.Resource + "." + p.Group
}

// Declared is an object with its annotations AnnotationReadyWhen and AnnotationFailedWhen, if it has them.
type Declared struct {
	Object      Object
	Annotations map[string]string
}

// PodTemplate is the template of a workload's pods.
type PodTemplate struct {
	Object Object   // the workload
	Images []string // of its containers, as they are written
	Spec   []byte   // of the pods, as JSON
}

// UnrunnableTemplate is a pod template whose images no node of the cluster can run.
type UnrunnableTemplate struct {
	Object Object     // the workload
	Nodes  []Platform // of the nodes to which its pods may be scheduled
}

// AppliedKind is a kind of the objects that a deploy applies.
type AppliedKind struct {
	Group     string   // API group; "" is the core group
	Resource  string   // plural, in lower case: deployments
	Namespace string   // "": the kind is in no namespace
	Use       KindUse  // what the deploy does with the objects
	Names     []string // of the objects, sorted
	// HasContainers reports that the objects are custom resources with a pod template of one of the deployment's images, or containers: their pods are found by
	// the owners.
	HasContainers bool
	// Loose reports that the image is in no pod template of theirs: if their pods cannot be found, that is logged and is no failure.
	Loose bool
}

// KindUse is what a deploy does with objects of a kind.
type KindUse string

// Uses of a kind.
const (
	UseObject   KindUse = ""           // the chart's objects: created, changed, and deleted once the chart lacks them
	UseHook     KindUse = "hook"       // the chart's hooks
	UseRollback KindUse = "rollback"   // objects of the revision that a rollback would go back to, which the chart does not have
	UseCreate   KindUse = "create"     // created only, as the definitions of a crds directory by an install
	UseRemove   KindUse = "remove"     // deleted with the release
	UseWatch    KindUse = "watch"      // another tool applies them: the deploy watches them become ready
	UseCRD      KindUse = "definition" // created and changed, as CRDs by apply-crds
)
