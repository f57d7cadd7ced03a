package history

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares history: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "history",
	Summary: "show, from the registry alone, what happened to each commit's image, and what each environment runs",
	About: "Reads the tags that build wrote and the evidence that is attached to their images. It sends requests to the registry only: to no cluster and no other server. " +
		"Shows for each commit and environment whether the image was deployed, what smoke found, and whose signature says so. " +
		"With a policy, whose signatures count is what the policy says, as for promote and deploy, and whether what runs may enter now is compared with its rules. " +
		"--board writes the same as one HTML page that needs nothing else, for example for GitHub Pages.",
	Examples: []setting.Example{
		{Does: "show the newest commits of a repository", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop`},
		{Does: "show what happened to one commit", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --commit "$(git rev-parse HEAD)"`},
		{Does: "compare what runs with the rules of promotion", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --policy .onedigest.yaml`},
		{Does: "name the records that nothing depends on any more", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --policy .onedigest.yaml --compact list`},
		{Does: "write a board, with every signature checked", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --verify-key awskms:///alias/evidence-staging --board history.html`},
	},
	Outputs: []setting.Output{
		{Name: "running", Help: "JSON: what each environment runs, and which facts allow it"},
		{Name: "board", Help: "the path of the written page"},
	},
}

// Settings are the inputs of history.
type Settings struct {
	Repository   release.Repository
	Commit       release.Commit // "" for all
	Environments []release.Environment
	Limit        int
	Policy       string        // the file of rules; "": the default file, if there is one
	MaxAge       time.Duration // of a pass, where the rules do not say
	Board        string        // path of the page, "" for none
	Source       string        // address of the sources, without a final slash, "" for none
	VerifyKeys   []setting.KeyRef
	PlainHTTP    []string
	Compact      Compact
}

// maxCommits is the largest limit: a page of more is slow to read for people and browsers.
const maxCommits = 1000

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Required: true, Value: "HOST/PATH",
		Help: "Repository whose images are listed"}, release.ParseRepository)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Value: "SHA", Commit: true,
		Help: "Commit, full or short, that is listed alone"}, release.ParseCommit)
	setting.List(set, &s.Environments, setting.Setting{Name: "environments", Commas: true, Value: "NAME",
		Help: "Environments in the order in which images are promoted; default: those of the policy, or else staging and production"}, release.ParseEnvironment)
	setting.Var(set, &s.Limit, setting.Setting{Name: "limit", Default: "100", Value: "N",
		Help: fmt.Sprintf("How many of the newest commits are listed, at most %d", maxCommits)}, setting.Count(maxCommits))
	setting.Var(set, &s.Board, setting.Setting{Name: "board", Value: "FILE",
		Help: "Write the history as an HTML page, which needs no other file"}, setting.Text)
	setting.Var(set, &s.Source, setting.Setting{Name: "source", Value: "URL",
		Help: "Address of the sources, to which commits are linked; default: that of the workflow's repository"}, ParseSource)
	setting.Var(set, &s.Compact, setting.Setting{Name: "compact", Value: "list|delete",
		Help: "Name the records of the listed commits that nothing depends on any more (list), or delete them, with credentials that may delete manifests (delete)"}, parseCompact)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareVerifyKeys(set, &s.VerifyKeys)
	setting.DeclarePolicy(set, &s.Policy)
	setting.DeclareMaxAge(set, &s.MaxAge)
	return set
}

func parseCompact(given string) (Compact, error) {
	word, err := setting.OneOf(string(CompactList), string(CompactDelete))(given)
	return Compact(word), err
}

// ParseSource accepts an address that a browser may follow.
func ParseSource(given string) (string, error) {
	address, err := url.Parse(given)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "" {
		return "", fmt.Errorf("%q is not an address as https://github.com/OWNER/NAME", given)
	}
	return strings.TrimSuffix(address.String(), "/"), nil
}
