package release

import "time"

// Plan is what a deploy would do: the result of a dry run.
type Plan struct {
	Outcome    Outcome     `json:"outcome"` // created, changed or unchanged
	Changes    []Change    `json:"changes,omitempty"`
	Notes      []string    `json:"notes,omitempty"`      // remarks, one line each: replicas that are kept or lowered, definitions that differ
	Problems   []string    `json:"problems,omitempty"`   // what the cluster would refuse, one line each
	References []Reference `json:"references,omitempty"` // objects that the pods need and the chart does not contain
	// NamespaceMissing is set if the release's namespace does not exist, and the deploy would create it.
	NamespaceMissing bool  `json:"namespaceMissing,omitempty"`
	Basis            Basis `json:"-"` // inputs and state that it was made for
}

// Removal is what an uninstall of a release removes and what it leaves, of what is in the cluster.
type Removal struct {
	Revision int // the release's newest one; 0 if it is not installed
	Status   string
	Begun    time.Time // when an uninstall of it began that did not finish; zero if none did
	Commit   Commit    // "" if unknown

	Environment Environment // that the release's objects are labelled with; "" if unknown

	Deletes []Object
	Kept    []KeptObject
	Kinds   []AppliedKind // of the objects that are deleted, and of the hooks that run
}

// KeptObject is an object that an uninstall leaves, and why.
type KeptObject struct {
	Object Object `json:"object"`
	Why    string `json:"why"`
}

// Basis describes the inputs of a plan and the state of the cluster for which it was made. While they stay the same, a deploy does what the plan says.
type Basis struct {
	Server    string // address of the API server
	Namespace string // UID of the release's namespace, which no other cluster has; "" if it does not exist or may not be read
	Revision  int    // the release's newest one, 0 if there is none
	Status    string // of that revision
	Objects   []PlannedObject
	// Varies lists the fields that the chart renders differently each time, such as random passwords: "Secret/shop data.password". They are
	// not part of any digest.
	Varies []string
	// NotKeepable is the reason why a later deploy cannot be compared with the plan, so that it must not be kept; "" if it can.
	NotKeepable string
	// Values, Rendered and Live are digests of the values, of all objects as they are rendered and of all live ones, secret values
	// included, which somebody could guess from them: they must not be kept as they are.
	Values, Rendered, Live Digest
}

// PlannedObject is an object that a plan changes, creates, deletes or leaves as it is. Its digests do not depend on secret values.
type PlannedObject struct {
	Object   Object `json:"object"`
	Hook     bool   `json:"hook,omitempty"`
	Rendered Digest `json:"rendered,omitzero"` // zero if it is deleted, or a definition of the chart's crds directory
	Live     Digest `json:"live,omitzero"`     // zero if it does not exist, or is a hook
}

// Change is what would happen to one object.
type Change struct {
	Object Object        `json:"object"`
	Action Action        `json:"does"`
	Fields []FieldChange `json:"fields,omitempty"` // sorted by path; empty for an object that is created or deleted
}

// Action says what would happen to an object.
type Action string

// The actions. ActionDrift is a field that somebody else changed in the cluster; the deploy would reset or keep it.
const (
	ActionCreate Action = "create"
	ActionChange Action = "change"
	ActionDelete Action = "delete"
	ActionDrift  Action = "drift"
)

// HiddenValue is shown in place of a secret value.
const HiddenValue = "***"

// FieldChange is the change of one field. It never contains the values of a Secret.
type FieldChange struct {
	Path    string `json:"path"`             // for example spec.template.spec.containers[app].image
	Before  string `json:"before,omitempty"` // one line of JSON, "" if absent
	After   string `json:"after,omitempty"`
	Hidden  bool   `json:"hidden,omitempty"`  // the value is secret: Before and After are HiddenValue, or "" if absent
	Manager string `json:"manager,omitempty"` // the field's manager (metadata.managedFields) unless it is this tool, or ""
}

// Reference is an object that a pod refers to and cannot start without.
type Reference struct {
	Kind     string `json:"kind"` // Secret, ConfigMap, ServiceAccount or PersistentVolumeClaim
	Name     string `json:"name"`
	Key      string `json:"key,omitempty"` // "" for the whole object
	Optional bool   `json:"optional,omitempty"`
	By       Object `json:"by"`               // the workload that refers to it
	MadeBy   string `json:"madeBy,omitempty"` // a hook, Job or custom resource of the release that may create it, as its name shows; "" if none does
}

func (r Reference) String() string {
	text := r.Kind + "/" + r.Name
	if r.Key != "" {
		text += " key " + r.Key
	}
	return text
}
