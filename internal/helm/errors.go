package helm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

const side = "cluster"

// cause is a way in which Helm or the apiserver words what went wrong. Helm joins several errors into one text and drops
// their types (pkg/kube/client.go, update), so words are all there is to go by.
type cause struct {
	words *regexp.Regexp
	fault bool // the cluster's; else the release's own
	do    string
}

var causes = []cause{
	{words: regexp.MustCompile(`field is immutable|updates to statefulset spec for fields other than`),
		do: "what cannot be changed must be deleted first, which interrupts the service"},
	{words: regexp.MustCompile(`invalid ownership metadata|exists and cannot be imported`),
		do: "the object belongs to someone else: delete it, or give another --release"},
	{words: regexp.MustCompile(`another operation \(install/upgrade/rollback\) is in progress|cannot re-use a name that is still in use`),
		do: "another run is changing the release: wait for it"},
	{words: regexp.MustCompile(`no matches for kind|ensure CRDs are installed first`),
		do: "install what defines this kind first, or switch it off in the values"},
	{words: regexp.MustCompile(`exceeded quota`), do: "raise the namespace's quota, or ask for less in the values"},
	{words: regexp.MustCompile(`denied the request|violates PodSecurity|ValidatingAdmissionPolicy`), do: "the cluster's policy forbids this: mend the chart or the values"},
	{words: regexp.MustCompile(`hooks failed|failed pre-install|failed post-install`), do: "the hook's own Job says why"},
	{words: regexp.MustCompile(`is forbidden: User`), fault: true, do: "grant the deploying identity these rights in the namespace"},
	{words: regexp.MustCompile(`Unauthorized|asked for the client to provide credentials`), fault: true, do: "the credentials are not accepted: refresh the kubeconfig"},
	{words: regexp.MustCompile(`is invalid:|error validating|unknown field|strict decoding error|cannot be handled as a`), do: "mend the chart or the values"},
	{words: regexp.MustCompile(`unreachable|connection refused|no such host|i/o timeout|TLS handshake|x509:`), fault: true,
		do: "see that the cluster answers from here and that the kubeconfig is of this cluster"},
}

var absent = regexp.MustCompile(`namespaces "[^"]*" not found`)

// fault words an error of reading the cluster or preparing to, with what to do about those that a person can mend.
func fault(err error, format string, subjects ...any) error {
	do := ""
	for _, cause := range causes {
		if cause.fault && cause.words.MatchString(err.Error()) {
			do = cause.do
			break
		}
	}
	return release.NewFault(side, do, plain{err}, format, subjects...)
}

// sorted tells whose fault an error of applying a release is: what the cluster refuses about the objects is the
// release's own and a *release.Failure, everything else is a *release.Fault.
func sorted(ctx context.Context, err error, format string, subjects ...any) error {
	var input *release.InputError
	what := fmt.Sprintf(format, subjects...)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &input):
		return input
	case ctx.Err() != nil:
		return &release.Failure{What: what, Err: ctx.Err(), Do: "it was stopped on the way; the next deploy goes on from there"}
	case errors.Is(err, driver.ErrReleaseExists):
		return &release.Failure{What: what, Err: plain{err}, Do: "another run is changing the release: wait for it"}
	case absent.MatchString(err.Error()):
		return release.BadInput("--namespace (INPUT_NAMESPACE)", told(err.Error()), "give --create-namespace, or create it")
	}
	for _, cause := range causes {
		switch {
		case !cause.words.MatchString(err.Error()):
		case cause.fault:
			return fault(err, format, subjects...)
		default:
			return &release.Failure{What: what, Err: plain{err}, Do: cause.do}
		}
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
