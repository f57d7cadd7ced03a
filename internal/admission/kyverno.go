package admission

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/policy"
)

// imageValidatingPolicy is the part of Kyverno's that is used. Source: Kyverno 1.19, config/crds/policies.kyverno.io, ImageValidatingPolicy v1.
type imageValidatingPolicy struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		FailurePolicy     string   `yaml:"failurePolicy"`
		ValidationActions []string `yaml:"validationActions"`
		MatchConstraints  struct {
			ResourceRules []resourceRule `yaml:"resourceRules"`
		} `yaml:"matchConstraints"`
		MatchImageReferences     []glob          `yaml:"matchImageReferences"`
		ValidationConfigurations map[string]bool `yaml:"validationConfigurations"`
		Attestors                []attestor      `yaml:"attestors"`
		Attestations             []attestation   `yaml:"attestations"`
		Validations              []validation    `yaml:"validations"`
	} `yaml:"spec"`
}

type resourceRule struct {
	APIGroups   []string `yaml:"apiGroups"`
	APIVersions []string `yaml:"apiVersions"`
	Operations  []string `yaml:"operations"`
	Resources   []string `yaml:"resources"`
}

type glob struct {
	Glob string `yaml:"glob"`
}

type attestor struct {
	Name   string       `yaml:"name"`
	Cosign cosignSigner `yaml:"cosign"`
}

type cosignSigner struct {
	Key         *keyData        `yaml:"key,omitempty"`
	Keyless     *keyless        `yaml:"keyless,omitempty"`
	CTLog       map[string]bool `yaml:"ctlog,omitempty"`
	TrustedRoot *value          `yaml:"trustedRoot,omitempty"`
}

type keyData struct {
	Data string `yaml:"data"`
}

type value struct {
	Value string `yaml:"value"`
}

type keyless struct {
	URL          string     `yaml:"url,omitempty"` // this and the next two are of policy-controller only
	TrustRootRef string     `yaml:"trustRootRef,omitempty"`
	IgnoreSCT    bool       `yaml:"insecureIgnoreSCT,omitempty"`
	Identities   []identity `yaml:"identities"`
}

type identity struct {
	Issuer        string `yaml:"issuer"`
	Subject       string `yaml:"subject,omitempty"`
	SubjectRegExp string `yaml:"subjectRegExp,omitempty"`
}

type attestation struct {
	Name   string            `yaml:"name"`
	InToto map[string]string `yaml:"intoto"`
}

type validation struct {
	Expression string `yaml:"expression"`
	Message    string `yaml:"message"`
}

// identityOf returns a signer's identity. Both controllers search for a regular expression, so the whole one is given.
func identityOf(signer policy.Signer) identity {
	if signer.Identity != "" {
		return identity{Issuer: signer.Issuer, Subject: signer.Identity}
	}
	return identity{Issuer: signer.Issuer, SubjectRegExp: signer.WholeRegexp()}
}

// kyverno writes one policy with a validation for each requirement. One signer of it is enough.
func kyverno(ctx context.Context, settings Settings, required []requirement, deps Deps) ([]any, error) {
	written := imageValidatingPolicy{APIVersion: "policies.kyverno.io/v1", Kind: "ImageValidatingPolicy", Metadata: nameOf(settings.Environment)}
	spec := &written.Spec
	spec.FailurePolicy, spec.ValidationActions = "Fail", []string{"Deny"}
	spec.MatchConstraints.ResourceRules = []resourceRule{{APIGroups: []string{""}, APIVersions: []string{"v1"}, Operations: []string{"CREATE", "UPDATE"}, Resources: []string{"pods", "pods/ephemeralcontainers"}}}
	for _, repository := range settings.Repositories {
		spec.MatchImageReferences = append(spec.MatchImageReferences, glob{repository.String()}, glob{repository.String() + ":*"}, glob{repository.String() + "@*"})
	}
	spec.ValidationConfigurations = map[string]bool{"mutateDigest": true, "verifyDigest": true, "required": true}
	for _, each := range required {
		attestors, err := each.attestors(ctx, deps)
		if err != nil {
			return nil, err
		}
		spec.Attestors = append(spec.Attestors, attestors...)
		spec.Attestations = append(spec.Attestations, attestation{Name: each.name, InToto: map[string]string{"type": each.predicateType}})
		spec.Validations = append(spec.Validations, validation{Expression: each.expression(attestors), Message: each.message(settings)})
	}
	return []any{written}, nil
}

// attestors returns one for each key and each identity: Kyverno counts those that verify.
func (r requirement) attestors(ctx context.Context, deps Deps) (list []attestor, err error) {
	add := func(signer cosignSigner) {
		list = append(list, attestor{Name: fmt.Sprintf("%s%d", r.name, len(list)+1), Cosign: signer})
	}
	for _, signer := range r.signers {
		if signer.IsIdentity() {
			made := cosignSigner{Keyless: &keyless{Identities: []identity{identityOf(signer)}}}
			root, err := deps.Signers.TrustedRoot()
			if err != nil {
				return nil, err
			}
			if root != nil {
				made.TrustedRoot = &value{strings.TrimSpace(string(root))}
			}
			add(made)
			continue
		}
		keys, err := deps.Signers.PublicKeys(ctx, signer)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			add(cosignSigner{Key: &keyData{key}, CTLog: map[string]bool{"insecureIgnoreTlog": true, "insecureIgnoreSCT": true}})
		}
	}
	return list, nil
}

// expression is true if every image that the policy matches has the statement by one of the attestors. Source: Kyverno 1.19, pkg/cel/libs/imageverify.
func (r requirement) expression(attestors []attestor) string {
	conditions := r.conditions()
	var alternatives []string
	for _, each := range attestors {
		one := fmt.Sprintf("verifyAttestationSignatures(image, attestations[%q], [attestors[%q]]) > 0", r.name, each.Name)
		if len(conditions) > 0 {
			one += fmt.Sprintf(" &&\n   [extractPayload(image, attestations[%q])].exists(statement,\n     %s)", r.name, strings.Join(conditions, " &&\n     "))
		}
		alternatives = append(alternatives, "("+one+")")
	}
	return "(images.containers + images.initContainers + images.ephemeralContainers).all(image,\n  " + strings.Join(alternatives, " ||\n  ") + ")"
}

// conditions are what the statement must say, in CEL. A field that the statement lacks is asked for with has, because reading it is an error, which Kyverno shows
// in place of the message.
func (r requirement) conditions() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	equals := func(field, value string) {
		add("has(statement.predicate.%[1]s) && statement.predicate.%[1]s == %[2]s", field, strconv.Quote(value))
	}
	switch {
	case r.smoked != nil:
		equals("result", "PASSED")
		add("has(statement.predicate.onedigest)")
		equals("onedigest.verdict", "pass")
		equals("onedigest.environment", r.in.String())
		if r.smoked.Checks > 0 || len(r.smoked.CheckNames) > 0 {
			add("has(statement.predicate.onedigest.checks)")
		}
		if r.smoked.Checks > 0 {
			add("size(statement.predicate.onedigest.checks) >= %d", r.smoked.Checks)
		}
		for _, name := range r.smoked.CheckNames {
			add("%s in statement.predicate.onedigest.checks", strconv.Quote(name))
		}
		if !r.smoked.CheckDigest.IsZero() {
			add("has(statement.predicate.configuration)")
			add("statement.predicate.configuration.exists(each, each.name == \"check-contents\" && each.digest.sha256 == %s)", strconv.Quote(hexOf(r.smoked.CheckDigest.String())))
		}
	case r.in != "":
		equals("environment", r.in.String())
	}
	return list
}

// message says what is missing.
func (r requirement) message(settings Settings) string {
	what := "no signer of the policy stated how the image was built"
	switch {
	case r.name == policy.FactListed:
		what = "no signer of the policy stated what the image contains"
	case r.smoked != nil:
		what = fmt.Sprintf("no signer of the policy stated that the image passed smoke in %q", r.in)
	case r.in != "":
		what = fmt.Sprintf("no signer of the policy stated that the image was deployed to %q", r.in)
	}
	return fmt.Sprintf("%q requires it: %s", settings.Environment, what)
}

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
