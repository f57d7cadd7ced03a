package status

import (
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares status: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "status",
	Summary: "say what runs where, since when and by whom, and what may be promoted next",
	About: "Reads, for each environment, Helm's record of the release, its pin and its pods from the cluster, and what is recorded about its image from the registry. It changes nothing. " +
		"The environments are those of the policy, or of a matrix with its clusters and services, or else staging and production; without a matrix, they are namespaces of one cluster. " +
		"Says of each which commit and digest it runs, since when and by whom, the revision with its mark, whether it is pinned, whether smoke proved it there, whether it was promoted, " +
		"and whether the rules of promotion would let it into the next environment now. What pods run that differs from the record is a warning. " +
		"All environments are read at the same time. One that cannot be read is listed as unread, and the exit code is 3. The Role that it needs is docs/rbac/role-status.yaml.",
	Examples: []setting.Example{
		{Does: "staging and production of a service, in the current context", Line: `--release shop`},
		{Does: "one environment of EKS", Line: `--environments production --release shop --cluster shop --region eu-central-1`},
		{Does: "every cluster and service of a matrix (docs/matrix.md)", Line: `--matrix services.yaml --environments staging`},
	},
	Outputs: []setting.Output{{Name: "status", Help: "JSON: each release with what it runs, and what may be promoted next"}},
}

// Settings are the inputs of status.
type Settings struct {
	setting.ClusterRef

	Environments []release.Environment
	Repository   release.Repository
	Release      string
	Namespace    string
	Matrix       string
	Services     []string
	ClusterOnly  bool
	Policy       string        // file of rules; "": the default one, if it exists
	MaxAge       time.Duration // of a pass, where the rules do not say
	VerifyKeys   []setting.KeyRef
	PlainHTTP    []string
	Concurrency  int
	Timeout      time.Duration // of reading one environment

	inputs setting.Values
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.List(set, &s.Environments, setting.Setting{Name: "environments", Commas: true, Value: "NAME",
		Help: "Environments to read; default: those of the matrix, of the policy, or else staging and production"}, release.ParseEnvironment)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository of the image, whose last part names the release; needed for a matrix that lists deploys"}, release.ParseRepository)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Helm release; by default the last part of the repository"}, deploy.ParseReleaseName)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace of the one environment that is read; by default the environment's name"}, release.ParseLabel)
	s.ClusterRef.Declare(set)
	setting.Var(set, &s.Matrix, setting.Setting{Name: "matrix", Value: "FILE",
		Help: "YAML file of several services, environments and clusters, as for deploy (docs/matrix.md)"}, setting.Text)
	setting.List(set, &s.Services, setting.Setting{Name: "services", Commas: true, Value: "NAME",
		Help: "Service of the matrix to read; default: all"}, release.ParseLabel)
	setting.Bool(set, &s.ClusterOnly, setting.Setting{Name: "cluster-only",
		Help: "Do not read the registry; the result then has no verified, promoted and next"})
	setting.DeclarePolicy(set, &s.Policy)
	setting.DeclareMaxAge(set, &s.MaxAge)
	setting.DeclareVerifyKeys(set, &s.VerifyKeys)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.Var(set, &s.Concurrency, setting.Setting{Name: "concurrency", Default: "16", Value: "N",
		Help: "How many environments are read at once"}, setting.Count(64))
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "30s", Value: "DURATION",
		Help: "Time limit for reading an environment, and for reading an image's records; what has not answered by then is unread"}, setting.Duration)
	set.Check(func() error {
		s.inputs = set.Inputs()
		var problems []release.Problem
		bad := func(is bool, name, what, do string) {
			if is {
				problems = append(problems, release.Problem{Setting: name, What: what, Do: do})
			}
		}
		bad(s.Matrix == "" && s.Release == "" && s.Repository == "", "release", "is missing", "name the release, or the repository whose last part names it, or a matrix")
		bad(s.Matrix != "" && s.Release != "", "release", "is given together with a matrix, which names the releases", "leave it out")
		bad(s.Matrix != "" && s.Namespace != "", "namespace", "is given together with a matrix, which names the namespaces", "leave it out")
		bad(s.Matrix == "" && len(s.Services) > 0, "services", "is given without a matrix", "give --matrix, or leave it out")
		bad(s.Matrix == "" && s.Namespace != "" && len(s.Environments) != 1, "namespace", "is given although not exactly one environment is named", "name one with --environments")
		if len(problems) > 0 {
			return &release.InputError{Problems: problems}
		}
		return nil
	})
	return set
}
