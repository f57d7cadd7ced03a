package admission

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Deps are what the verb works with.
type Deps struct {
	Policy   policy.Policy
	Signers  Signers
	Files    Files
	Reporter release.Reporter
	TypeOf   func(fact.Kind) string // predicate types
}

// Signers knows the keys and the trusted root that a policy names.
type Signers interface {
	// PublicKeys returns the keys of a signer in PEM.
	PublicKeys(ctx context.Context, signer policy.Signer) ([]string, error)
	// TrustedRoot returns the content of the policy's trusted root; nil if it names none, which is that of the public instance of Sigstore.
	TrustedRoot() ([]byte, error)
}

// Files writes into the work tree.
type Files interface {
	CheckWritable(setting, path string) error
	Write(setting, path string, content []byte) error
}

// Result says what was written.
type Result struct {
	Format      string              `json:"format"`
	Environment release.Environment `json:"environment"`
	Policy      policy.Source       `json:"policy"`
	Manifest    string              `json:"manifest"`
	// Differences say where the gate refuses what the admission controller admits, and the other way round.
	Differences []string `json:"differences"`
}

// Run writes the manifest.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	rung, err := rungOf(settings, deps.Policy)
	if err != nil {
		return Result{}, err
	}
	if err := deps.Files.CheckWritable("manifest", settings.Manifest); err != nil {
		return Result{}, err
	}
	required, err := requirements(rung, deps)
	if err != nil {
		return Result{}, err
	}
	result := Result{Format: settings.Format, Environment: rung.Environment, Policy: deps.Policy.Source, Manifest: settings.Manifest,
		Differences: differences(settings.Format, deps.Policy.TrustedRoot != "", rung, required)}
	write := kyverno
	if settings.Format == FormatPolicyController {
		write = policyController
	}
	documents, err := write(ctx, settings, required, deps)
	if err != nil {
		return result, err
	}
	content, err := encode(result, documents)
	if err != nil {
		return result, err
	}
	if ctx.Err() != nil { // a cancelled run writes nothing, also if its last request was answered
		return result, fmt.Errorf("writing %s: %w", settings.Manifest, context.Cause(ctx))
	}
	if err := deps.Files.Write("manifest", settings.Manifest, content); err != nil {
		return result, err
	}
	deps.Reporter.Infof("wrote %s: what %s requires for %q, for %s", settings.Manifest, deps.Policy.Source, rung.Environment, settings.Format)
	for _, line := range result.Differences {
		deps.Reporter.Infof("  unlike the gate: %s", line)
	}
	return result, nil
}

// rungOf returns the rules of the environment.
func rungOf(settings Settings, rules policy.Policy) (policy.Rung, error) {
	if rules.Source.File == "" {
		return policy.Rung{}, release.BadSetting("policy", "there is no "+policy.DefaultFile, "write one (docs/policy.md), or name a file with --policy")
	}
	rung, found := rules.Rung(settings.Environment)
	if !found {
		return rung, release.BadSetting("environment", fmt.Sprintf("%q is not an environment of %s", settings.Environment, rules.Source.File), "name one of its environments")
	}
	return rung, nil
}

// requirement is a statement that an image needs, and who may have signed it.
type requirement struct {
	name          string // as the rules call it
	predicateType string
	signers       []policy.Signer
	in            release.Environment // that the statement is about; "" for built and listed
	smoked        *policy.Smoked      // nil for the others
}

// requirements lists the statements that the rules ask for. The error is a *release.InputError if the rules require no signed statement, or
// name no signers for one.
func requirements(rung policy.Rung, deps Deps) (list []requirement, err error) {
	if built := rung.Requires.Built; built != nil {
		list = append(list, requirement{name: policy.FactBuilt, predicateType: deps.TypeOf(fact.Built), signers: built.Signers})
	}
	if listed := rung.Requires.Listed; listed != nil {
		list = append(list, requirement{name: policy.FactListed, predicateType: deps.TypeOf(fact.Listed), signers: listed.Signers})
	}
	if deployed := rung.Requires.Deployed; deployed != nil {
		list = append(list, requirement{name: policy.FactDeployed, predicateType: deps.TypeOf(fact.Deployed), signers: deps.Policy.SignersOf(deployed.In), in: deployed.In})
	}
	if smoked := rung.Requires.Smoked; smoked != nil {
		list = append(list, requirement{name: policy.FactSmoked, predicateType: deps.TypeOf(fact.Smoked), signers: deps.Policy.SignersOf(smoked.In), in: smoked.In, smoked: smoked})
	}
	if len(list) == 0 {
		return nil, release.BadSetting("environment", fmt.Sprintf("%s requires nothing for %q that a signature proves", deps.Policy.Source.File, rung.Environment), "name a later environment, or require built")
	}
	for _, each := range list {
		if len(each.signers) == 0 {
			return nil, release.BadSetting("policy", fmt.Sprintf("%s names nobody who signs what %q requires (%s)", deps.Policy.Source.File, rung.Environment, each.name), "name signers: an admission controller verifies signatures")
		}
	}
	return list, nil
}

// differences lists where the admission controller decides otherwise than the gate.
func differences(format string, ownRoot bool, rung policy.Rung, required []requirement) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	add("ages (max-age, soak) are not compared, because a pod may start again long after its image was promoted")
	if rung.Requires.NotRejected {
		add("a rejection, and a failure in %q, keep no image out: what nobody stated cannot be verified", rung.Environment)
	}
	if slices.ContainsFunc(required, func(r requirement) bool { return r.smoked != nil }) {
		switch format {
		case FormatKyverno:
			add("of several verdicts by one signer, Kyverno reads the one that the registry lists last, not the newest, of whichever cluster or release")
		default:
			add("a pass counts although a later smoke failed, or that of another cluster or release of the environment: one signed pass is enough")
		}
	}
	if rung.Requires.Scanned != nil {
		add("scans are not asked for: their age decides, and a pod may start again long after")
	}
	if format == FormatPolicyController && ownRoot {
		add("a timestamp is asked for and no entry of a log, because policy-controller 0.13 verifies none by a TrustRoot of its own")
	}
	if rung.Requires.ChartOfCommit {
		add("chart and values are not compared with the commit")
	}
	if rung.Override.IsAllowed() {
		add("an image that entered by an override is refused")
	}
	add("an image under another spelling of its repository is admitted unasked: with a port that is the default (HOST:443), or by another host name of the registry, such as ECR's dual-stack and FIPS ones")
	add("a statement counts for its digest in every repository, not only in the image's own")
	for _, each := range required {
		for _, signer := range each.signers {
			if signer.Repository != "" || signer.Ref != "" {
				add("of %s, only issuer and identity are compared, not the repository or the ref of its runs: let no other repository call that workflow", signer)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// encode writes documents below a comment that says where they are from and where they differ from the gate.
func encode(result Result, documents []any) ([]byte, error) {
	var content bytes.Buffer
	fmt.Fprintf(&content, "# Written by onedigest admission for %q from %s. Write it again when the rules change.\n", result.Environment, result.Policy)
	content.WriteString("# It admits what the gate of promote and deploy accepts, except:\n")
	for _, line := range result.Differences {
		fmt.Fprintf(&content, "# - %s.\n", strings.Join(strings.Fields(line), " "))
	}
	encoder := yaml.NewEncoder(&content)
	encoder.SetIndent(2)
	for _, document := range documents {
		if err := encoder.Encode(document); err != nil {
			return nil, err
		}
	}
	return content.Bytes(), encoder.Close()
}

// metadata is a Kubernetes object's.
type metadata struct {
	Name string `yaml:"name"`
}

// nameOf names an object of an environment.
func nameOf(environment release.Environment, parts ...string) metadata {
	return metadata{Name: strings.Join(append([]string{"onedigest", environment.String()}, parts...), "-")}
}
