package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// reader reads releases.
type reader struct {
	Deps
	settings Settings
	ladder   ladder
}

// read reads one release from its cluster.
func (r reader) read(ctx context.Context, target Target) Row {
	row := Row{Environment: target.Environment, Service: target.Service, Cluster: target.Cluster, Namespace: target.Namespace, Release: target.Release,
		State: StateUnread, Next: []Next{}, target: target}
	ctx, cancel := context.WithTimeoutCause(ctx, r.settings.Timeout, r.late("the cluster"))
	defer cancel()
	row.failed = timedOut(ctx, r.readCluster(ctx, target, &row))
	return row
}

// late is the error of a side that has not answered in time.
func (r reader) late(side string) error {
	return &release.Fault{Side: "status", Err: fmt.Errorf("%s did not answer within %s", side, text.Duration(r.settings.Timeout)), Do: "try again, or give a longer --timeout"}
}

// timedOut returns the context's cause instead of an error that the end of its time has led to.
func timedOut(ctx context.Context, err error) error {
	var fault *release.Fault
	if err != nil && ctx.Err() != nil && errors.As(context.Cause(ctx), &fault) {
		return fault
	}
	return err
}

// readCluster reads the records, the pin and the pods of a release.
func (r reader) readCluster(ctx context.Context, target Target, row *Row) error {
	cluster, err := r.Connect(ctx, target.Ref)
	if err != nil {
		return err
	}
	row.where = cluster.Target(target.Namespace, target.Release)
	lacks, err := r.check(ctx, cluster, target.Namespace, row)
	if err != nil {
		return err
	}
	revisions, err := cluster.Revisions(ctx, target.Namespace, target.Release)
	if err != nil {
		return err
	}
	if !lacks["leases"] {
		pin, err := cluster.Pin(ctx, target.Namespace, target.Release)
		if err != nil {
			return err
		}
		if pin != nil {
			row.Pin = &Pin{Commit: pin.Commit, Run: pin.RunURL, By: pin.Actor, At: pin.At}
		}
	}
	row.describe(revisions)
	if row.State == StateNotInstalled {
		found, err := cluster.ByArgoCD(ctx, target.Namespace, target.Release)
		if err != nil {
			return err
		}
		row.describeByArgoCD(found)
	}
	image := row.image()
	if row.State == StateLive && image.IsZero() {
		row.Limits = append(row.Limits, row.withoutImage())
		return nil
	}
	if row.State != StateLive || lacks["pods"] {
		return nil
	}
	return r.readPods(ctx, cluster, row, image)
}

// check asks for the rules of RBAC; lacks has the resources that may not be read. A rule without which nothing is known is an error.
func (r reader) check(ctx context.Context, cluster Cluster, namespace string, row *Row) (lacks map[string]bool, err error) {
	missing, asked, err := cluster.Missing(ctx, namespace, cluster.Rules())
	if err != nil || !asked {
		return nil, err
	}
	lacks = map[string]bool{}
	var needed, limits []string
	for _, rule := range missing {
		denied := strings.Join(rule.Verbs, ", ") + " " + rule.Name()
		if rule.Without == "" {
			needed = append(needed, denied)
			continue
		}
		if group := map[bool]string{true: "leases", false: "pods"}[rule.Resource == "leases"]; !lacks[group] {
			lacks[group] = true
			limits = append(limits, fmt.Sprintf("may not %s in namespace %q: %s", denied, namespace, rule.Without))
		}
	}
	row.Limits = limits
	if len(needed) > 0 {
		return nil, &release.Fault{Side: "cluster", Err: fmt.Errorf("forbidden: this user may not %s in namespace %q", strings.Join(needed, "; "), namespace),
			Do: "ask a cluster administrator for the Role in docs/rbac/role-status.yaml"}
	}
	return lacks, nil
}

// describe fills in what the revisions say, which are newest first.
func (r *Row) describe(revisions []release.Revision) {
	if len(revisions) == 0 {
		r.State = StateNotInstalled
		return
	}
	newest := revisions[0]
	at := slices.IndexFunc(revisions, func(revision release.Revision) bool { return revision.Status == "deployed" })
	if at != 0 {
		r.Attempt = &Attempt{Revision: newest.Number, Status: newest.Status, Commit: newest.Commit, At: newest.At}
	}
	if at < 0 {
		r.State = StateNotDeployed
		return
	}
	live := revisions[at]
	r.State, r.Revision, r.Commit, r.Digest, r.Since, r.By, r.Run, r.Mark = StateLive, live.Number, live.Commit, live.Digest, live.At.UTC(), live.Actor, live.RunURL, live.Mark
	r.Repository, r.References = live.Image.Repository, live.References
}

// describeByArgoCD fills in what the cluster says of a release that Argo CD applies.
func (r *Row) describeByArgoCD(found release.ByArgoCD) {
	if found.Application == "" {
		if len(found.Unread) > 0 {
			r.Limits = append(r.Limits, fmt.Sprintf("whether Argo CD applies it is not known: may not list %s in namespace %q", strings.Join(found.Unread, ", "), r.Namespace))
		}
		return
	}
	r.State, r.Application, r.Since = StateLive, found.Application, found.Since
	if image, is := found.Image(r.Release); is {
		r.Repository, r.Digest = image.Repository, image.Digest
		return
	}
	r.References = found.References
}

// image returns the image that the release runs by its record; zero if another tool deployed it, or nothing is deployed.
func (r Row) image() release.Image {
	if r.Repository == "" || r.Digest.IsZero() {
		return release.Image{}
	}
	return r.Repository.At(r.Digest)
}

// withoutImage says of a live release why its image is not known.
func (r Row) withoutImage() string {
	if r.Application != "" {
		return "what the pods run is not compared, and no record of the image is read: its workloads do not name one image of its own by a digest"
	}
	why := "names no digest of an image"
	if !r.Digest.IsZero() {
		why = fmt.Sprintf("has no object that names an image by the digest %s", r.Digest.Short())
	}
	return fmt.Sprintf("what the pods run is not compared, and no record of the image is read: revision %d %s", r.Revision, why)
}

// contents reads what images consist of.
type contents struct {
	Registry
	Cluster
}

// noRegistry is a registry that is not read.
type noRegistry struct{ Registry }

var errNoRegistry = errors.New("the registry is not read")

func (noRegistry) Platforms(context.Context, release.Image) ([]release.PlatformImage, bool, error) {
	return nil, false, errNoRegistry
}

// readPods compares what the pods run with the image of the record.
func (r reader) readPods(ctx context.Context, cluster Cluster, row *Row, image release.Image) error {
	running, err := cluster.Running(ctx, row.Namespace, row.Release, image)
	if err != nil {
		return err
	}
	from := r.Registry
	if r.settings.ClusterOnly {
		from = noRegistry{}
	}
	proof, err := running.Prove(ctx, image, contents{from, cluster})
	if errors.Is(err, errNoRegistry) {
		row.Limits = append(row.Limits, "what the pods run is not compared with the record: their digests differ from it, and only the registry knows whether the content does")
		return nil
	}
	if err != nil {
		return err
	}
	notes := slices.DeleteFunc(slices.Clone(proof.Notes), func(note string) bool { return slices.Contains(proof.Held, note) })
	row.Pods = &Pods{Matching: proof.Pods, Differs: slices.Concat(proof.Problems, proof.Held), Notes: notes}
	if row.Pods.Matching == nil {
		row.Pods.Matching = []string{}
	}
	return nil
}
