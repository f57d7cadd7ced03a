// Package smoke wires the smoke verb: the prober, the cluster, and the registry that keeps the evidence.
package smoke

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/forward"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Command is the smoke verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[smoke.Settings, smoke.Result]{
		Verb: smoke.Verb, Declare: (*smoke.Settings).Declare, ResolveCommit: git.ResolveCommit, Page: Page,
		Run: func(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Result, error) {
			if settings.Matrix == "" { // whose services name their own
				settings.Checks = FileOf(run, settings.Checks)
			}
			return Run(ctx, settings, run)
		},
		Outputs: func(r smoke.Result) map[string]string {
			report, err := json.Marshal(r.Report)
			if err != nil {
				report = nil
			}
			return map[string]string{"verdict": string(r.Verdict), "report": string(report), "services": app.JSONOf(r.Services)}
		},
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Result, error) {
	warnings := new(gates.Warnings)
	newDeps := func(ctx context.Context, settings smoke.Settings, reporter release.Reporter) (smoke.Deps, error) {
		own := *run
		own.Reporter = reporter
		return connect(ctx, &settings, &own, warnings)
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
func connect(ctx context.Context, settings *smoke.Settings, run *app.RunContext, warnings *gates.Warnings) (smoke.Deps, error) {
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
		var signer signed.Signer
		if deps.Registry, signer, err = newRegistry(ctx, settings, run); err != nil {
			return smoke.Deps{}, err
		}
		if signer != nil {
			deps.Signer = signer.ID()
		}
		gates.WarnUnsigned(ctx, run, settings.Environment, signer, warnings)
	}
	return deps, nil
}

// newRegistry returns the registry that gets the verdict, signed if there is a key, and its signer, nil without one. A verdict that another key or none signed does
// not make a new one unnecessary.
func newRegistry(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Registry, signed.Signer, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return nil, nil, err
	}
	signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
	if err != nil || signer == nil {
		return registry, nil, err
	}
	registry.SignWith(signer)
	registry.RefuseLegacy(settings.LegacySignatures == setting.LegacyRefuse)
	registry.Trust([]signed.Verifier{signer.Verifier()})
	return registry, signer, nil
}

// NewDeps are the adapters of smoke, without a registry; the cluster is nil if only a URL is asked. The setting is the one that names the
// file of checks.
func NewDeps(settings *smoke.Settings, run *app.RunContext, cluster *kube.Client, setting string) (smoke.Deps, error) {
	checks := NewChecks(run, setting)
	deps := smoke.Deps{Checks: checks, Reporter: run.Reporter, Now: run.Process.Now, Pause: pause, RunURL: run.RunURL()}
	sender := prober{Prober: probe.New(probe.Options{CommitHeader: settings.CommitFrom.CommitHeader(), UserAgent: "onedigest-smoke", Captured: run.Secrets.Add})}
	if cluster != nil {
		forwarder, err := forward.New(cluster)
		if err != nil {
			return deps, err
		}
		deps.Cluster, sender.forwarder = cluster, forwarder
		if settings.Release != "" {
			deps.Target = clusters.Target(run, settings.ClusterRef, cluster.Host, settings.Namespace, settings.Release)
		}
	}
	deps.Prober = sender
	deps.Commands = commands{checks: checks, forwarder: sender.forwarder}
	return deps, nil
}

// prober sends requests to URLs, and to pods through the cluster.
type prober struct {
	*probe.Prober
	forwarder *forward.Forwarder // nil without a cluster
}

// Session begins the checks of one round at one endpoint.
func (p prober) Session(to release.Endpoint) smoke.Session {
	target := probe.Target{Base: to.Base, Address: to.Address, Proto: to.Proto}
	if to.Backend.Pod != "" {
		target.Dial = func(ctx context.Context) (net.Conn, error) { return p.forwarder.Dial(ctx, to.Backend) }
	}
	return session{Session: p.Prober.Session(target), name: to.Name()}
}

// session names the endpoint in its answers.
type session struct {
	*probe.Session
	name string
}

// Probe sends one request and compares the response with the check.
func (s session) Probe(ctx context.Context, check release.Check) release.Answer {
	answer := s.Session.Probe(ctx, check)
	answer.Address = s.name
	return answer
}

func (prober) CheckURL(url string) error {
	_, err := probe.ParseBase(url)
	return err
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
