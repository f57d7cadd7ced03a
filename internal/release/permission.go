package release

// Permission is a rule of Kubernetes RBAC that a deploy needs. Source: kubernetes.io, "Using RBAC Authorization", Role.
type Permission struct {
	Group     string // API group; "" is the core group
	Resource  string // with its subresource: pods/log
	Namespace string // "": the release's
	Cluster   bool   // the resource is in no namespace
	Verbs     []string
	For       string // what needs it
	Without   string // what is lost without it; "" if a deploy cannot work without it
}

// Name returns the resource as kubectl names it: deployments.apps.
func (p Permission) Name() string {
	if p.Group == "" {
		return p.Resource
	}
	return p.Resource + "." + p.Group
}

// AppliedKind is a kind of the objects that a deploy applies.
type AppliedKind struct {
	Group     string // API group; "" is the core group
	Resource  string // plural, in lower case: deployments
	Namespace string // "": the kind is in no namespace
	Use       KindUse
}

// KindUse is what a deploy does with objects of a kind.
type KindUse string

// Uses of a kind.
const (
	UseObject     KindUse = ""           // the chart's objects: created, changed, and deleted once the chart lacks them
	UseHook       KindUse = "hook"       // the chart's hooks
	UseCreate     KindUse = "create"     // created only, as the definitions of a crds directory by an install
	UseDefinition KindUse = "definition" // created and changed, as definitions by apply-crds
)
