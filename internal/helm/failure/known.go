package failure

import (
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release/causes"
)

// knownError recognizes an error of Helm or the apiserver by its text. The text is all there is: Helm joins several errors into
// one text and drops their types (pkg/action/hooks.go, install.go).
type knownError struct {
	text  *regexp.Regexp
	code  causes.Code // "" if it has none
	fault bool        // it is the cluster's fault, not the release's
	do    string      // what to do about it; "" for the code's own advice
}

// QuotaConflict is in the apiserver's message if a request could not be counted against a quota because others were at the same time.
const QuotaConflict = "Operation cannot be fulfilled on resourcequotas"

// knownErrors are tried in this order.
var knownErrors = []knownError{
	{text: immutable, code: causes.FieldImmutable},
	{text: regexp.MustCompile(`invalid ownership metadata|exists and cannot be imported`), code: causes.ObjectNotOurs},
	{text: regexp.MustCompile(QuotaConflict), fault: true, do: "deploy again: other changes in the namespace counted against the same quota meanwhile"},
	{text: regexp.MustCompile(`another operation \(install/upgrade/rollback\) is in progress|cannot re-use a name that is still in use|` +
		`the object has been modified; please apply your changes`), code: causes.ReleaseHeld},
	{text: regexp.MustCompile(`no matches for kind|ensure CRDs are installed first`),
		do: "install what defines this kind first, or switch it off in the values"},
	{text: namespaceNotFound, do: "create the namespace, or set another in the values"},
	{text: regexp.MustCompile(`exceeded quota|failed quota`), code: causes.QuotaExceeded},
	{text: regexp.MustCompile(`denied the request|violates PodSecurity|ValidatingAdmissionPolicy`), code: causes.AdmissionRefused},
	{text: regexp.MustCompile(`Too long: may not be more than 1048576 bytes|must have at most 1048576 bytes|etcdserver: request is too large`),
		do: "the chart does not fit into Helm's release record: exclude files that it does not need (.helmignore)"},
	{text: regexp.MustCompile(`is forbidden: User`), fault: true, do: "grant the deploying identity these rights in the namespace"},
	{text: regexp.MustCompile(`is attempting to grant RBAC permissions|cannot set blockOwnerDeletion|cannot set an ownerRef on`), fault: true,
		do: "the deploying identity may not give rights that it does not have: grant it these rights, or the verb escalate or bind"},
	{text: regexp.MustCompile(`is forbidden: (?:not yet ready to handle request|status unknown for quota)`), fault: true, do: "deploy again once the cluster has started"},
	{text: regexp.MustCompile(`is forbidden: `), code: causes.AdmissionRefused},
	{text: regexp.MustCompile(`Unauthorized|asked for the client to provide credentials`), fault: true, do: "the credentials are not accepted: refresh the kubeconfig"},
	{text: regexp.MustCompile(`warning: Hook \S+ \S+ failed`), code: causes.HookFailed,
		do: "the cluster refused the hook's object, so that it did not run: fix it in the chart or the values; nothing after the hook was applied"},
	{text: regexp.MustCompile(`hooks failed|failed pre-install|failed post-install`), code: causes.HookFailed},
	{text: regexp.MustCompile(`" already exists`), code: causes.ObjectNotOurs},
	{text: regexp.MustCompile(`is invalid:|error validating|unknown field|strict decoding error|cannot be handled as a`), do: "fix the chart or the values"},
	{text: regexp.MustCompile(`unreachable|connection refused|no such host|i/o timeout|TLS handshake|x509:`), fault: true,
		do: "check that the cluster answers from here and that the kubeconfig is of this cluster"},
}

// immutable matches an apiserver's messages that a field cannot be changed.
// Source: k8s.io/apimachinery, pkg/api/validation/objectmeta.go, FieldImmutableErrorMsg; pkg/apis/apps/validation of Kubernetes.
var immutable = regexp.MustCompile(`(?i:\bis immutable\b)|updates to statefulset spec for fields other than|` +
	`cannot change roleRef|may not change once set|updates to (?:parameters|provisioner|reclaimPolicy|volumeBindingMode) are forbidden|` +
	`field can ?not be less than|pod updates may not change fields other than|may not be changed in an update`)

// fixed matches what an admission plugin says of a field that cannot be changed. Source: Kubernetes, plugin/pkg/admission/storage/persistentvolume/resize.
var fixed = regexp.MustCompile(`only dynamically provisioned pvc can be resized`)

// IsImmutable reports whether an apiserver refused an object because of a field that cannot be changed.
func IsImmutable(err error) bool {
	return immutable.MatchString(err.Error()) || fixed.MatchString(err.Error())
}

// IsConflict reports whether an error says that somebody else changed an object at the same time. Helm drops its type.
func IsConflict(err error) bool { return strings.Contains(err.Error(), "the object has been modified") }

// SaysExisting reports whether an error says that an object exists already.
func SaysExisting(err error) bool {
	known := lookUp(err)
	return known != nil && known.code == causes.ObjectNotOurs
}

func (k knownError) advice() string {
	if k.do != "" {
		return k.do
	}
	return k.code.Cause().Advice
}

// withCode puts the error's code before a text, if the error has one.
func (k knownError) withCode(text string) string {
	if k.code == "" {
		return text
	}
	return string(k.code) + " " + text
}

// lookUp finds a known error by its text; nil if the error is unknown.
func lookUp(err error) *knownError {
	for i := range knownErrors {
		if knownErrors[i].text.MatchString(err.Error()) {
			return &knownErrors[i]
		}
	}
	return nil
}
