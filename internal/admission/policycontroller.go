package admission

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	// fulcio is the certificate authority of the public instance of Sigstore.
	fulcio = "https://fulcio.sigstore.dev"
	// trustRoot is the name of the TrustRoot that has the policy's trusted root.
	trustRoot = "onedigest"
)

// clusterImagePolicy is the part of policy-controller's that is used. Source: policy-controller 0.13, config/300-clusterimagepolicy.yaml, v1beta1.
type clusterImagePolicy struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Images      []glob      `yaml:"images"`
		Authorities []authority `yaml:"authorities"`
		Mode        string      `yaml:"mode"`
	} `yaml:"spec"`
}

type authority struct {
	Name            string                  `yaml:"name"`
	Keyless         keyless                 `yaml:"keyless"`
	RFC3161         map[string]string       `yaml:"rfc3161timestamp,omitempty"`
	SignatureFormat string                  `yaml:"signatureFormat"`
	Attestations    []controllerAttestation `yaml:"attestations"`
}

type controllerAttestation struct {
	Name          string      `yaml:"name"`
	PredicateType string      `yaml:"predicateType"`
	Policy        *regoPolicy `yaml:"policy,omitempty"`
}

type regoPolicy struct {
	Type string `yaml:"type"`
	Data string `yaml:"data"`
}

// policyController writes a policy for each requirement: an image must satisfy all policies that match it, and of each policy one authority.
func policyController(_ context.Context, settings Settings, required []requirement, deps Deps) ([]any, error) {
	for _, each := range required {
		for _, signer := range each.signers {
			if !signer.IsIdentity() {
				return nil, release.BadSetting("format", fmt.Sprintf("policy-controller verifies bundles of keyless signers only, and %s of %s is a key", signer, each.name), "name keyless signers in the policy, or write a policy for Kyverno")
			}
		}
	}
	content, err := deps.Signers.TrustedRoot()
	if err != nil {
		return nil, err
	}
	var documents []any
	address, reference := fulcio, ""
	if content != nil {
		root, err := readTrustRoot(content)
		if err != nil {
			return nil, release.BadSetting("policy", "the trusted root cannot be written for policy-controller: "+err.Error(), "write a policy for Kyverno")
		}
		address, reference = root.Spec.SigstoreKeys.Authorities[0].URI, trustRoot
		documents = append(documents, root)
	}
	for _, each := range required {
		written := clusterImagePolicy{APIVersion: "policy.sigstore.dev/v1beta1", Kind: "ClusterImagePolicy", Metadata: nameOf(settings.Environment, each.name)}
		written.Spec.Mode = "enforce"
		for _, repository := range settings.Repositories {
			written.Spec.Images = append(written.Spec.Images, glob{repository.String() + ":**"}, glob{repository.String() + "@**"})
		}
		for i, signer := range each.signers {
			one := authority{Name: fmt.Sprintf("%s-%d", each.name, i+1), SignatureFormat: "bundle",
				Keyless:      keyless{URL: address, TrustRootRef: reference, IgnoreSCT: reference != "", Identities: []identity{identityOf(signer)}},
				Attestations: []controllerAttestation{{Name: each.name, PredicateType: each.predicateType, Policy: each.rego()}}}
			if reference != "" {
				one.RFC3161 = map[string]string{"trustRootRef": reference}
			}
			written.Spec.Authorities = append(written.Spec.Authorities, one)
		}
		documents = append(documents, written)
	}
	return documents, nil
}

// rego is what the statement must say, in Rego; nil: anything. CUE is not used: policy-controller merges the policy with the statement, so that a field which
// the statement lacks would be filled in by the policy. Source: cosign 2.5, pkg/cosign/rego.
func (r requirement) rego() *regoPolicy {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, "  "+fmt.Sprintf(format, args...)) }
	switch {
	case r.smoked != nil:
		add(`input.predicate.result == "PASSED"`)
		add(`input.predicate.onedigest.verdict == "pass"`)
		add(`input.predicate.onedigest.environment == %s`, strconv.Quote(r.in.String()))
		if r.smoked.Checks > 0 {
			add(`count(input.predicate.onedigest.checks) >= %d`, r.smoked.Checks)
		}
		for _, name := range r.smoked.CheckNames {
			add(`%s in input.predicate.onedigest.checks`, strconv.Quote(name))
		}
		if !r.smoked.CheckDigest.IsZero() {
			add(`some each in input.predicate.configuration`)
			add(`each.name == "check-contents"`)
			add(`each.digest.sha256 == %s`, strconv.Quote(hexOf(r.smoked.CheckDigest.String())))
		}
	case r.in != "":
		add(`input.predicate.environment == %s`, strconv.Quote(r.in.String()))
	default:
		return nil
	}
	return &regoPolicy{Type: "rego", Data: "package sigstore\n\nimport rego.v1\n\ndefault isCompliant := false\n\nisCompliant if {\n" + strings.Join(lines, "\n") + "\n}\n"}
}

// trustRootObject is policy-controller's. Source: policy-controller 0.13, config/300-trustroot.yaml, v1alpha1.
type trustRootObject struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		SigstoreKeys struct {
			Authorities []certificateAuthority `yaml:"certificateAuthorities"`
			Timestamps  []certificateAuthority `yaml:"timestampAuthorities,omitempty"`
		} `yaml:"sigstoreKeys"`
	} `yaml:"spec"`
}

type certificateAuthority struct {
	Subject struct {
		Organization string `yaml:"organization"`
		CommonName   string `yaml:"commonName"`
	} `yaml:"subject"`
	URI       string `yaml:"uri"`
	CertChain string `yaml:"certChain"` // base64 of PEM
}

// trustedRootAuthority is a part of a trusted root. Source: sigstore/protobuf-specs, sigstore_trustroot.proto, in its JSON form.
type trustedRootAuthority struct {
	Subject   struct{ Organization, CommonName string }
	URI       string
	CertChain struct{ Certificates []struct{ RawBytes []byte } }
}

// readTrustRoot reads a trusted root as a TrustRoot. Validity periods are lost, because a TrustRoot has none. Logs are left out: policy-controller 0.13 gives
// them IDs by which it finds no entry.
func readTrustRoot(content []byte) (trustRootObject, error) {
	var read struct {
		CertificateAuthorities, TimestampAuthorities []trustedRootAuthority
	}
	written := trustRootObject{APIVersion: "policy.sigstore.dev/v1alpha1", Kind: "TrustRoot", Metadata: metadata{Name: trustRoot}}
	if err := json.Unmarshal(content, &read); err != nil {
		return written, err
	}
	if len(read.CertificateAuthorities) == 0 || len(read.TimestampAuthorities) == 0 {
		return written, errors.New("it names no certificate authority or no timestamp authority, and policy-controller 0.13 verifies no entry of a log by a TrustRoot")
	}
	keys := &written.Spec.SigstoreKeys
	keys.Authorities, keys.Timestamps = authoritiesOf(read.CertificateAuthorities), authoritiesOf(read.TimestampAuthorities)
	return written, nil
}

func authoritiesOf(list []trustedRootAuthority) (made []certificateAuthority) {
	for _, each := range list {
		one := certificateAuthority{URI: each.URI}
		one.Subject.Organization, one.Subject.CommonName = each.Subject.Organization, each.Subject.CommonName
		var chain []byte
		for _, certificate := range each.CertChain.Certificates {
			chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.RawBytes})...)
		}
		one.CertChain = base64.StdEncoding.EncodeToString(chain)
		made = append(made, one)
	}
	return made
}
