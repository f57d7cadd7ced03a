package uninstall

import (
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares uninstall: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "uninstall",
	Summary: "remove a release, and say what stays",
	About: "Deletes the objects of a release and Helm's records of it. It first lists what it deletes and what stays: objects that are annotated to be kept, hooks, CustomResourceDefinitions of the chart's crds directory, " +
		"the claims of a StatefulSet's volumes, the release's Lease, and the namespace. It asks at a terminal, and needs --yes elsewhere. An environment that takes only what an earlier one proved, such as production, " +
		"needs --confirm with its name as well; at a terminal, the name is asked for. It takes the release's Lease as deploy does: a release that another run holds is left alone, and the exit code is 1. " +
		"A release that is not installed is no error. Objects that Argo CD applies are not a release of Helm: delete their Application. The images, their tags and evidence stay in the registry.",
	Examples: []setting.Example{
		{Does: "say what would go and what would stay", Line: `--environment preview-7 --release shop --dry-run`},
		{Does: "remove a preview with its namespace", Line: `--environment preview-7 --release shop --delete-namespace --yes`},
		{Does: "remove a release from production", Line: `--environment production --release shop --confirm production --yes`},
	},
	Outputs: []setting.Output{
		{Name: "outcome", Help: "removed, unchanged (nothing was installed) or planned (dry-run)"},
		{Name: "stays", Help: "JSON: the objects that stay, and why"},
	},
}

// Settings are the inputs of uninstall.
type Settings struct {
	setting.ClusterRef

	Environment     release.Environment
	Release         string
	Namespace       string
	Yes             bool
	Confirm         release.Environment // "": not given
	DeleteNamespace bool
	DryRun          bool
	NoHooks         bool
	Policy          string // file of rules; "": the default one, if it exists
	Timeout         time.Duration
	LeaseDuration   time.Duration
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Required: true, Value: "NAME",
		Help: "Environment that the release is removed from"}, release.ParseEnvironment)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Required: true, Value: "NAME",
		Help: "Helm release"}, deploy.ParseReleaseName)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace; by default the environment's name"}, release.ParseLabel)
	s.ClusterRef.Declare(set)
	setting.Bool(set, &s.Yes, setting.Setting{Name: "yes",
		Help: "Remove without asking; needed where there is no terminal"})
	setting.Var(set, &s.Confirm, setting.Setting{Name: "confirm", Value: "NAME",
		Help: "Name of the environment again, which is needed beside yes for one that takes only what an earlier one proved"}, release.ParseEnvironment)
	setting.Bool(set, &s.DeleteNamespace, setting.Setting{Name: "delete-namespace",
		Help: "Delete the namespace too, with all that is left in it, such as the data of volumes; refused if deploy's create-namespace did not make it, or another release is in it"})
	setting.Bool(set, &s.NoHooks, setting.Setting{Name: "no-hooks",
		Help: "Skip the hooks before and after the deletion, for example because one fails and blocks the uninstall; what they would clean up stays"})
	setting.Bool(set, &s.DryRun, setting.Setting{Name: "dry-run",
		Help: "Say what would go and what would stay, and change nothing"})
	setting.DeclarePolicy(set, &s.Policy)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Value: "DURATION",
		Help: "Time limit of the whole run"}, setting.Duration)
	setting.Var(set, &s.LeaseDuration, setting.Setting{Name: "lease-duration", Default: "15s", Value: "DURATION",
		Help: "How long a killed run still holds the release after its last heartbeat"}, deploy.ParseLeaseDuration)
	set.Check(func() error {
		if s.Namespace == "" {
			s.Namespace = s.Environment.String()
		}
		if s.Confirm != "" && s.Confirm != s.Environment {
			return release.BadSetting("confirm", fmt.Sprintf("names %q, and the environment is %q", s.Confirm, s.Environment), "give the environment's name twice, or leave it out")
		}
		return nil
	})
	return set
}
