package helm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"helm.sh/helm/v3/pkg/storage/driver"
)

const side = "cluster"

// cause is a way in which Helm or the apiserver words what went wrong. Helm joins several errors into one text and drops
// their types (pkg/action/hooks.go, install.go), so words are all there is to go by.
type knownError struct {
	words *regexp.Regexp
	code  causes.Code // "" if it is none of the known ones
	fault bool        // the cluster's; else the release's own
	do    string      // "" for what is to be tried of the code
}

var knownErrors = []knownError{
	{words: immutable, code: causes.FieldImmutable},
	{words: regexp.MustCompile(`invalid ownership metadata|exists and cannot be imported`), code: causes.ObjectNotOurs},
	{words: regexp.MustCompile(`another operation \(install/upgrade/rollback\) is in progress|cannot re-use a name that is still in use|` +
		`the object has been modified; please apply your changes`), code: causes.ReleaseHeld},
	{words: regexp.MustCompile(`no matches for kind|ensure CRDs are installed first`),
		do: "install what defines this kind first, or switch it off in the values"},
	{words: regexp.MustCompile(`exceeded quota`), code: causes.QuotaExceeded},
	{words: regexp.MustCompile(`denied the request|violates PodSecurity|ValidatingAdmissionPolicy`), code: causes.AdmissionRefused},
	{words: regexp.MustCompile(`Too long: may not be more than 1048576 bytes|must have at most 1048576 bytes|etcdserver: request is too large`),
		do: "the chart does not fit into Helm's record of it: leave out what is not needed (.helmignore)"},
	{words: regexp.MustCompile(`is forbidden: User`), fault: true, do: "grant the deploying identity these rights in the namespace"},
	{words: regexp.MustCompile(`Unauthorized|asked for the client to provide credentials`), fault: true, do: "the credentials are not accepted: refresh the kubeconfig"},
	{words: regexp.MustCompile(`hooks failed|failed pre-install|failed post-install`), code: causes.HookFailed},
	{words: regexp.MustCompile(`" already exists`), code: causes.ObjectNotOurs},
	{words: regexp.MustCompile(`is invalid:|error validating|unknown field|strict decoding error|cannot be handled as a`), do: "mend the chart or the values"},
	{words: regexp.MustCompile(`unreachable|connection refused|no such host|i/o timeout|TLS handshake|x509:`), fault: true,
		do: "see that the cluster answers from here and that the kubeconfig is of this cluster"},
}

// immutable is how the apiserver words that a field cannot be changed.
// Source: k8s.io/apimachinery, pkg/api/validation/objectmeta.go, FieldImmutableErrorMsg; pkg/apis/apps/validation of Kubernetes.
var immutable = regexp.MustCompile(`field is immutable|updates to statefulset spec for fields other than|is immutable after creation|` +
	`cannot change roleRef|may not change once set|updates to (?:parameters|provisioner|reclaimPolicy|volumeBindingMode) are forbidden`)

// advice is what to do about a cause.
func (c knownError) advice() string {
	if c.do != "" {
		return c.do
	}
	return c.code.Cause().Advice
}

// coded puts the cause's code before a text.
func (c knownError) coded(text string) string {
	if c.code == "" {
		return text
	}
	return string(c.code) + " " + text
}

// causeOf finds what is known of an error; nil if nothing is.
func causeOf(err error) *knownError {
	for i := range knownErrors {
		if knownErrors[i].words.MatchString(err.Error()) {
			return &knownErrors[i]
		}
	}
	return nil
}

var absent = regexp.MustCompile(`namespaces "[^"]*" not found`)

// fault words an error of reading the cluster or preparing to, with what to do about those that a person can mend.
func fault(err error, format string, subjects ...any) error {
	do := ""
	if known := causeOf(err); known != nil && known.fault {
		do = known.do
	}
	return release.NewFault(side, do, plain{err}, format, subjects...)
}

// sorted tells whose fault an error of applying a release is: what the cluster refuses about the objects is the
// release's own and a *release.Failure, everything else is a *release.Fault.
func sorted(ctx context.Context, err error, format string, subjects ...any) error {
	var (
		input   *release.InputError
		failure *release.Failure
		known   *release.Fault
	)
	what := fmt.Sprintf(format, subjects...)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &input):
		return input
	case errors.As(err, &failure), errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &release.Failure{What: what, Err: ctx.Err(), Do: "it was stopped on the way; the next deploy goes on from there"}
	case errors.Is(err, driver.ErrReleaseExists):
		return &release.Failure{What: string(causes.ReleaseHeld) + " " + what, Err: plain{err}, Do: causes.ReleaseHeld.Cause().Advice}
	case absent.MatchString(err.Error()):
		return release.BadInput("--namespace (INPUT_NAMESPACE)", told(err.Error()), "give --create-namespace, or create it")
	}
	if cause := causeOf(err); cause != nil && !cause.fault {
		return &release.Failure{What: cause.coded(what), Err: plain{err}, Do: cause.advice()}
	}
	return fault(err, format, subjects...)
}

// plain is an error of the cluster's, told in one line of bounded length.
type plain struct{ error }

func (p plain) Error() string { return told(p.error.Error()) }

func (p plain) Unwrap() error { return p.error }

// maxTold bounds a text of the cluster's, in bytes.
const maxTold = 1000

// quotedObject is an object that the apiserver quotes whole, as when it cannot apply a patch: too long to read, and a
// Secret's would be its values.
var quotedObject = regexp.MustCompile(`Invalid value: "\{(?:[^"\\]|\\.)*"`)

// told is a text of the cluster's that can be shown: one line, no object quoted whole, not endless.
func told(text string) string {
	line := quotedObject.ReplaceAllString(oneLine(text), "Invalid value: {…}")
	if len(line) > maxTold {
		line = strings.ToValidUTF8(line[:maxTold], "") + "…"
	}
	return line
}

// oneLine is a text of others with its line breaks and control characters gone.
func oneLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(clean), " ")
}
