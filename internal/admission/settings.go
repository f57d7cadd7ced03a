// Package admission writes the rules of promotion for an admission controller of a cluster, as far as it can express them.
package admission

import (
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Formats of the written policy.
const (
	FormatKyverno          = "kyverno"
	FormatPolicyController = "policy-controller"
)

// Verb declares admission: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "admission",
	Summary: "write the promotion rules of an environment as a policy for the cluster's admission controller",
	About: "Reads the rules of promotion (docs/policy.md) and writes a manifest for Kyverno or sigstore policy-controller, which verify in the cluster what signatures prove: " +
		"that the signers whom the rules name stated what the environment requires. What an admission controller cannot compare is listed in the manifest and in the log. " +
		"No cluster and no registry is asked.",
	Examples: []setting.Example{
		{Does: "write the rules of production for Kyverno", Line: `--format kyverno --environment production --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --manifest kyverno.yaml`},
	},
	Outputs: []setting.Output{
		{Name: "manifest", Help: "the path of the written manifest"},
	},
}

// Settings are the inputs of admission.
type Settings struct {
	Format       string
	Environment  release.Environment
	Repositories []release.Repository
	Policy       string // file of rules; "": the default one
	Manifest     string // path of the written file
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Format, setting.Setting{Name: "format", Required: true, Value: "kyverno|policy-controller",
		Help: "Admission controller: Kyverno (ImageValidatingPolicy, from 1.19), or sigstore policy-controller (ClusterImagePolicy, from 0.13), which verifies keyless signers only"},
		setting.OneOf(FormatKyverno, FormatPolicyController))
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Required: true, Value: "NAME",
		Help: "Environment whose rules the cluster enforces"}, release.ParseEnvironment)
	setting.List(set, &s.Repositories, setting.Setting{Name: "repository", Required: true, Value: "HOST/PATH",
		Help: "Repository whose images are checked; images of others are admitted"}, release.ParseRepository)
	setting.DeclarePolicy(set, &s.Policy)
	setting.Var(set, &s.Manifest, setting.Setting{Name: "manifest", Required: true, Value: "FILE",
		Help: "File of the work tree that is written"}, setting.Text)
	return set
}
