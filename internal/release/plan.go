package release

// Plan is what a deploy would do, found out without doing it.
type Plan struct {
	Outcome    Outcome     `json:"outcome"` // created, changed or unchanged
	Changes    []Change    `json:"changes,omitempty"`
	Problems   []string    `json:"problems,omitempty"`   // what the cluster would refuse, each in one line
	References []Reference `json:"references,omitempty"` // what the pods need that the release itself does not bring
}

// Change is what would happen to one object.
type Change struct {
	Object Object        `json:"object"`
	Action Action        `json:"does"`
	Fields []FieldChange `json:"fields,omitempty"` // in the order of their paths; none for an object that is created or deleted
}

// Action says what would happen to an object.
type Action string

// What can happen to an object. Drift is a field that somebody else set and that the deploy would set back or leave.
const (
	ActionCreate Action = "create"
	ActionChange Action = "change"
	ActionDelete Action = "delete"
	ActionDrift  Action = "drift"
)

// FieldChange is one field of an object. The values of Secrets are never in it.
type FieldChange struct {
	Path    string `json:"path"`             // spec.template.spec.containers[app].image
	Before  string `json:"before,omitempty"` // as one line of JSON, "" if absent
	After   string `json:"after,omitempty"`
	Hidden  bool   `json:"hidden,omitempty"`  // a secret's value: Before and After are empty, only that it changes is known
	Manager string `json:"manager,omitempty"` // the field's owner in the cluster if that is somebody else (metadata.managedFields), "" if not
}

// Reference is something that a pod names and cannot start without.
type Reference struct {
	Kind     string `json:"kind"` // Secret, ConfigMap, ServiceAccount or PersistentVolumeClaim
	Name     string `json:"name"`
	Key      string `json:"key,omitempty"` // "" for the whole object
	Optional bool   `json:"optional,omitempty"`
	By       Object `json:"by"` // the workload that names it
}

func (r Reference) String() string {
	text := r.Kind + "/" + r.Name
	if r.Key != "" {
		text += " key " + r.Key
	}
	return text
}
