// Package smoke wires the smoke verb: the prober, the cluster, and the registry that keeps the evidence.
package smoke

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/forward"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
	"github.com/onedigest/onedigest/internal/text"
)

// Command is the smoke verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[smoke.Settings, smoke.Result]{
		Verb: smoke.Verb, Declare: (*smoke.Settings).Declare, ResolveCommit: git.ResolveCommit, Run: Run, Summary: summary,
		Outputs: func(r smoke.Result) map[string]string {
			report, err := json.Marshal(r.Report)
			if err != nil {
				report = nil
			}
			return map[string]string{"verdict": string(r.Verdict), "report": string(report), "services": app.JSONOf(r.Services)}
		},
	})
}

func summary(r smoke.Result) []app.Row {
	rows := []app.Row{{"verdict", string(r.Verdict)}, {"url", r.Report.URL}, {"expected commit", r.Report.Expected.String()},
		{"rounds", fmt.Sprintf("%d, the last %d passed", r.Report.Rounds, r.Report.Consecutive)}}
	for _, answer := range r.Report.Answers {
		text := "passed"
		if !answer.OK() {
			text = string(answer.Stage) + ": " + strings.Join(answer.Wrong, "; ")
		}
		rows = append(rows, app.Row{answer.Check, text})
	}
	for _, one := range r.Services {
		rows = append(rows, app.Row{strings.TrimPrefix(one.Cluster+"/"+one.Service, "/"), cmp.Or(one.Error, string(one.Verdict))})
	}
	return rows
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Result, error) {
	newDeps := func(ctx context.Context, settings smoke.Settings, reporter release.Reporter) (smoke.Deps, error) {
		own := *run
		own.Reporter = reporter
		return connect(ctx, &settings, &own)
	}
	if settings.Matrix != "" {
		content, err := run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)")
		if err != nil {
			return smoke.Result{}, err
		}
		return smoke.RunMatrix(ctx, content, *settings, run.Reporter, newDeps)
	}
	deps, err := newDeps(ctx, *settings, run.Reporter)
	if err != nil {
		return smoke.Result{}, err
	}
	return smoke.Run(ctx, *settings, deps)
}

// connect makes the adapters of one smoke. The cluster and the registry are connected only where a release or an image is named.
func connect(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Deps, error) {
	var cluster *kube.Client
	if settings.Release != "" {
		var err error
		if cluster, _, err = clusters.Connect(ctx, run, settings.ClusterRef); err != nil {
			return smoke.Deps{}, err
		}
	}
	deps, err := NewDeps(settings, run, cluster, "checks")
	if err != nil {
		return smoke.Deps{}, err
	}
	if !settings.Image.IsZero() {
		if deps.Registry, err = newRegistry(ctx, settings, run); err != nil {
			return smoke.Deps{}, err
		}
	}
	return deps, nil
}

// newRegistry returns the registry that gets the verdict, signed if there is a key. A verdict that another key or none signed does not make a new
// one unnecessary.
func newRegistry(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Registry, error) {
	registry, err := images.New(ctx, run)
	if err != nil {
		return nil, err
	}
	signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
	if err != nil {
		return nil, err
	}
	if signer != nil {
		registry.SignWith(signer)
		registry.Trust([]signed.Key{signer.Key()})
	}
	return registry, nil
}

// NewDeps are the adapters of smoke, without a registry; the cluster is nil if only a URL is asked. The setting is the one that names the
// file of checks.
func NewDeps(settings *smoke.Settings, run *app.RunContext, cluster *kube.Client, setting string) (smoke.Deps, error) {
	deps := smoke.Deps{
		Checks:   Checks{Workspace: run.Workspace(), Setting: setting, Secrets: run.Secrets},
		Reporter: run.Reporter, Now: run.Process.Now, Pause: pause, RunURL: run.RunURL(),
	}
	sender := prober{Prober: probe.New(probe.Options{CommitHeader: settings.CommitFrom.CommitHeader(), UserAgent: "onedigest-smoke"})}
	if cluster != nil {
		forwarder, err := forward.New(cluster)
		if err != nil {
			return deps, err
		}
		deps.Cluster, sender.forwarder = cluster, forwarder
	}
	deps.Prober = sender
	return deps, nil
}

// prober sends requests to URLs, and to pods through the cluster.
type prober struct {
	*probe.Prober
	forwarder *forward.Forwarder // nil without a cluster
}

// Probe sends one request and compares the response with the check.
func (p prober) Probe(ctx context.Context, to release.Endpoint, check release.Check) release.Answer {
	target := probe.Target{Base: to.Base, Address: to.Address, Proto: to.Proto}
	if to.Backend.Pod != "" {
		target.Dial = func(ctx context.Context) (net.Conn, error) { return p.forwarder.Dial(ctx, to.Backend) }
	}
	answer := p.Prober.Probe(ctx, target, check)
	answer.Address = to.Name()
	return answer
}

func (prober) CheckURL(url string) error {
	_, err := probe.ParseBase(url)
	return err
}

// Checks reads checks files of the work tree.
type Checks struct {
	Workspace app.Workspace
	Setting   string        // that names the file
	Secrets   *text.Secrets // gets what the requests authenticate with
}

// Load reads a checks file; none for "". The error is a *release.InputError.
func (c Checks) Load(path string) ([]release.Check, error) {
	if path == "" {
		return nil, nil
	}
	content, err := c.Workspace.Read(c.Setting, path, "name a YAML file of checks")
	if err != nil {
		return nil, err
	}
	checks, err := probe.LoadChecks(path, content)
	if err != nil { // which may quote any part of the file
		c.Secrets.AddPossible(text.Scalars(string(content))...)
		return nil, err
	}
	for _, check := range checks {
		c.collect(check)
	}
	return checks, nil
}

// collect adds what a check sends: the server's answer may give it back.
func (c Checks) collect(check release.Check) {
	for name, value := range check.Headers {
		if text.NamesSecret(name) {
			c.Secrets.Add(text.CredentialsOf(value)...)
			c.Secrets.Add(value)
		}
	}
	c.Secrets.Add(text.PasswordOf(check.Path))
	c.Secrets.AddPossible(check.Body)
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
