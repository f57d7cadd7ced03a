// Package preview is the verb that shows a pull request in an environment of its own, which ends with it.
package preview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Deps are the adapters that a preview works with.
type Deps struct {
	Namespaces Namespaces
	Leases     Leases
	Releases   Releases
	Deploy     func(ctx context.Context, settings deploy.Settings) (deploy.Result, error)
	// CheckDeploy checks the files of a deploy, before anything is created.
	CheckDeploy func(ctx context.Context, settings deploy.Settings) error
	Announcer   Announcer // nil: nobody is told
	Holder      release.Holder
	Reporter    release.Reporter
	Now         func() time.Time
}

// Namespaces are those of previews.
type Namespaces interface {
	// Find returns the preview in a namespace; nil if the namespace exists and is none of a preview.
	Find(ctx context.Context, namespace string) (preview *release.Preview, exists bool, err error)
	// Create creates the namespace of a preview, and returns it with its UID. A namespace of this name is an error.
	Create(ctx context.Context, preview release.Preview, environment release.Environment, security release.PodSecurity) (release.Preview, error)
	// Extend writes when a preview expires, and returns the preview as it is then: the cluster may be deleting it. It fails if the namespace is gone, or another one.
	Extend(ctx context.Context, preview release.Preview) (release.Preview, error)
	// Limit bounds what a preview may use.
	Limit(ctx context.Context, namespace string) error
	// List returns the previews of a repository on GitHub.
	List(ctx context.Context, repository string) ([]release.Preview, error)
	// Delete makes the cluster delete the namespace of a preview, and does not wait until it is gone. It fails if the namespace is another one of the same name, or
	// was changed after the preview's version.
	Delete(ctx context.Context, preview release.Preview) error
	// Gone returns when the namespace of a preview is gone, or another one of the same name.
	Gone(ctx context.Context, preview release.Preview) error
}

// Leases are those of releases.
type Leases interface {
	// AcquireLease takes the release's Lease, and waits until ctx ends for another run that holds it.
	AcquireLease(ctx context.Context, request release.LeaseRequest, report func(string)) (release.Lease, error)
}

// Releases are those of Helm.
type Releases interface {
	// Uninstall deletes the objects of a release and its history. A release that is not installed is no error.
	Uninstall(ctx context.Context, namespace, name string) error
}

// Announcer tells others, such as GitHub, of a preview. What it cannot tell fails nothing.
type Announcer interface {
	// Begin is called before a preview is deployed; ended is then called once.
	Begin(ctx context.Context, preview release.Preview, image release.Image) (ended func(result deploy.Result, failed error))
	// Removed is called when a preview is gone.
	Removed(ctx context.Context, preview release.Preview)
}

// Removed is the outcome of a preview that is gone now.
const Removed release.Outcome = "removed"

// Result is what was done.
type Result struct {
	Mode        string          `json:"mode"`
	Outcome     release.Outcome `json:"outcome"` // of the deploy, or removed or unchanged
	Repository  string          `json:"repository"`
	PullRequest int             `json:"pullRequest,omitempty"`
	Namespace   string          `json:"namespace,omitempty"`
	URL         string          `json:"url,omitempty"`
	Expires     time.Time       `json:"expires,omitzero"`
	Deploy      *deploy.Result  `json:"deploy,omitempty"`
	Removed     []string        `json:"removed,omitempty"` // namespaces
	Left        []string        `json:"left,omitempty"`    // namespaces of previews that are left: those whose time is not up, or that were made anew meanwhile
}

// Run opens, closes or sweeps.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	p := run{deps, settings}
	result := Result{Mode: settings.Mode, Repository: settings.Repository, Outcome: release.Unchanged}
	if settings.Mode == Sweep {
		return p.sweep(ctx, result)
	}
	result.PullRequest, result.Namespace = settings.PullRequest, settings.preview().Namespace()
	if settings.Mode == Close {
		return p.close(ctx, result)
	}
	return p.open(ctx, result)
}

// run is one run of the verb.
type run struct {
	Deps
	settings Settings
}

// find returns the preview that the settings name, nil if it does not exist. A namespace of its name that is none of this preview is a *release.Refusal.
func (r run) find(ctx context.Context) (*release.Preview, error) {
	wanted := r.settings.preview()
	found, exists, err := r.Namespaces.Find(ctx, wanted.Namespace())
	switch {
	case err != nil || !exists:
		return nil, err
	case found == nil:
		return nil, &release.Refusal{Why: fmt.Sprintf("namespace %q exists, and was not created as a preview: it is left alone", wanted.Namespace()), Do: "delete it, or give the preview's release another name"}
	case found.Repository != wanted.Repository:
		return nil, &release.Refusal{Why: fmt.Sprintf("namespace %q is the preview of a pull request of %s: it is left alone", wanted.Namespace(), found.Repository), Do: "give the preview's release another name"}
	}
	return found, nil
}

// open deploys to the preview's namespace, which it creates if it is absent.
func (r run) open(ctx context.Context, result Result) (Result, error) {
	settings, err := r.deploySettings()
	if err != nil {
		return result, err
	}
	if err := r.CheckDeploy(ctx, settings); err != nil {
		return result, err
	}
	preparing, stop := context.WithTimeoutCause(ctx, r.settings.Timeout, fmt.Errorf("not done within %s", text.Duration(r.settings.Timeout)))
	defer stop()
	preview, err := r.prepare(preparing)
	if err != nil {
		return result, err
	}
	result.Expires = preview.Expires
	ended := func(deploy.Result, error) {}
	if r.Announcer != nil {
		ended = r.Announcer.Begin(ctx, preview, r.settings.Image)
	}
	deployed, err := r.Deploy(ctx, settings)
	result.Deploy, result.Outcome, result.URL = &deployed, deployed.Outcome, deployed.URL
	ended(deployed, err)
	return result, err
}

// prepare creates the preview's namespace, or begins its time again, and limits it. One that a run removes meanwhile is created again once it is gone.
func (r run) prepare(ctx context.Context) (release.Preview, error) {
	for {
		found, err := r.find(ctx)
		switch {
		case err != nil:
			return release.Preview{}, err
		case found != nil && found.Deleting:
			r.Reporter.Infof("namespace %q is being deleted: waiting until it is gone", found.Namespace())
			if err := r.Namespaces.Gone(ctx, *found); err != nil {
				return release.Preview{}, err
			}
			continue
		}
		preview := r.settings.preview()
		preview.Expires = r.Now().UTC().Add(r.settings.TTL).Truncate(time.Second)
		namespace, expires := preview.Namespace(), preview.Expires.Format(time.RFC3339)
		if found == nil {
			if preview, err = r.Namespaces.Create(ctx, preview, r.settings.Environment, r.settings.PodSecurity); err != nil {
				return preview, err
			}
			r.Reporter.Infof("created namespace %q, which expires at %s", namespace, expires)
		} else {
			preview.UID = found.UID
			if preview, err = r.Namespaces.Extend(ctx, preview); err == nil && !preview.Deleting {
				r.Reporter.Infof("namespace %q expires at %s now", namespace, expires)
			}
		}
		if err == nil && !preview.Deleting && !r.settings.NoQuota {
			err = r.Namespaces.Limit(ctx, namespace)
		}
		if err == nil && !preview.Deleting {
			return preview, nil
		}
		if err != nil { // of one that is being deleted, or gone, it is no error
			if _, is, unknown := r.state(ctx, preview, always); unknown != nil || is == present {
				return preview, err
			}
		}
	}
}

// deploySettings are the defaults of deploy, with what the preview says. Commits of a pull request that was rebased do not descend from each other.
func (r run) deploySettings() (settings deploy.Settings, err error) {
	s := r.settings
	err = settings.Declare().ApplyDefaults(func() {
		settings.Environment, settings.Release, settings.Namespace, settings.Commit = s.Environment, s.Release, s.preview().Namespace(), s.Commit
		settings.Image, settings.Images = s.Image, []release.BuiltImage{{Image: s.Image}}
		settings.ChartSource, settings.Values, settings.Set = s.ChartSource, s.Values, s.Set
		settings.Address, settings.SmokeChecks, settings.PodSecurity = s.Address, s.SmokeChecks, s.PodSecurity
		settings.ClusterRef, settings.PlainHTTP, settings.Timeout, settings.LeaseDuration = s.ClusterRef, s.PlainHTTP, s.Timeout, s.LeaseDuration
		settings.GitHubToken, settings.AllowDiverged = s.GitHubToken, true
	})
	return settings, err
}

// close removes the preview that the settings name.
func (r run) close(ctx context.Context, result Result) (Result, error) {
	found, err := r.find(ctx)
	if err != nil {
		return result, err
	}
	if found == nil {
		r.Reporter.Infof("there is no namespace %q: nothing to remove", result.Namespace)
		if r.Announcer != nil {
			r.Announcer.Removed(ctx, r.settings.preview()) // a run before may have ended before it told
		}
		return result, nil
	}
	removed, err := r.remove(ctx, *found, always)
	switch {
	case removed:
		result.Outcome, result.Removed = Removed, []string{result.Namespace}
	case err == nil:
		result.Left = []string{result.Namespace}
	}
	return result, err
}

// sweep removes the previews whose time is up. One that cannot be removed keeps no other.
func (r run) sweep(ctx context.Context, result Result) (Result, error) {
	all, err := r.Namespaces.List(ctx, r.settings.Repository)
	if err != nil {
		return result, err
	}
	expired := func(p release.Preview) bool { return p.Deleting || !p.Expires.IsZero() && !p.Expires.After(r.Now()) }
	var failed []error
	for _, preview := range all {
		switch {
		case ctx.Err() != nil:
			return result, errors.Join(append(failed, context.Cause(ctx))...)
		case preview.Expires.IsZero() && !preview.Deleting:
			r.Reporter.Warnf("namespace %q is not removed: its expiry is missing or cannot be read", preview.Namespace())
		case !expired(preview):
			r.Reporter.Infof("namespace %q is kept until %s", preview.Namespace(), preview.Expires.UTC().Format(time.RFC3339))
		default:
			removed, err := r.remove(ctx, preview, expired)
			if err != nil {
				r.Reporter.Warnf("namespace %q is not removed: %v", preview.Namespace(), err)
				failed = append(failed, err)
			}
			if removed {
				result.Removed = append(result.Removed, preview.Namespace())
				continue
			}
		}
		result.Left = append(result.Left, preview.Namespace())
	}
	if len(result.Removed) > 0 {
		result.Outcome = Removed
	}
	return result, errors.Join(failed...)
}

// always is of a preview that is removed whatever it says.
func always(release.Preview) bool { return true }

// state is what has become of a preview that is to be removed.
type state int

// The states.
const (
	present  state = iota // it is still to be removed
	left                  // it is not to be removed any more, such as one that was extended, or another one has its name
	deleting              // the cluster is deleting it
	gone
)

// state returns the preview as it is now, and what has become of it.
func (r run) state(ctx context.Context, preview release.Preview, still func(release.Preview) bool) (release.Preview, state, error) {
	now, exists, err := r.Namespaces.Find(ctx, preview.Namespace())
	switch {
	case err != nil:
		return preview, present, err
	case !exists:
		return preview, gone, nil
	case now == nil || now.UID != preview.UID:
		return preview, left, nil
	case now.Deleting:
		return *now, deleting, nil
	case !still(*now):
		return *now, left, nil
	}
	return *now, present, nil
}

// remove uninstalls the release and deletes the namespace; false if the preview is not to be removed any more. What fails because another run removes the same
// preview is no error.
func (r run) remove(ctx context.Context, preview release.Preview, still func(release.Preview) bool) (bool, error) {
	limited, cancel := context.WithTimeoutCause(ctx, r.settings.Timeout, fmt.Errorf("not done within %s", text.Duration(r.settings.Timeout)))
	defer cancel()
	namespace, is := preview.Namespace(), deleting
	if !preview.Deleting { // in a namespace that is being deleted nothing can be created, a Lease neither
		var err error
		if is, err = r.delete(limited, preview, still); err != nil {
			var unknown error
			if _, is, unknown = r.state(limited, preview, still); unknown != nil || is == present {
				return false, err
			}
			r.Reporter.Infof("another run has changed namespace %q: %v", namespace, err)
		}
	}
	if is == left {
		r.Reporter.Infof("namespace %q has changed meanwhile, such as when it expires: it is left", namespace)
		return false, nil
	}
	if is == deleting {
		if err := r.Namespaces.Gone(limited, preview); err != nil {
			return false, err
		}
	}
	r.Reporter.Infof("removed namespace %q", namespace)
	if r.Announcer != nil {
		r.Announcer.Removed(ctx, preview)
	}
	return true, nil
}

// releaseTime limits the request that releases a Lease.
const releaseTime = 2 * time.Second

// delete uninstalls the release and makes the cluster delete the namespace, if the preview is still to be removed once the Lease is held: a deploy that was under
// way may have begun its time again. The Lease is held until the cluster has accepted, and it accepts only for the namespace as it was found: an open that extends
// the preview meanwhile keeps it.
func (r run) delete(ctx context.Context, preview release.Preview, still func(release.Preview) bool) (state, error) {
	namespace := preview.Namespace()
	lease, err := r.Leases.AcquireLease(ctx, release.LeaseRequest{Release: preview.Release, Namespace: namespace, Holder: r.Holder, Duration: r.settings.LeaseDuration},
		func(line string) { r.Reporter.Infof("%s", line) })
	if err != nil {
		return present, err
	}
	held, cancel := lease.Context(ctx)
	defer func() {
		cancel()
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer stop()
		_ = lease.Release(ctx) // it expires, or goes with the namespace
	}()
	now, is, err := r.state(held, preview, still)
	if err != nil || is != present {
		return is, err
	}
	if err := r.Releases.Uninstall(held, namespace, preview.Release); err != nil {
		return present, err
	}
	r.Reporter.Infof("uninstalled release %q from namespace %q", preview.Release, namespace)
	for {
		refused := r.Namespaces.Delete(held, now)
		if refused == nil {
			return deleting, nil
		}
		version := now.Version
		if now, is, err = r.state(held, preview, still); err != nil || is == present && now.Version == version {
			return present, refused
		}
		if is != present {
			return is, nil
		}
	}
}
