// Package matrix runs a verb for several services, environments and clusters that one file lists. The file is the same for build, deploy,
// smoke and promote: Parse expands it into the settings of one verb's jobs, and Runner runs them.
package matrix

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Options are the settings of a matrix. Every verb that takes one embeds them.
type Options struct {
	Matrix      string                    // file; "": a single job
	Services    []string                  // to run the verb for; none: all that the file lists
	Digests     map[string]release.Digest // of the images, by service
	Concurrency int
	Inputs      setting.Values // the command's settings, which every job inherits
	Only        []Part         // jobs to run, by service and cluster; nil: all. No setting: pipeline gives it
	Unbuilt     bool           // a service needs no digest: its job gets one that names no image. No setting: status only asks where the jobs run
}

// Declare binds the settings to their declarations. takesDigests is false for build, which makes the digests.
func (o *Options) Declare(set *setting.Set, takesDigests bool) {
	setting.Var(set, &o.Matrix, setting.Setting{Name: "matrix", Value: "FILE",
		Help: "YAML file of several services, environments and clusters; the settings given beside it apply to all of them (docs/matrix.md)"}, setting.Text)
	setting.List(set, &o.Services, setting.Setting{Name: "services", Commas: true, Value: "NAME",
		Help: "Service of the matrix to take; default: all"}, release.ParseLabel)
	if takesDigests {
		setting.Var(set, &o.Digests, setting.Setting{Name: "digests", Value: "JSON",
			Help: `Digests of the matrix's services, an output of build --matrix: {"shop": "sha256:…"}`}, parseDigests)
	}
	setting.Var(set, &o.Concurrency, setting.Setting{Name: "concurrency", Default: "4", Value: "N",
		Help: "How many jobs of a matrix run at once"}, setting.Count(64))
	set.Check(func() error {
		o.Inputs = set.Inputs()
		var problems []release.Problem
		for name, given := range map[string]bool{"services": len(o.Services) > 0, "digests": len(o.Digests) > 0} {
			if given && o.Matrix == "" {
				problems = append(problems, release.Problem{Setting: name, What: "is given without a matrix", Do: "give --matrix, or leave it out"})
			}
		}
		if len(problems) > 0 {
			return &release.InputError{Problems: problems}
		}
		return nil
	})
}

// parseDigests accepts a JSON object of digests by service.
func parseDigests(text string) (map[string]release.Digest, error) {
	var texts map[string]string
	if err := json.Unmarshal([]byte(text), &texts); err != nil || len(texts) == 0 {
		return nil, errors.New(`is not a JSON object of digests by service, such as {"shop": "sha256:…"}`)
	}
	if name := repeatedKey(text); name != "" {
		return nil, fmt.Errorf("service %q is given twice", name)
	}
	digests := make(map[string]release.Digest, len(texts))
	for name, text := range texts {
		digest, err := release.ParseDigest(text)
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", name, err)
		}
		digests[name] = digest
	}
	return digests, nil
}

// repeatedKey returns a key that a JSON object of texts has twice, "" if there is none.
func repeatedKey(text string) string {
	decoder, seen := json.NewDecoder(strings.NewReader(text)), map[string]bool{}
	for i := 0; ; i++ {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		if key, isText := token.(string); isText && i%2 == 1 { // after the brace, keys and values alternate
			if seen[key] {
				return key
			}
			seen[key] = true
		}
	}
}

// Verb describes a verb to Parse.
type Verb[S any] struct {
	Name    string // build, deploy, smoke or promote
	Declare func(*S) *setting.Set
	Whole   []string // settings that apply to the whole matrix: the file cannot give them
	// Target returns an identifier of what a job changes, and its name for messages. Two jobs with one target are refused. Nil if the jobs of a
	// matrix never share a target.
	Target func(S) (target, name string)
	Title  func(S) string // names a job that belongs to no service; nil if every job belongs to one
}

// Job is one run of the verb.
type Job[S any] struct {
	Part
	Title    string // names the job in every line of its log: SERVICE, or CLUSTER/SERVICE if the cluster has a name
	Settings S
}

// Part identifies the job of a matrix that a result belongs to, and has its error.
type Part struct {
	Service string `json:"service,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Error   string `json:"error,omitempty"` // of the job; "" if it succeeded
}

// IsSameJob reports whether both are of the same service and cluster.
func (p Part) IsSameJob(other Part) bool {
	return p.Service == other.Service && p.Cluster == other.Cluster
}

// State returns "failed" if the job has an error, and otherwise the given outcome.
func (p Part) State(outcome string) string {
	if p.Error != "" {
		return "failed"
	}
	return outcome
}

// Wave is a group of jobs that run concurrently. It starts when the wave before it has ended.
type Wave[S any] struct {
	Name string
	Jobs []Job[S]
}

// JobError is the error of a job, with the job's title. It has the exit code of the error that it wraps.
type JobError struct {
	Title string
	Err   error
}

// Error names the job on every line.
func (e *JobError) Error() string {
	var lines []string
	for line := range strings.Lines(e.Err.Error()) {
		lines = append(lines, e.Title+": "+line)
	}
	return strings.Join(lines, "")
}

func (e *JobError) Unwrap() error { return e.Err }
