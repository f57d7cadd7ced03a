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
	Hook      bool   // objects of this kind are hooks
}
