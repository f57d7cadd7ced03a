// Package doctor wires the doctor verb: the machine, the job's identity, AWS, the registry, the cluster and the chart.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/roles"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/doctor"
	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Command returns the doctor verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[doctor.Settings, doctor.Result]{
		Verb: doctor.Verb, Declare: (*doctor.Settings).Declare, Run: Run,
		Outputs: func(r doctor.Result) map[string]string {
			return map[string]string{"findings": app.JSONOf(r.Findings)}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *doctor.Settings, run *app.RunContext) (_ doctor.Result, err error) {
	var tree fs.FS
	if workspace := run.Workspace(); workspace.IsCheckout() {
		root, err := os.OpenRoot(workspace.Root())
		if err != nil {
			return doctor.Result{}, fmt.Errorf("opening %q: %w", workspace.Root(), err)
		}
		defer func() { err = errors.Join(err, root.Close()) }()
		tree = root.FS()
	}
	return doctor.Run(ctx, *settings, doctor.Deps{Tree: tree, Machine: machine{run}, Cloud: cloud{run}, Chart: chart{run}, Reporter: run.Reporter,
		Registry: func(ctx context.Context, target doctor.Target) (doctor.Registry, error) {
			return images.New(ctx, run, target.PlainHTTP...)
		},
		Signers: func(ctx context.Context, environment release.Environment) ([]doctor.Signer, error) {
			read, err := gates.CheckSigners(ctx, run, environment)
			var signers []doctor.Signer
			for _, each := range read {
				signers = append(signers, doctor.Signer{Name: each.String(), OfJob: each.OfJob, Err: each.Err})
			}
			return signers, err
		},
		Cluster: func(ctx context.Context, target doctor.Target) (doctor.Cluster, error) {
			client, _, err := clusters.Connect(ctx, run, target.ClusterRef)
			return cluster{client}, err
		}})
}

// machine implements doctor.Machine.
type machine struct{ run *app.RunContext }

func (m machine) Find(program string) error {
	_, err := execx.Find(program, m.run.Process.Environ)
	return err
}

func (m machine) Kubeconfig() string { return m.run.Process.Getenv("KUBECONFIG") }

func (m machine) IsShallow(ctx context.Context) (bool, error) {
	return git.IsShallow(ctx, m.run.Process.Environ, m.run.Process.Dir)
}

// cloud implements doctor.Cloud.
type cloud struct{ run *app.RunContext }

func (c cloud) InJob() bool              { return c.run.InJob() }
func (c cloud) Subject() (string, error) { return roles.Subject(c.run) }

func (c cloud) Role() string {
	if c.run.Role == nil {
		return ""
	}
	return c.run.Role.ARN
}

func (c cloud) Assume(ctx context.Context) error {
	_, err := roles.Credentials(ctx, c.run)
	return err
}

func (c cloud) Caller(ctx context.Context, region string) (release.Caller, error) {
	return clusters.Caller(ctx, c.run, region)
}

// cluster implements doctor.Cluster.
type cluster struct{ *kube.Client }

func (c cluster) Address() string { return c.Host }

func (cluster) Rules() []release.Permission {
	return append([]release.Permission{}, kube.Permissions...)
}

func (cluster) NamespaceRule() release.Permission { return kube.CreateNamespacePermission() }

func (cluster) RulesOf(namespace string, kinds []release.AppliedKind) (rules []release.Permission) {
	for _, kind := range kinds {
		rules = append(rules, kube.KindPermissions(kind)...)
	}
	return append(rules, kube.AddressPermissionsOf(namespace, kinds)...)
}

// chart implements doctor.Chart.
type chart struct{ run *app.RunContext }

func (c chart) Check(ctx context.Context, target doctor.Target) error {
	settings, err := settingsOf(target)
	if err != nil {
		return err
	}
	return appdeploy.CheckFiles(ctx, []deploy.Settings{settings}, c.run)
}

func (c chart) Kinds(ctx context.Context, target doctor.Target) ([]release.AppliedKind, error) {
	settings, err := settingsOf(target)
	if err != nil {
		return nil, err
	}
	return appdeploy.AppliedKinds(ctx, settings, c.run)
}

// anyDigest stands for an image that is not built yet.
var anyDigest = "sha256:" + strings.Repeat("0", 64)

// settingsOf returns the settings of the deploy that would be run.
func settingsOf(target doctor.Target) (deploy.Settings, error) {
	var settings deploy.Settings
	values := setting.Values{}
	put := func(name string, texts ...string) {
		if len(texts) > 0 && texts[0] != "" {
			values[name] = setting.Input{Texts: texts, Origin: "--" + name}
		}
	}
	put("environment", target.Environment.String())
	put("image", target.Repository.String()+"@"+anyDigest)
	put("release", target.Release)
	put("namespace", target.Namespace)
	put("chart", target.Chart)
	put("values", target.Values...)
	put("smoke-checks", target.Checks)
	put("kubeconfig", target.Kubeconfig)
	put("kube-context", target.Context)
	put("cluster", target.Cluster)
	put("region", target.Region)
	put("expect-account", target.Account)
	put("plain-http", target.PlainHTTP...)
	if target.AllowWorkTree {
		put("allow-work-tree-kubeconfig", "true")
	}
	return settings, settings.Declare().Apply(values)
}
