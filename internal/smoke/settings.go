package smoke

import (
	"fmt"
	"path"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// Verb declares smoke: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "smoke",
	Summary: "send requests to a deployed release until the expected commit answers correctly, and record the verdict",
	About: "Sends every check once per round to every address that the service's name has, each request over a connection of its own, and with --image or --release also to every ready pod, through the API server. " +
		"A release without an address outside its cluster is checked inside it only. Without a file of checks, each pod gets the request of its readiness probe; a pod without a port and a probe has to stay ready without a restart. " +
		"Checks that are programs, such as hurl files and k6 scripts, run once the others have passed, and one more round has to pass after them.\n\n" +
		"A round passes if every check passes, no answer is from another commit than the expected one, every workload of the image that wants pods has a ready pod of its current revision and none that ends again and again, " +
		"and no pod stopped being ready or restarted since the round before. " +
		"A DNS name that does not resolve yet, and a load balancer that does not accept connections or has no target yet (503 with Server: awselb/2.0), are waited for. " +
		"So is any gateway's 502, 503 or 504 with --image, until the service has answered or a pod was ready.\n\n" +
		"pass: N rounds in a row passed, with a pause between them; with --soak, they passed for that long.\n\n" +
		"fail: answers were wrong for longer than --patience, or no round passed after a wrong answer. At the timeout also: the service cannot be reached, and a workload of the image is down or, without --image, it answered before.\n\n" +
		"inconclusive, at the timeout: the service could not be reached although pods are ready; no node takes the pods; pods that are being deleted still answered, from another commit; no pod could be checked and the service never answered; " +
		"or the time was too short for rounds that passed. An inconclusive verdict is neither recorded nor marked.\n\n" +
		"With --image, smoke confirms in the cluster that the pods run that digest, and attaches the verdict to the image in the registry, where promote reads it. " +
		"With several images, the pods of each are confirmed and checked, and a pass is attached to each. A failure is attached to those whose pods answered wrongly or are not ready, and to the main image if it is about no further image.",
	Examples: []setting.Example{
		{Does: "check that / answers", Line: "--url http://127.0.0.1:8080"},
		{Does: "run the checks of a file, five rounds in a row, one commit", Line: `--url https://shop.example.com --checks smoke.yaml --consecutive 5 --expect-commit "$(git rev-parse HEAD)"`},
		{Does: "pass after ten seconds with 0.1% of errors at most", Line: "--url https://shop.example.com --soak 10s --max-errors 0.1%"},
		{Does: "prove in staging the image that build printed", Line: `--environment staging --image "$IMAGE"`},
		{Does: "prove a release that runs two images", Line: `--environment staging --image "$IMAGE" --image worker="$WORKER"`},
		{Does: "prove all services of a monorepo (docs/matrix.md)", Line: `--matrix services.yaml --environment staging --digests "$DIGESTS"`},
	},
	Outputs: []setting.Output{
		{Name: "verdict", Help: "pass, fail, or inconclusive if the service could not be reached although nothing shows that it is down, or the time was too short"},
		{Name: "services", Help: "JSON: the results of a matrix's services"},
		{Name: "report", Help: "JSON with every check's last answer, the stage it reached and the seconds it took"},
	},
}

// DefaultCommitHeader is the response header in which a service names its commit, as the sample service in app/ does.
const DefaultCommitHeader = "X-Commit"

// DefaultPause is the time between two rounds that pass: three rounds cover two seconds and more than one cycle of a load
// balancer's choice, and cost a pipeline no more than that.
const DefaultPause = time.Second

// Settings are the inputs of smoke.
type Settings struct {
	PlainHTTP []string // registries
	URL       string
	Address   release.Address
	Release   string
	Namespace string
	setting.ClusterRef
	Checks           string
	ExpectCommit     release.Commit
	CommitFrom       CommitFrom
	Consecutive      int
	Pause            time.Duration
	Soak             time.Duration
	MaxErrors        setting.Share
	Timeout          time.Duration
	Patience         time.Duration
	Image            release.Image        // the main one
	Further          []release.BuiltImage // other images that the release runs, with their names
	Environment      release.Environment
	SignKey          setting.KeyRef
	LegacySignatures string // of cosign 2: warn or refuse
	matrix.Options
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.URL, setting.Setting{Name: "url", Value: "http(s)://HOST[:PORT]",
		Help: "Base URL of the service; with a release or an image, its host must be one of the release's"}, setting.Text)
	setting.Var(set, &s.Address, setting.Setting{Name: "address", Default: string(release.AddressAuto), Value: "auto|service/NAME|ingress/NAME|URL",
		Help: "Where the release is served; auto: by its load balancer, or else its Ingress"}, parseServedAddress)
	setting.Var(set, &s.Release, setting.Setting{Name: "release", Value: "NAME",
		Help: "Release whose Service address to wait for and use; default without url: the last part of the image's repository"}, release.ParseLabel)
	setting.Var(set, &s.Namespace, setting.Setting{Name: "namespace", Value: "NAME",
		Help: "Namespace of the release; default: the environment's name"}, release.ParseLabel)
	s.ClusterRef.Declare(set)
	setting.Var(set, &s.Checks, setting.Setting{Name: "checks", Default: setting.ChecksByDefault, Value: "FILE|default|probe",
		Help: "YAML file of checks, inside the work tree: requests, gRPC health, commands (format: docs/checks.md). default: " + setting.DefaultChecks + " if it exists, which init writes, except for a matrix, and else as probe. probe: the request of the pods' readiness probe; if only a URL is given, / must answer 200 with a body"}, setting.Text)
	setting.Var(set, &s.ExpectCommit, setting.Setting{Name: "expect-commit", Value: "SHA", Commit: true,
		Help: "Commit, full or short, that every answer of a passing round must come from; default with image: the commit that the main image was built from"}, release.ParseCommit)
	setting.Var(set, &s.CommitFrom, setting.Setting{Name: "commit-from", Value: "header:NAME|json:PATH#FIELD",
		Help: "Where every answer must name its commit: a response header, or a field of the JSON at a path; default: the header X-Commit, which a service may omit if its pods are proved by digest"}, parseCommitFrom)
	setting.Var(set, &s.Consecutive, setting.Setting{Name: "consecutive", Default: "3", Value: "N",
		Help: "Rounds in a row that must pass"}, setting.Count(1000))
	setting.Var(set, &s.Pause, setting.Setting{Name: "pause", Default: DefaultPause.String(), Value: "DURATION",
		Help: "Time between two rounds that pass"}, setting.Duration)
	setting.Var(set, &s.Soak, setting.Setting{Name: "soak", Value: "DURATION",
		Help: "How long rounds must pass before the verdict is pass; default: as long as the consecutive rounds take"}, setting.Duration)
	setting.Var(set, &s.MaxErrors, setting.Setting{Name: "max-errors", Value: "PERCENT",
		Help: "Share of the soak's requests that may fail, such as 0.1%; an answer of another commit is never allowed; default: none"}, setting.ParseShare)
	setting.Var(set, &s.Timeout, setting.Setting{Name: "timeout", Default: "5m", Value: "DURATION",
		Help: "Time limit for the whole command, including the wait for an address"}, setting.Duration)
	setting.Var(set, &s.Patience, setting.Setting{Name: "patience", Default: "15s", Value: "DURATION",
		Help: "How long answers may be wrong without a round that passes before the verdict is fail; time in which the service cannot be reached, or in which pods that are being deleted answer from another commit, is left out"}, setting.Duration)
	var images []setting.Named[release.Image]
	setting.List(set, &images, setting.Setting{Name: "image", Value: "[NAME=]REPO@sha256:…",
		Help: "Image that the pods must run; the verdict is recorded for it (needs environment). The one without a name is the release's main image; each further one has a name, as for deploy"},
		setting.ParseNamed(release.ParseImage))
	setting.Var(set, &s.Environment, setting.Setting{Name: "environment", Value: "NAME",
		Help: "Environment that the verdict is about"}, release.ParseEnvironment)
	s.Options.Declare(set, true)
	set.Check(func() error { return s.setImages(images) })
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	set.Check(s.validate)
	return set
}

// setImages sets the main image and the further ones.
func (s *Settings) setImages(given []setting.Named[release.Image]) error {
	images, problems := setting.Images(given)
	if problems = append(problems, setting.CheckRepositories(images)...); len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	if len(images) > 0 {
		s.Image, s.Further = images[0].Image, images[1:]
	}
	return nil
}

// images returns all images, the main one first; none if the settings name none.
func (s Settings) images() []release.BuiltImage {
	if s.Image.IsZero() {
		return nil
	}
	return append([]release.BuiltImage{{Image: s.Image, Commit: s.ExpectCommit}}, s.Further...)
}

// validate fills in the release and namespace that the image and environment imply, and refuses settings that contradict
// each other.
func (s *Settings) validate() error {
	if s.Matrix != "" {
		return nil
	}
	if s.Release == "" && !s.Image.IsZero() {
		s.Release = path.Base(s.Image.Repository.Path())
	}
	if s.Namespace == "" && s.Release != "" {
		s.Namespace = s.Environment.String()
	}
	var problems []release.Problem
	problem := func(setting, what, do string) {
		problems = append(problems, release.Problem{Setting: setting, What: what, Do: do})
	}
	if s.URL == "" && s.Release == "" {
		problem("url", "is missing, and so is a release", "give --url, or --release and --namespace")
	}
	if s.Release != "" && s.Namespace == "" {
		problem("namespace", "is missing", "give the release's namespace or its environment")
	}
	if s.URL != "" && s.Address != release.AddressAuto {
		problem("address", "is given together with --url", "give --address for a release, --url for anything else")
	}
	if !s.Image.IsZero() && s.Environment == "" {
		problem("environment", "is missing", "name the environment that the verdict is about")
	}
	if s.MaxErrors > 0 && s.Soak == 0 {
		problem("max-errors", "is given without --soak, over which it is counted", "give --soak")
	}
	if s.Soak >= s.Timeout && s.Timeout > 0 {
		problem("soak", fmt.Sprintf("does not fit into a --timeout of %s", text.Duration(s.Timeout)), "give a longer --timeout")
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// parseServedAddress refuses an address that nothing can be sent to.
func parseServedAddress(text string) (release.Address, error) {
	address, err := release.ParseAddress(text)
	if address == release.AddressNone {
		return "", fmt.Errorf("%q leaves smoke no address to send requests to; give auto, service/NAME, ingress/NAME or a URL", text)
	}
	return address, err
}

// parseHeaderName accepts letters, digits and hyphens.
func parseHeaderName(text string) (string, error) {
	for _, r := range text {
		if !(r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return "", fmt.Errorf("%q is not a header name", text)
		}
	}
	return text, nil
}
