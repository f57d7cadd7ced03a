package doctor

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares doctor: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "doctor",
	Summary: "check whether a service can be deployed to an environment, and say how to fix what is missing",
	About: "Looks at the tools, the job's identity token and its subject, the role, the account, the repository, the cluster and each rule of RBAC, the chart with its values, the smoke checks, the workflow and the history of the branch; it changes nothing. " +
		"What the workflow that calls pipeline.yaml gives need not be given again. One line says what was found: ok, limited (it works, with the loss that the line names), fails, or not checked and why; a second line says how to fix it. " +
		"A job of the environment sees what its deploy would see; from a terminal, token and role are not checked. The exit code is 1 if something fails.",
	Examples: []setting.Example{
		{Does: "look at the first environment of the workflow in this repository", Line: ``},
		{Does: "look at an environment of EKS", Line: `--environment staging --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --cluster shop --region eu-central-1 --chart charts/service --values terraform/staging/values-staging.yaml`},
	},
	Outputs: []setting.Output{{Name: "findings", Help: "JSON: each check with its state, what was found and how to fix it"}},
}

// Settings are the inputs of doctor.
type Settings struct {
	setting.ClusterRef

	Environment release.Environment
	Repository  release.Repository
	Service     string
	Namespace   string
	Release     string
	Chart       string
	Values      []string
	Checks      string
	PlainHTTP   []string

	kubeconfigGiven bool // by the setting itself, not by KUBECONFIG
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Value: "NAME",
		Help: "Environment that is looked at; default: the first one of the workflow"}, release.ParseOwnEnvironment)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository of the image; default: the workflow's"}, release.ParseRepository)
	setting.Var(set, &s.Service, setting.Setting{Name: "service", Value: "NAME",
		Help: "Service that is looked at, if the workflow has several"}, release.ParseLabel)
	s.ClusterRef.Declare(set)
	set.Check(func() error {
		input := set.Inputs()["kubeconfig"]
		s.kubeconfigGiven = len(input.Texts) > 0 && input.Origin != "KUBECONFIG"
		return nil
	})
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace; default: the environment's name"}, release.ParseLabel)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Release; default: the last part of the repository"}, release.ParseLabel)
	setting.Var(set, &s.Chart, setting.Setting{Name: "chart", Value: "DIR|TGZ|oci://…|https://…",
		Help: "Chart, as for deploy; default: the workflow's"}, setting.Text)
	setting.List(set, &s.Values, setting.Setting{Name: "values", Commas: true, Value: "FILE",
		Help: "Values files; default: the workflow's"}, setting.Text)
	setting.Var(set, &s.Checks, setting.Setting{Name: "checks", Value: "FILE",
		Help: "Checks file of smoke; default: the workflow's"}, setting.Text)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	return set
}

// Finding is what one check has found.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	What  string `json:"what"`
	Fix   string `json:"fix,omitempty"`
}

// State says what a finding means for a run.
type State string

// The states of a finding.
const (
	OK         State = "ok"
	Limited    State = "limited" // it works, with the loss that is named
	Fails      State = "fails"
	NotChecked State = "not checked"
)

// Result is all findings about an environment.
type Result struct {
	Environment release.Environment `json:"environment"`
	Findings    []Finding           `json:"findings"`
}

// count returns how many findings have a state.
func (r Result) count(state State) (n int) {
	for _, finding := range r.Findings {
		if finding.State == state {
			n++
		}
	}
	return n
}

// Line is one finding on one line.
func (f Finding) Line() string { return fmt.Sprintf("%-11s  %s: %s", f.State, f.Check, f.What) }
