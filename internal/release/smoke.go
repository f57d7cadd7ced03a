package release

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/text"
)

// CheckKind is what a check does.
type CheckKind string

// The kinds of checks.
const (
	CheckHTTP    CheckKind = ""        // an HTTP request
	CheckTCP     CheckKind = "tcp"     // nothing: the port has to accept a connection
	CheckGRPC    CheckKind = "grpc"    // a request for the health of a gRPC service (grpc.health.v1.Health/Check)
	CheckCommand CheckKind = "command" // a program, which has to exit with status 0
	CheckHurl    CheckKind = "hurl"    // a file that hurl runs
	CheckK6      CheckKind = "k6"      // a script that k6 runs
)

// IsCommand reports whether a check of the kind is a program.
func (k CheckKind) IsCommand() bool { return k == CheckCommand || k == CheckHurl || k == CheckK6 }

// Check is one smoke check: a request and the expected response, or a program that sends its own requests.
type Check struct {
	Kind            CheckKind         `yaml:"-" json:"kind,omitempty"`
	Name            string            `yaml:"name" json:"name"`
	Path            string            `yaml:"path" json:"path"`
	Method          string            `yaml:"method" json:"method"`
	Headers         map[string]string `yaml:"headers" json:"headers,omitempty"`
	Body            string            `yaml:"body" json:"body,omitempty"`
	Status          int               `yaml:"status" json:"status"`
	StatusBelow     int               `yaml:"-" json:"statusBelow,omitempty"` // instead of Status: any final status below it; redirects are not followed
	OrTCP           bool              `yaml:"-" json:"orTCP,omitempty"`       // a guess: what does not speak HTTP has to accept a connection instead
	GRPCService     string            `yaml:"-" json:"grpcService,omitempty"`
	CommitField     string            `yaml:"-" json:"commitField,omitempty"` // JSONPath of the commit that the body names
	Header          map[string]string `yaml:"header" json:"header,omitempty"` // response header: expected value
	BodyContains    []string          `yaml:"body-contains" json:"bodyContains,omitempty"`
	BodyNotContains []string          `yaml:"body-not-contains" json:"bodyNotContains,omitempty"`
	BodyRegex       string            `yaml:"body-regex" json:"bodyRegex,omitempty"`
	BodyDigest      Digest            `yaml:"body-digest" json:"bodyDigest,omitzero"`
	JSON            map[string]any    `yaml:"json" json:"json,omitempty"`          // JSONPath: expected value
	JSONType        map[string]string `yaml:"json-type" json:"jsonType,omitempty"` // JSONPath: object, array, string, number, boolean or null
	MaxLatency      time.Duration     `yaml:"max-latency" json:"-"`                // 0: no limit

	HTTP2           bool                     `yaml:"http2" json:"http2,omitempty"`                  // sent in HTTP/2: to a pod without TLS by prior knowledge
	Cookies         bool                     `yaml:"cookies" json:"cookies,omitempty"`              // kept for the later checks of the same endpoint and round
	NoRedirects     bool                     `yaml:"-" json:"noRedirects,omitempty"`                // a redirect is the response, whatever Status is
	Location        string                   `yaml:"location" json:"location,omitempty"`            // of the redirect, or of the last response if redirects are followed
	CertificateDays int                      `yaml:"tls-min-days" json:"certificateDays,omitempty"` // that the certificate must still be valid; 0: no limit
	Latency         map[string]time.Duration `yaml:"latency" json:"latency,omitempty"`              // percentile, such as p95: limit over all requests that count
	Captures        []Capture                `yaml:"capture" json:"captures,omitempty"`             // in the order of their names

	Command *Command `yaml:"-" json:"command,omitempty"` // of CheckCommand, CheckHurl and CheckK6
}

// IsCommand reports whether the check is a program.
func (c Check) IsCommand() bool { return c.Command != nil }

// Capture takes a value from a response for the checks after it, which name it as ${NAME}.
type Capture struct {
	Name  string `json:"name"`
	From  string `json:"from"`  // json, header, cookie or body-regex
	Value string `json:"value"` // JSONPath, header, cookie, or expression whose first group is the value
}

// Command is the program of a check. Paths are relative to the directory of the checks file, which is the program's working directory.
type Command struct {
	Args    []string          `json:"args,omitempty"`   // of CheckCommand: the program and its arguments
	Script  string            `json:"script,omitempty"` // of CheckHurl and CheckK6
	Timeout time.Duration     `json:"timeout"`
	Env     map[string]string `json:"env,omitempty"`
	PassEnv []string          `json:"passEnv,omitempty"` // variables of the job's environment
	Files   []CheckFile       `json:"files,omitempty"`   // whose contents belong to the check
	Line    int               `json:"-"`                 // in the checks file
}

// CheckFile is a file or directory that a command uses.
type CheckFile struct {
	Path   string `json:"path"`
	Digest Digest `json:"digest,omitzero"` // of its content, or of the names and contents of a directory's files
}

// CommandTarget describes the release to a command.
type CommandTarget struct {
	Endpoints []Endpoint // a URL, or the pods among which a port of this machine spreads connections
	Commit    Commit     // "" if unknown
	Digest    Digest     // zero if unknown
}

// Endpoint is where a check is sent: to what a URL names, or to a pod through the cluster.
type Endpoint struct {
	Base    string  // URL whose host the request names
	Address string  // IP address to connect to instead of those that the host's name resolves to; "" for these
	Backend Backend // the pod that is connected to; zero for none
	Proto   string  // scheme that clients of a gateway in front of the pod use; "" if there is none
}

// Name returns the endpoint's name in reports, "" if its URL is enough.
func (e Endpoint) Name() string {
	if e.Backend.Pod != "" {
		return fmt.Sprintf("pod %s:%d", e.Backend.Pod, e.Backend.Port)
	}
	return e.Address
}

// Stage is how far a request got.
type Stage string

// The stages, in order.
const (
	StageDNS     Stage = "dns"
	StageConnect Stage = "connect"
	StageTLS     Stage = "tls"
	StageTarget  Stage = "target" // a load balancer answered that it has no target yet
	StageHTTP    Stage = "http"   // connected, but no complete response
	StageCheck   Stage = "check"  // a complete response that is not the expected one
	StageDone    Stage = "done"
)

// Inconclusive reports whether a request that ended at this stage says nothing about the service itself: its DNS name or its load
// balancer may not exist yet.
func (s Stage) Inconclusive() bool {
	return s == StageDNS || s == StageConnect || s == StageTLS || s == StageTarget
}

// Answer is the result of one request of a smoke check.
type Answer struct {
	Check   string            `json:"check"`
	Kind    CheckKind         `json:"kind"` // "http" in JSON for CheckHTTP
	URL     string            `json:"url"`
	Address string            `json:"address,omitempty"` // address that the request was sent to; "" if any
	Stage   Stage             `json:"stage"`
	Status  int               `json:"status,omitempty"`
	Commit  string            `json:"commit,omitempty"` // commit in the response's header
	Latency time.Duration     `json:"-"`                // of the whole request; latencySeconds in JSON
	Spent   map[Stage]float64 `json:"spentSeconds,omitempty"`
	Wrong   []string          `json:"wrong,omitempty"` // one line for each expectation that was not met
	Body    []byte            `json:"-"`
	NotHTTP bool              `json:"-"` // connected, but what answered does not speak HTTP
	FromPod bool              `json:"-"` // the request went to a pod through the cluster
	Path    string            `json:"-"` // of the request whose response this is, after redirects; "" if there is no response of HTTP

	CachedFor time.Duration `json:"-"` // how long the response was in a cache in front of the service, as that says; 0 if it was in none

	Captures []string `json:"captures,omitempty"` // names of the values that were taken from the response
	Output   string   `json:"output,omitempty"`   // end of what a failed command wrote, sanitized

	// OtherCommit is set if the answer contains another commit than the expected one, or if it contains none and is right in all
	// else.
	OtherCommit bool `json:"otherCommit,omitempty"`
}

// MarshalJSON writes the latency in seconds, as every duration in a result.
func (a Answer) MarshalJSON() ([]byte, error) {
	type plain Answer // without this method
	a.Kind = cmp.Or(a.Kind, "http")
	return json.Marshal(struct {
		plain
		LatencySeconds float64 `json:"latencySeconds"`
	}{plain(a), a.Latency.Seconds()})
}

// OK reports whether every expectation was met.
func (a Answer) OK() bool { return a.Stage == StageDone && len(a.Wrong) == 0 }

// CheckSet identifies checks by a digest over everything that they say, in their order; zero if that cannot be encoded.
func CheckSet(checks []Check) Digest {
	type latency struct {
		Check
		MaxLatency time.Duration `json:"maxLatency"`
	}
	whole := make([]latency, len(checks))
	for i, each := range checks {
		whole[i] = latency{each, each.MaxLatency}
	}
	encoded, err := json.Marshal(whole)
	if err != nil { // a number that JSON does not have
		return Digest{}
	}
	sum := sha256.Sum256(encoded)
	return Digest{hex: hex.EncodeToString(sum[:])}
}

// Evidence is a verdict about a digest, with the facts behind it.
type Evidence struct {
	Image       Image       `json:"image"`
	Commit      Commit      `json:"commit,omitempty"`
	Environment Environment `json:"environment"`
	Target      Target      `json:"target,omitzero"` // that was checked; zero of older versions' records, and of a URL alone
	Verdict     Verdict     `json:"verdict"`
	Checks      []string    `json:"checks"`
	CheckSet    Digest      `json:"checkSet,omitzero"` // of the checks' contents; zero in records of older versions
	Failed      []string    `json:"failed,omitempty"`  // of a failed verdict: the checks that were not answered as expected in the last round; none in records of older versions
	Rounds      int         `json:"rounds"`
	Pods        []string    `json:"pods"` // pods that run the digest, as the kubelet reports it
	URL         string      `json:"url"`
	Run         string      `json:"run,omitempty"`
	At          time.Time   `json:"at"`
	After       []Digest    `json:"after,omitempty"` // records of the environment that the registry held already
	// Origin is the repository in which the evidence was recorded, if the image was copied from there; "" if that is Image.Repository.
	Origin Repository `json:"origin,omitempty"`
}

// ClockSkew is how far apart the clocks of two machines may be. Times that differ by less give no order.
const ClockSkew = 5 * time.Minute

// Proves returns nil if the evidence shows that the image passed in the environment, or the reason why it does not. A pass that is
// dated after now, by more than ClockSkew, or is older than maxAge shows nothing; a maxAge of 0 means no limit.
func (e Evidence) Proves(image Image, environment Environment, now time.Time, maxAge time.Duration) error {
	switch {
	case e.Image.Digest != image.Digest:
		return fmt.Errorf("evidence is about %s, not %s", e.Image.Digest.Short(), image.Digest.Short())
	case e.Environment != environment:
		return fmt.Errorf("evidence is from %q, not %q", e.Environment, environment)
	case e.Verdict != Pass:
		return fmt.Errorf("the verdict in %q%s was %q%s", e.Environment, e.Target.of(), e.Verdict, e.Why())
	case e.Image.Repository != image.Repository:
		return fmt.Errorf("evidence is about the image in %q, not in %q", e.Image.Repository, image.Repository)
	case len(e.Checks) == 0 || e.Rounds < 1:
		return fmt.Errorf("evidence from %q names no check that ran", e.Environment)
	case e.At.After(now.Add(ClockSkew)):
		return fmt.Errorf("evidence from %q is dated %s, which is in the future", e.Environment, e.At.Format(time.RFC3339))
	case maxAge > 0 && now.Sub(e.At) > maxAge:
		return fmt.Errorf("evidence from %q is dated %s, which is older than %s", e.Environment, e.At.Format(time.RFC3339), text.Duration(maxAge))
	}
	return nil
}

// maxFailed is how many checks Why names.
const maxFailed = 5

// Why says which checks failed in which run, as the end of a sentence; "" if the evidence says neither.
func (e Evidence) Why() string {
	var why string
	if len(e.Failed) > 0 {
		names := make([]string, 0, maxFailed)
		for _, name := range e.Failed[:min(len(e.Failed), maxFailed)] {
			names = append(names, strconv.Quote(name))
		}
		word, more := "check", ""
		if len(e.Failed) > 1 {
			word = "checks"
		}
		if left := len(e.Failed) - maxFailed; left > 0 {
			more = fmt.Sprintf(" and %d more", left)
		}
		why = fmt.Sprintf(", %s %s%s failed", word, strings.Join(names, ", "), more)
	}
	if e.Run != "" {
		why += ", run " + e.Run
	}
	return why
}

// Record is evidence as a registry stores it.
type Record struct {
	Evidence
	Record Digest `json:"record"`           // digest of the manifest that contains it
	Signer string `json:"signer,omitempty"` // ID of the trusted key that signed it; "" if none is known
}

// UnreadableRecordError is returned if a pass is known, but a record that may be newer declares another verdict and cannot be
// read: its content is missing, damaged, or of an unknown form. It is unknown whether the pass is still valid.
type UnreadableRecordError struct {
	Record      string // digest of the manifest that holds it, as the registry lists it
	Environment Environment
	Verdict     Verdict // verdict in its annotation
	Target      Target  // in its annotation; zero if it names none
	Created     string  // date in its annotation; "" if undated
}

func (e *UnreadableRecordError) Error() string {
	dated := "undated"
	if e.Created != "" {
		dated = "of " + e.Created
	}
	return fmt.Sprintf("the record %s (%s), which cannot be read, declares the verdict %q in %q%s", e.Record, dated, e.Verdict, e.Environment, e.Target.of())
}

// Supersedes reports whether a pass that is newer than another verdict of the image takes that one's place: it is of the same target, or the other names none.
func (e Evidence) Supersedes(other Evidence) bool {
	return other.Target.IsZero() || e.Target.Is(other.Target)
}

// Proof is what evidence must say before an image goes to another environment.
type Proof struct {
	Image  Image
	By     Environment   // that must have proved the image
	MaxAge time.Duration // of the evidence; 0: any
	Signed bool          // whether evidence counts only if a trusted key signed it
}

// Check returns nil if the newest record proves the image. newest, found and err are the results of reading it from a registry. Check returns a *Refusal if
// the record proves something else or nothing, cannot be read (*UnreadableRecordError), or does not exist, and any other err unchanged. Older records do
// not count, because a later failure invalidates a pass.
func (p Proof) Check(newest Record, found bool, err error, now time.Time) error {
	if unreadable := new(UnreadableRecordError); err != nil && !errors.As(err, &unreadable) {
		return err
	}
	if why, do := p.Explain(newest, found, err, now); why != "" {
		return &Refusal{Why: why, Do: do}
	}
	return nil
}

// Explain says why the newest record does not prove the image, and what to do; "" if it does. The error is nil or an *UnreadableRecordError.
func (p Proof) Explain(newest Record, found bool, err error, now time.Time) (why, do string) {
	switch {
	case err != nil:
		do := fmt.Sprintf("run smoke in %q again with --image, which records a new verdict", p.By)
		if unreadable := new(UnreadableRecordError); errors.As(err, &unreadable) && !unreadable.Target.IsZero() {
			do = fmt.Sprintf("run smoke in %q again with --image for %s, which records a new verdict", p.By, unreadable.Target)
		}
		return err.Error() + ", and no newer one says otherwise", do
	case !found && p.Signed:
		return fmt.Sprintf("the registry holds no evidence that %q proved %s and that a trusted key signed", p.By, p.Image.Digest),
			fmt.Sprintf("deploy it to %q and run smoke with --image and with a --sign-key that is trusted", p.By)
	case !found:
		return fmt.Sprintf("the registry holds no evidence that %q proved %s", p.By, p.Image.Digest), fmt.Sprintf("deploy it to %q and run smoke with --image", p.By)
	}
	if err := newest.Proves(p.Image, p.By, now, p.MaxAge); err != nil {
		return err.Error(), p.advise(newest)
	}
	return "", ""
}

// advise says how to get valid evidence if the newest record does not prove the image.
func (p Proof) advise(newest Record) string {
	switch {
	case newest.Verdict != Pass && !newest.Target.IsZero():
		return fmt.Sprintf("make smoke pass there first (newest record: %s): run it with --environment %s and --image for %s, because a pass of another target takes nothing back; if that is gone for good, lift the failure: promote --lift-rejection TEXT --to %s --image %s --sign-key KEY, with a key that counts for %q, or without one where no keys are verified",
			newest.At.Format(time.RFC3339), p.By, newest.Target, p.By, p.Image, p.By)
	case newest.Verdict != Pass:
		return fmt.Sprintf("make smoke pass in %q first (newest record: %s): mend the values, the service or the image that failed, and run smoke there again with --image %s; the newest verdict counts",
			p.By, newest.At.Format(time.RFC3339), p.Image)
	case newest.Image.Repository != p.Image.Repository:
		return fmt.Sprintf("promote %s with --target-repository %s and, where signatures are asked for, a --sign-key of the environment that it enters or of %q; or run smoke in %q with --image %s",
			newest.Image, p.Image.Repository, p.By, p.By, p.Image)
	}
	return fmt.Sprintf("run smoke in %q again with --image %s, which records a new verdict; --max-age sets how old one may be", p.By, p.Image)
}

// RecordFreshFor is how long a record covers later runs with the same verdict. A check that runs every few minutes
// would otherwise attach thousands of records to one image, which ECR counts as images and other verifiers of the same
// digest have to list. It is the least maximum age of a proof: smoke renews none that is younger.
const RecordFreshFor = 7 * 24 * time.Hour

// Repeats reports whether evidence adds nothing to an earlier record: it has the same verdict about the same image, of the same target
// in the same environment, by the same checks, and the record is not older than RecordFreshFor.
func (e Evidence) Repeats(earlier Evidence) bool {
	return e.Image == earlier.Image && e.Environment == earlier.Environment && e.Target.Is(earlier.Target) && e.Commit == earlier.Commit &&
		e.Verdict == earlier.Verdict && e.CheckSet == earlier.CheckSet && slices.Equal(e.Checks, earlier.Checks) &&
		!earlier.At.After(e.At) && e.At.Sub(earlier.At) < RecordFreshFor
}
