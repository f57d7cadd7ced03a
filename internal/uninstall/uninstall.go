// Package uninstall removes a release from an environment.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Deps are what the verb works with.
type Deps struct {
	Cluster  Cluster
	Chart    Chart
	Policy   policy.Policy
	Ask      func(question string) (string, error) // nil: there is nobody to ask
	Reporter release.Reporter
	Holder   release.Holder // this run, as its Lease names it
}

// Cluster is where the release runs. Its errors are a *release.Fault unless they say otherwise.
type Cluster interface {
	// NamespacePhase returns the phase of a namespace, "" if it does not exist; known is false if that may not be asked.
	NamespacePhase(ctx context.Context, namespace string) (phase string, known bool, err error)
	// EnvironmentOf reads for which environment a namespace was made; "" if nothing says it, or it may not be read.
	EnvironmentOf(ctx context.Context, namespace string) (release.Environment, error)
	// Rules returns the rules of RBAC that every uninstall needs, and NamespaceRule the one for deleting a namespace.
	Rules() []release.Permission
	NamespaceRule() release.Permission
	// CheckPermissions reports whether the user has the rules, as limits those that it can do without.
	CheckPermissions(ctx context.Context, namespace string, wanted []release.Permission) (limits []string, err error)
	// CheckKinds reports whether the user may delete objects of the kinds.
	CheckKinds(ctx context.Context, namespace string, kinds []release.AppliedKind) (limits []string, err error)
	// Namespace reads who made a namespace, and which other releases it has.
	Namespace(ctx context.Context, namespace, name string) (NamespaceUse, error)
	// ByArgoCD reads which workloads of a release Argo CD applies.
	ByArgoCD(ctx context.Context, namespace, name string) (release.ByArgoCD, error)
	// DeleteNamespace deletes a namespace, unless it was made again since its UID was read.
	DeleteNamespace(ctx context.Context, namespace, uid string) error
	// AcquireLease takes the release's Lease, and waits until ctx ends for another run that holds it.
	AcquireLease(ctx context.Context, request release.LeaseRequest, report func(string)) (release.Lease, error)
}

// NamespaceUse says who created a namespace, and what is in it besides the release.
type NamespaceUse struct {
	UID    string   // "" if it does not exist
	IsOurs bool     // a deploy created it
	Others []string // with what they are known by, if that is no record of Helm in a Secret
}

// Chart keeps the release's revisions and objects.
type Chart interface {
	// Removal reports what Uninstall would delete and leave.
	Removal(ctx context.Context, name string) (release.Removal, error)
	// Heal marks a revision that a killed run left pending as failed; nil if there is none. The caller must hold the Lease.
	Heal(ctx context.Context, name string, report func(string)) (*release.Healed, error)
	// Uninstall deletes a release.
	Uninstall(ctx context.Context, name string) error
}

// OutcomeRemoved is a run that removed the release or its namespace.
const OutcomeRemoved release.Outcome = "removed"

// Result is what was removed, and what stays.
type Result struct {
	Environment      release.Environment  `json:"environment"`
	Release          string               `json:"release"`
	Namespace        string               `json:"namespace"`
	Outcome          release.Outcome      `json:"outcome"`
	State            string               `json:"state"` // one sentence
	Revision         int                  `json:"revision,omitempty"`
	Commit           release.Commit       `json:"commit,omitempty"`
	Plan             *Plan                `json:"plan,omitempty"`   // what was to be deleted; nil if there is nothing to remove
	Deleted          []release.Object     `json:"deleted"`          // what was deleted; none of a deletion that failed, which may have deleted a part of the plan
	Kept             []release.KeptObject `json:"stays"`            // what stays if all of the plan is deleted
	NamespaceDeleted bool                 `json:"namespaceDeleted"` // the cluster has taken the request to delete it
}

// Plan is what a run is to delete, whether it does or not.
type Plan struct {
	Deletes       []release.Object `json:"deletes"`
	WithNamespace []release.Object `json:"withNamespace,omitempty"` // what an uninstall leaves and only the namespace takes with it
	Namespace     bool             `json:"namespace"`               // the namespace is deleted with all that is in it
}

// run is one run of the verb.
type run struct {
	Deps
	settings Settings
	result   Result
	use      NamespaceUse
	resumes  bool // an earlier uninstall has not finished
}

// Run removes the release. A release that is not installed is no error. A *release.Refusal and a *release.InputError say that nothing was changed.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	r := &run{Deps: deps, settings: settings, result: Result{Environment: settings.Environment, Release: settings.Release, Namespace: settings.Namespace, Outcome: release.Unchanged,
		Deleted: []release.Object{}, Kept: []release.KeptObject{}}}
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	err := r.run(ctx)
	if err == nil {
		r.Reporter.Infof("%s", r.result.State)
	}
	return r.result, err
}

func (r *run) run(ctx context.Context) error {
	if err := r.checkConfirmed(); err != nil {
		return err
	}
	phase, known, err := r.Cluster.NamespacePhase(ctx, r.settings.Namespace)
	switch {
	case err != nil:
		return err
	case known && phase == "":
		r.result.State = fmt.Sprintf("nothing to remove: namespace %q does not exist", r.settings.Namespace)
		return nil
	case phase == "Terminating":
		r.result.State = fmt.Sprintf("nothing to remove: namespace %q is being deleted already", r.settings.Namespace)
		return nil
	}
	removal, err := r.plan(ctx)
	if err != nil {
		return err
	}
	deletesNamespace := r.use.UID != ""
	if removal.Revision == 0 && !deletesNamespace {
		r.result.State = fmt.Sprintf("nothing to remove: release %q is not installed in namespace %q", r.settings.Release, r.settings.Namespace)
		return nil
	}
	r.describe(removal)
	if r.settings.DryRun {
		r.result.Outcome, r.result.State = release.Planned, "nothing was changed"
		return nil
	}
	if err := r.ask(); err != nil {
		return err
	}
	return r.underLease(ctx, removal)
}

// checkConfirmed refuses what nobody could confirm: without a terminal, yes is needed, and for a guarded environment its name again.
func (r *run) checkConfirmed() error {
	if r.settings.DryRun || r.Ask != nil {
		return nil
	}
	if !r.settings.Yes {
		return release.BadSetting("yes", "is missing, and there is no terminal to ask at", "look at what --dry-run says, and give --yes")
	}
	if r.isGuarded() && r.settings.Confirm == "" {
		return r.guardedRefusal()
	}
	return nil
}

func (r *run) guardedRefusal() error {
	rules := "without a policy, that is production"
	if file := r.Policy.Source.File; file != "" {
		rules = "by " + file
	}
	return &release.Refusal{Why: fmt.Sprintf("%q takes only what an earlier environment proved (%s), so that its name is needed twice", r.settings.Environment, rules),
		Do: fmt.Sprintf("give --confirm %s too", r.settings.Environment)}
}

// isGuarded reports whether the environment takes only what an earlier one proved or ran: by the policy, or without one by the usual order.
func (r *run) isGuarded() bool { return r.guards(r.settings.Environment) }

func (r *run) guards(environment release.Environment) bool {
	if r.Policy.Source.File == "" {
		_, found := release.DefaultPromotionOrder.Before(environment)
		return found
	}
	rung, found := r.Policy.Rung(environment)
	return found && rung.IsGuarded()
}

// plan checks the rules of RBAC and the namespace, and reads what would be deleted. Nothing is changed.
func (r *run) plan(ctx context.Context) (release.Removal, error) {
	rules := r.Cluster.Rules()
	if r.settings.DeleteNamespace {
		rules = append(rules[:len(rules):len(rules)], r.Cluster.NamespaceRule())
	}
	if err := r.check(r.Cluster.CheckPermissions(ctx, r.settings.Namespace, rules)); err != nil {
		return release.Removal{}, err
	}
	labelled, err := r.Cluster.EnvironmentOf(ctx, r.settings.Namespace)
	if err != nil {
		return release.Removal{}, err
	}
	if r.settings.DeleteNamespace {
		use, err := r.Cluster.Namespace(ctx, r.settings.Namespace, r.settings.Release)
		if err != nil {
			return release.Removal{}, err
		}
		if err := r.checkNamespace(use); err != nil {
			return release.Removal{}, err
		}
		r.use = use
	}
	removal, err := r.Chart.Removal(ctx, r.settings.Release)
	if err != nil {
		return removal, err
	}
	if err := r.checkEnvironment(removal, labelled); err != nil {
		return removal, err
	}
	if err := r.checkOwner(ctx, removal); err != nil {
		return removal, err
	}
	return removal, r.check(r.Cluster.CheckKinds(ctx, r.settings.Namespace, removal.Kinds))
}

// checkOwner refuses a release that Argo CD applies, whether Helm has a record of it or not: Argo CD would apply again what is removed here.
func (r *run) checkOwner(ctx context.Context, removal release.Removal) error {
	found, err := r.Cluster.ByArgoCD(ctx, r.settings.Namespace, r.settings.Release)
	if err != nil {
		return err
	}
	if found.Application == "" {
		if len(found.Unread) > 0 && (removal.Revision == 0 || r.use.UID != "") {
			r.Reporter.Warnf("whether Argo CD applies release %q is not known: may not list %s in namespace %q", r.settings.Release, strings.Join(found.Unread, ", "), r.settings.Namespace)
		}
		return nil
	}
	var names []string
	for _, object := range found.Workloads {
		names = append(names, object.String())
	}
	return &release.Refusal{Why: fmt.Sprintf("Argo CD owns release %q in namespace %q: its Application %q applies %s, and would apply it again", r.settings.Release, r.settings.Namespace, found.Application, strings.Join(names, ", ")),
		Do: fmt.Sprintf("delete the Application with its objects, where it is written and then in the cluster: argocd app delete %s --cascade (docs/gitops.md)", found.Application)}
}

// checkEnvironment refuses a release of another environment than the one that is named: its rules decide whether the name is needed twice. The release's record
// says the environment, or else the namespace's label, or else the namespace's name if that is a guarded environment. A namespace that is deleted must be the environment's too.
func (r *run) checkEnvironment(removal release.Removal, labelled release.Environment) error {
	if removal.Revision == 0 && r.use.UID == "" {
		return nil // nothing is removed
	}
	is, by := removal.Environment, fmt.Sprintf("the record of revision %d of release %q in namespace %q", removal.Revision, r.settings.Release, r.settings.Namespace)
	if is == "" {
		is, by = labelled, fmt.Sprintf("the label %s of namespace %q", release.LabelEnvironment, r.settings.Namespace)
	}
	if named := release.Environment(r.settings.Namespace); is == "" && r.guards(named) {
		is, by = named, "the name of the namespace, for want of a record and a label,"
	}
	if (is == "" || is == r.settings.Environment) && r.use.UID != "" && labelled != "" {
		is, by = labelled, fmt.Sprintf("the label %s of namespace %q", release.LabelEnvironment, r.settings.Namespace)
	}
	if is == "" || is == r.settings.Environment {
		return nil
	}
	return &release.Refusal{Why: fmt.Sprintf("%s says environment %q, not %q", by, is, r.settings.Environment), Do: fmt.Sprintf("give --environment %s --namespace %s", is, r.settings.Namespace)}
}

// check reports the limits of a check.
func (r *run) check(limits []string, err error) error {
	for _, limit := range limits {
		r.Reporter.Warnf("%s", limit)
	}
	return err
}

// checkNamespace refuses to delete a namespace that no deploy created, or in which there are other releases.
func (r *run) checkNamespace(use NamespaceUse) error {
	switch {
	case use.UID == "":
		return nil
	case !use.IsOurs:
		return &release.Refusal{Why: fmt.Sprintf("namespace %q was not created by deploy --create-namespace, so it is not deleted", r.settings.Namespace),
			Do: "leave --delete-namespace out, and delete the namespace with whatever created it"}
	case len(use.Others) > 0:
		return &release.Refusal{Why: fmt.Sprintf("namespace %q has other releases (%s), which would be deleted with it", r.settings.Namespace, strings.Join(use.Others, ", ")),
			Do: fmt.Sprintf("leave --delete-namespace out, or uninstall them first; for a release that is gone, delete its Lease: kubectl -n %s delete lease NAME", r.settings.Namespace)}
	}
	return nil
}

// describe puts what is deleted and what is kept into the result, and logs it.
func (r *run) describe(removal release.Removal) {
	would := "goes"
	if r.settings.DryRun {
		would = "would go"
	}
	deletesNamespace := r.use.UID != ""
	plan := &Plan{Deletes: append([]release.Object{}, removal.Deletes...), Namespace: deletesNamespace}
	r.result.Revision, r.result.Commit, r.result.Plan = removal.Revision, removal.Commit, plan
	if removal.Revision > 0 {
		r.Reporter.Infof("release %q in namespace %q, revision %d (%s), of commit %s", r.settings.Release, r.settings.Namespace, removal.Revision, removal.Status, orUnknown(removal.Commit.Short()))
	}
	if r.resumes = !removal.Begun.IsZero(); r.resumes {
		r.Reporter.Warnf("an uninstall that began at %s did not finish: what is left %s, and the hooks that run before a deletion run again", removal.Begun.UTC().Format(time.RFC3339), would)
	}
	for _, object := range removal.Deletes {
		r.Reporter.Infof("%s: %s%s", would, r.name(object), withData(object))
	}
	for _, kept := range removal.Kept {
		if deletesNamespace && kept.Object.Namespace == r.settings.Namespace {
			plan.WithNamespace = append(plan.WithNamespace, kept.Object)
			r.Reporter.Infof("%s with the namespace: %s (%s)", would, r.name(kept.Object), kept.Why)
			continue
		}
		r.addKept(kept.Object, kept.Why)
	}
	if deletesNamespace {
		r.Reporter.Infof("%s: namespace %q with all that is left in it, such as the data of volumes", would, r.settings.Namespace)
		return
	}
	r.addKept(release.Object{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: r.settings.Namespace, Name: "onedigest-" + r.settings.Release}, "runs exclude each other by it")
	r.addKept(release.Object{APIVersion: "v1", Kind: "Namespace", Name: r.settings.Namespace}, "--delete-namespace deletes one that deploy created")
}

// addKept adds an object that is kept to the result, and logs it.
func (r *run) addKept(object release.Object, why string) {
	r.result.Kept = append(r.result.Kept, release.KeptObject{Object: object, Why: why})
	r.Reporter.Infof("stays: %s: %s", r.name(object), why)
}

// name names an object, with its namespace if that is another one.
func (r *run) name(object release.Object) string {
	if object.Namespace == "" || object.Namespace == r.settings.Namespace {
		return object.String()
	}
	return fmt.Sprintf("%s in namespace %q", object, object.Namespace)
}

// withData says that an object's data goes with it.
func withData(object release.Object) string {
	if object.Kind == "PersistentVolumeClaim" {
		return ", with its data unless the volume is retained"
	}
	return ""
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// ask asks at the terminal, unless everything is confirmed by settings.
func (r *run) ask() error {
	if guarded := r.isGuarded(); guarded && r.settings.Confirm == "" {
		answer, err := r.Ask(fmt.Sprintf("type the environment's name (%s) to remove release %s from it", r.settings.Environment, r.settings.Release))
		if err != nil {
			return err
		}
		if strings.TrimSpace(answer) != r.settings.Environment.String() {
			return &release.Refusal{Why: "the environment's name was not typed; nothing was changed"}
		}
		return nil
	}
	if r.settings.Yes {
		return nil
	}
	answer, err := r.Ask(fmt.Sprintf("remove release %s from %s? (yes/no)", r.settings.Release, r.settings.Environment))
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "yes" && answer != "y" {
		return &release.Refusal{Why: "the answer was not yes; nothing was changed"}
	}
	return nil
}

// releaseTime limits the request that releases a Lease.
const releaseTime = 2 * time.Second

// underLease takes the Lease, looks again, and removes. It waits long enough for a killed run's Lease to expire.
func (r *run) underLease(ctx context.Context, planned release.Removal) (err error) {
	waiting, stop := context.WithTimeout(ctx, 2*r.settings.LeaseDuration+releaseTime)
	defer stop()
	lease, err := r.Cluster.AcquireLease(waiting, release.LeaseRequest{Release: r.settings.Release, Namespace: r.settings.Namespace, Holder: r.Holder, Duration: r.settings.LeaseDuration},
		func(line string) { r.Reporter.Infof("%s", line) })
	if err != nil {
		return err
	}
	leaseCtx, cancel := lease.Context(ctx)
	defer func() {
		cancel()
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer stop()
		if failed := lease.Release(ending); failed != nil && !r.gone(err) {
			r.Reporter.Warnf("could not release the Lease of release %q, it expires after %s: %v", r.settings.Release, text.Duration(r.settings.LeaseDuration), failed)
		}
	}()
	if pin, found := lease.Pin(); found && r.use.UID == "" {
		r.Reporter.Infof("the release's pin at commit %s stays: deploys of other commits are refused until --unpin", pin.Commit.Short())
	}
	if err := r.checkUnchanged(leaseCtx, planned); err != nil {
		return err
	}
	if planned.Revision > 0 {
		if err := r.remove(leaseCtx, lease); err != nil {
			return err
		}
	}
	if r.use.UID == "" {
		return nil
	}
	return r.removeNamespace(leaseCtx, lease)
}

// gone reports whether the Lease has gone with its namespace.
func (r *run) gone(err error) bool { return err == nil && r.use.UID != "" }

// checkUnchanged fails if the release is not at the revision that was described: another run has deployed, installed or removed it. Called under the Lease, it holds until the end.
func (r *run) checkUnchanged(ctx context.Context, planned release.Removal) error {
	now, err := r.Chart.Removal(ctx, r.settings.Release)
	if err != nil {
		return err
	}
	if now.Revision == planned.Revision && now.Commit == planned.Commit {
		return nil
	}
	return &release.Failure{What: fmt.Sprintf("release %q in namespace %q changed after it was read: it is now %s, it was %s; nothing was removed", r.settings.Release, r.settings.Namespace, revisionOf(now), revisionOf(planned)),
		Do: "look at it, and run uninstall again"}
}

// revisionOf says at which revision a release is.
func revisionOf(removal release.Removal) string {
	if removal.Revision == 0 {
		return "not installed"
	}
	return fmt.Sprintf("at revision %d (commit %s)", removal.Revision, orUnknown(removal.Commit.Short()))
}

// remove removes the release.
func (r *run) remove(ctx context.Context, lease release.Lease) error {
	healed, err := r.Chart.Heal(ctx, r.settings.Release, func(line string) { r.Reporter.Infof("%s", line) })
	if err != nil {
		return err
	}
	if healed != nil {
		r.Reporter.Warnf("healed: revision %d was left %s by a run that did not finish", healed.Revision, healed.Status)
	}
	if err := lease.Renew(ctx); err != nil {
		return err
	}
	if err := r.Chart.Uninstall(ctx, r.settings.Release); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	r.result.Outcome, r.result.Deleted = OutcomeRemoved, append(r.result.Deleted, r.result.Plan.Deletes...)
	r.result.State = fmt.Sprintf("removed release %q from namespace %q; its pods end now", r.settings.Release, r.settings.Namespace)
	if r.resumes {
		r.result.State = fmt.Sprintf("removed what an unfinished uninstall had left of release %q in namespace %q: %s", r.settings.Release, r.settings.Namespace, release.Count(len(r.result.Plan.Deletes), "object"))
	}
	return nil
}

// removeNamespace deletes the namespace, unless another release has come into it.
func (r *run) removeNamespace(ctx context.Context, lease release.Lease) error {
	use, err := r.Cluster.Namespace(ctx, r.settings.Namespace, r.settings.Release)
	if err != nil {
		return err
	}
	if err := r.checkNamespace(use); err != nil {
		return err
	}
	if err := lease.Renew(ctx); err != nil {
		return err
	}
	if err := r.Cluster.DeleteNamespace(ctx, r.settings.Namespace, r.use.UID); err != nil {
		return err
	}
	r.result.Outcome, r.result.NamespaceDeleted = OutcomeRemoved, true
	r.result.Deleted = append(r.result.Deleted, r.result.Plan.WithNamespace...)
	r.result.State = strings.TrimPrefix(r.result.State+fmt.Sprintf("; namespace %q is being deleted", r.settings.Namespace), "; ")
	return nil
}
