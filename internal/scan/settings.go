package scan

import (
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares scan: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "scan",
	Summary: "record beside an image what a scanner found in it, so that a policy can ask for it",
	About: "Runs no scanner: it reads results that one wrote as SARIF 2.1.0 or as CycloneDX with vulnerabilities (Trivy, Grype and others write both), or what ECR's own scan found (--from-ecr), and attaches to the image how many " +
		"findings of each severity there are, which they are, when and by what scanner. Findings that a VEX file, or an analysis in the results, says do not count are recorded as such. " +
		"Results that name another image are refused. The verb does not judge: promote and deploy do, by the policy of the repository (docs/policy.md, requires.scanned). " +
		"The same findings are recorded again after a day at the earliest.",
	Examples: []setting.Example{
		{Does: "record what Trivy found (trivy image --format sarif --output results.sarif \"$IMAGE\")", Line: `--image "$IMAGE" --results results.sarif`},
		{Does: "leave out what does not affect the service", Line: `--image "$IMAGE" --results results.sarif --vex vex.json`},
		{Does: "record what ECR's own scan found", Line: `--image "$IMAGE" --from-ecr`},
	},
	Outputs: []setting.Output{
		{Name: "outcome", Help: "created, or unchanged if the same findings were recorded less than a day ago"},
		{Name: "counts", Help: "JSON: how many findings of each severity count"},
		{Name: "record", Help: "the digest of the record"},
	},
}

// Settings are the inputs of scan.
type Settings struct {
	PlainHTTP        []string // registries
	Image            release.Image
	Results          string // "": ECR's own
	FromECR          bool
	Wait             time.Duration
	VEX              []string
	SignKey          setting.KeyRef
	LegacySignatures string // of cosign 2: warn or refuse
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Image, setting.Setting{Name: "image", Required: true, Value: "REPO@sha256:…",
		Help: "Image that was scanned"}, release.ParseImage)
	setting.Var(set, &s.Results, setting.Setting{Name: "results", Value: "FILE",
		Help: "What the scanner found: SARIF 2.1.0, or CycloneDX 1.4 or newer with at least one vulnerability, in JSON, at most 16 MiB"}, setting.Text)
	setting.Bool(set, &s.FromECR, setting.Setting{Name: "from-ecr",
		Help: "Record what ECR's own scan (basic or enhanced) found, instead of a file; of an index, in the images of all platforms"})
	setting.Var(set, &s.Wait, setting.Setting{Name: "wait", Default: "5m", Value: "DURATION",
		Help: "How long to wait for an ECR scan that is still running (from-ecr)"}, setting.Duration)
	setting.List(set, &s.VEX, setting.Setting{Name: "vex", Commas: true, Value: "FILE",
		Help: "CycloneDX in JSON whose vulnerabilities say in their analysis why they do not count: not_affected, resolved, resolved_with_pedigree or false_positive"}, setting.Text)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	set.Check(func() error {
		if s.FromECR == (s.Results != "") {
			return release.BadSetting("results", "and from-ecr are both given, or neither is", "give one of them")
		}
		return nil
	})
	return set
}
