package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// instanceLabel has the name of the release on its objects
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
const instanceLabel = "app.kubernetes.io/instance"

// instanceSelector selects the objects of a release.
func instanceSelector(name string) string {
	return labels.SelectorFromSet(labels.Set{instanceLabel: name}).String()
}

// Address returns the release's URL outside the cluster: that of its Service of type LoadBalancer, or else of its Ingress. It watches
// until an address is assigned; report is called with what it waits for. A release that has neither gets "" at once, and report
// says why. A user who may not read Ingresses is treated as if there were none.
//
// An object that has no address ten minutes after its creation is not waited for: its controller does not report one, or cannot. The
// URL is "" then too.
//
// Among several load balancers or Ingresses, the one with the release's name is used; if none has it, the error is a
// *release.InputError. If ctx's time is up, it is a *release.Failure.
//
// An address that names an object is that object's; one that is a URL is returned as it is, and AddressNone is "".
func (c *Client) Address(ctx context.Context, namespace, name string, address release.Address, report func(string)) (string, error) {
	if url := address.URL(); url != "" || address == release.AddressNone {
		return url, nil
	}
	last := ""
	reportOnce := func(text string) {
		if text != last {
			last = text
			report(text)
		}
	}
	wait := addressWait{client: c, namespace: namespace, name: name, report: reportOnce}
	kind, named := address.Object()
	switch kind {
	case "Service":
		url, reason, err := wait.run(ctx, c.serviceNamed(namespace, named), findLoadBalancer(anyObject))
		return reportNone(url, reason, err, reportOnce)
	case "Ingress":
		url, reason, err := wait.run(ctx, c.ingressNamed(namespace, named), findIngress(anyObject))
		return reportNone(url, cmp.Or(reason, fmt.Sprintf("there is no Ingress %q in namespace %q", named, namespace)), err, reportOnce)
	}
	own := func(object metav1.Object) bool { return belongsTo(object, name) }
	url, reason, err := wait.run(ctx, c.servicesOf(namespace), findLoadBalancer(own))
	if url != "" || err != nil {
		return url, err
	}
	url, ofIngress, err := wait.run(ctx, c.ingressesOf(namespace), findIngress(own))
	if fault := new(release.Fault); errors.As(err, &fault) && (apierrors.IsForbidden(err) || apierrors.IsNotFound(err)) {
		err = nil
	}
	return reportNone(url, cmp.Or(ofIngress, reason), err, reportOnce)
}

// reportNone reports the reason if there is no URL.
func reportNone(url, reason string, err error, report func(string)) (string, error) {
	if url == "" && err == nil {
		report(reason)
	}
	return url, err
}

// addressGrace is how long after its creation the address of an object is waited for. AWS's load balancers take minutes.
const addressGrace = 10 * time.Minute

// endpoint is a load balancer or an Ingress of a release.
type endpoint struct {
	object  release.Object
	uid     types.UID
	created time.Time
	url     string // "" until an address is assigned
	hosts   []string
}

// unreported returns a message if the endpoint's address is no longer waited for: ten minutes after the object was created there is
// still none. The message names the object's hosts. It is "" while the address is waited for.
func (e endpoint) unreported(now time.Time) string {
	age := now.Sub(e.created)
	if e.created.IsZero() || age < addressGrace {
		return ""
	}
	text := fmt.Sprintf("no address outside the cluster has been reported of %s in the %s since it was created, so none is waited for", e.object, age.Round(time.Minute))
	if len(e.hosts) > 0 {
		text += "; its rules name " + strings.Join(e.hosts[:min(maxNames, len(e.hosts))], ", ")
	}
	return text
}

// maxNames is how many names an error lists.
const maxNames = 20

// anyObject accepts every object.
func anyObject(metav1.Object) bool { return true }

// findEndpoint finds the endpoint of a release in a store; nil and a reason if there is none.
type findEndpoint func(from *store.Store, namespace, name string) (found *endpoint, reason string, err error)

// addressWait waits for the address of one release.
type addressWait struct {
	client          *Client
	namespace, name string
	report          func(string)
}

// run waits until the endpoint that find returns has a URL. If there is no endpoint, the URL is "" and reason says why.
func (w addressWait) run(ctx context.Context, source store.Source, find findEndpoint) (url, reason string, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	objects := store.Follow(watching, source, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		var found *endpoint
		if state := objects.State(); state.Synced {
			if found, reason, err = find(objects, w.namespace, w.name); err != nil || found == nil {
				return "", reason, err
			}
			if reason := found.unreported(time.Now()); found.url != "" || reason != "" {
				return found.url, reason, nil
			}
			w.report(fmt.Sprintf("waiting for the address of %s", found.object))
		} else if state.Refused() {
			return "", "", w.client.Fault(ctx, state.Err, "reading the addresses of release %q in namespace %q", w.name, w.namespace)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", "", w.timeoutError(ctx, objects.State().Err, found)
		}
	}
}

// timeoutError includes the last event about the endpoint, in which the cloud's controller often says what is missing.
func (w addressWait) timeoutError(ctx context.Context, err error, found *endpoint) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("waiting for the address of release %q: %w", w.name, context.Canceled)
	}
	if found == nil {
		return w.client.Fault(ctx, cmp.Or(err, context.DeadlineExceeded), "reading the addresses of release %q in namespace %q", w.name, w.namespace)
	}
	diagnosis := w.client.Diagnose(ctx, diagnose.Finding{Object: found.object, UID: found.uid, Code: causes.NoAddress,
		Reason: "NoAddress", Message: "no load balancer has been assigned"})
	if last := len(diagnosis.Events); last > 0 {
		diagnosis.Message += "; last event: " + diagnosis.Events[last-1]
	}
	return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no external address in time", w.name, w.namespace),
		Err: &DiagnosedError{diagnosis}, Do: diagnosis.Advice}
}

// selectEndpoint returns the endpoint that release.SelectEndpoint chooses; nil if there are none.
func selectEndpoint(endpoints []endpoint, name string) (*endpoint, error) {
	var objects []release.Object
	for _, candidate := range endpoints {
		objects = append(objects, candidate.object)
	}
	chosen, found, err := release.SelectEndpoint(objects, name)
	if err != nil {
		return nil, release.BadSetting("address", fmt.Sprintf("%s %v", causes.AddressUnclear, err), causes.AddressUnclear.Cause().Advice)
	}
	for i := range endpoints {
		if found && endpoints[i].object == chosen {
			return &endpoints[i], nil
		}
	}
	return nil, nil
}
