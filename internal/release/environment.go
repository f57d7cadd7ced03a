package release

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Environment names where a release runs, for example "staging". It is a DNS label.
type Environment string

var labelPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseLabel accepts a DNS label (RFC 1123, at most 63 characters), the form that Kubernetes requires for namespaces.
func ParseLabel(text string) (string, error) {
	if !labelPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a DNS label (lower-case letters, digits and -, at most 63, "+
			"starting and ending with a letter or digit)", text)
	}
	return text, nil
}

// ParseEnvironment accepts a DNS label: the name becomes part of tags, namespaces and evidence.
func ParseEnvironment(text string) (Environment, error) {
	label, err := ParseLabel(text)
	return Environment(label), err
}

func (e Environment) String() string { return string(e) }

// reservedEnvironments are what the workflows' variables name at the place of an environment: AWS_ROLE_BUILD and EVIDENCE_KEY_BUILD are those of the build,
// AWS_ROLE_PLAN is the role that only reads.
var reservedEnvironments = []Environment{"build", "plan"}

// ParseOwnEnvironment accepts what ParseEnvironment accepts for an environment that somebody names anew. It refuses names whose variables would be those of
// something else, so that an environment had the role or the key of the build.
func ParseOwnEnvironment(text string) (Environment, error) {
	environment, err := ParseEnvironment(text)
	if err == nil && slices.Contains(reservedEnvironments, environment) {
		return "", fmt.Errorf("no environment can be named %q: the variable AWS_ROLE_%s is the role of the %[1]s itself; choose another name", text, strings.ToUpper(text))
	}
	return environment, err
}

// PodSecurity is a Pod Security Standard that a namespace enforces, or PodSecurityNone.
// Source: kubernetes.io, "Pod Security Standards".
type PodSecurity string

// The standards, from the strictest. A namespace without a label enforces the cluster's default, which is privileged unless its
// administrator configured another.
const (
	PodSecurityRestricted PodSecurity = "restricted"
	PodSecurityBaseline   PodSecurity = "baseline"
	PodSecurityPrivileged PodSecurity = "privileged"
	PodSecurityNone       PodSecurity = "none" // no label
)

// NamespaceLabels are the labels of a namespace that is created for an environment: it enforces the standard, and warns of pods that the restricted one would refuse.
// Source: kubernetes.io, "Pod Security Admission", labels for namespaces.
func (s PodSecurity) NamespaceLabels(environment Environment) map[string]string {
	labels := map[string]string{LabelEnvironment: environment.String()}
	if s != PodSecurityNone {
		labels["pod-security.kubernetes.io/enforce"] = string(s)
		labels["pod-security.kubernetes.io/warn"] = string(PodSecurityRestricted)
	}
	return labels
}

// PromotionOrder is the order of environments in which an image is promoted, from the first to the last.
type PromotionOrder []Environment

// DefaultPromotionOrder is the order in the workflows of this repository.
var DefaultPromotionOrder = PromotionOrder{"staging", "production"}

// Before returns the environment that an image must have passed before it may enter e; false if e is the first or not in the order.
func (o PromotionOrder) Before(e Environment) (Environment, bool) {
	for i, environment := range o {
		if environment == e && i > 0 {
			return o[i-1], true
		}
	}
	return "", false
}

// Preview is a namespace with a release that is there for one pull request, until the pull request is closed or time is up.
type Preview struct {
	Repository  string // OWNER/NAME on GitHub
	PullRequest int
	Release     string
	Expires     time.Time // zero if unknown
	UID         string    // of the namespace, which may be deleted and created again under its name
	Version     string    // of the namespace, which each change of it changes; "" if unknown
	Deleting    bool      // the cluster is deleting it
}

// Namespace returns the only name that the namespace of the preview may have.
func (p Preview) Namespace() string { return fmt.Sprintf("preview-%s-%d", p.Release, p.PullRequest) }

// Target is where an environment runs an image: a release of a cluster. The zero value is that of a verdict that names none, such as one about a URL alone.
// A cluster is the host of its API server, whatever it is called: one that is reached under two addresses counts as two (Is).
type Target struct {
	Cluster   string `json:"cluster"`          // name of the EKS cluster, or host of the API server
	Server    string `json:"server,omitempty"` // host of the API server of an EKS cluster: those of other regions and accounts may have the same name
	Namespace string `json:"namespace"`
	Release   string `json:"release"`
}

// Is reports whether two targets are the same release.
func (t Target) Is(other Target) bool { return t.Identity() == other.Identity() }

// Identity returns the target with the host of the API server, as ServerName writes it, as the name of its cluster, and nothing else about that.
func (t Target) Identity() Target {
	return Target{Cluster: ServerName(cmp.Or(t.Server, t.Cluster)), Namespace: t.Namespace, Release: t.Release}
}

// MayBe reports whether two targets are the same release as far as they say: their servers are the same, or, where one names no server, they have a name of the cluster in
// common. A record of an older version has only EKS's name of the cluster.
func (t Target) MayBe(other Target) bool {
	if t.Is(other) {
		return true
	}
	if t.Namespace != other.Namespace || t.Release != other.Release || t.Server != "" && other.Server != "" {
		return false
	}
	names := []string{ServerName(other.Cluster), ServerName(other.Server)}
	return slices.ContainsFunc([]string{ServerName(t.Cluster), ServerName(t.Server)}, func(name string) bool { return name != "" && slices.Contains(names, name) })
}

// ServerName returns one spelling of the host of an API server, which may have a port and a path: in lower case, without the port of https, the dot at the end of the host and the slash at
// that of the path. A name of EKS, which has no dot, colon or slash, is returned as it is.
func ServerName(server string) string {
	if !strings.ContainsAny(server, ".:/") {
		return server
	}
	host, path, _ := strings.Cut(server, "/")
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	if colon := strings.LastIndex(host, ":"); colon > strings.LastIndex(host, "]") {
		host = strings.TrimSuffix(host[:colon], ".") + host[colon:]
	}
	return strings.TrimRight(strings.TrimSuffix(host, ".")+"/"+path, "/")
}

// IsZero reports whether no target is named.
func (t Target) IsZero() bool { return t == Target{} }

// of names the target as the rest of a clause; "" if there is none.
func (t Target) of() string {
	if t.IsZero() {
		return ""
	}
	return ", of " + t.String() + ","
}

// String names the target in a message; "" if there is none.
func (t Target) String() string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("release %q in namespace %q of cluster %s", t.Release, t.Namespace, t.Cluster)
}

// Compare orders targets by their fields; the zero value is the first.
func (t Target) Compare(other Target) int {
	return cmp.Or(cmp.Compare(t.Cluster, other.Cluster), cmp.Compare(t.Server, other.Server), cmp.Compare(t.Namespace, other.Namespace), cmp.Compare(t.Release, other.Release))
}
