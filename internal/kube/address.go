package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
// Among several load balancers or Ingresses, the one with the release's name is used, or else the only one that leads to workloads of the image, if that is
// known; if there is none, the error is a *release.InputError. If ctx's time is up, it is a *release.Failure.
//
// An address that names an object is that object's; one that is a URL is returned as it is, and AddressNone is "".
func (c *Client) Address(ctx context.Context, namespace, name string, image release.Image, address release.Address, report func(string)) (string, error) {
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
	wait.leads = sync.OnceValues(func() (func(release.Object) bool, error) { return c.leads(ctx, namespace, name, image) })
	kind, named := address.Object()
	switch kind {
	case "Service":
		url, reason, err := wait.run(ctx, c.serviceNamed(namespace, named), loadBalancerFinder(anyObject))
		return reportNone(url, reason, err, reportOnce)
	case "Ingress":
		url, reason, err := wait.run(ctx, c.ingressNamed(namespace, named), ingressFinder(anyObject))
		return reportNone(url, cmp.Or(reason, fmt.Sprintf("there is no Ingress %q in namespace %q", named, namespace)), err, reportOnce)
	}
	own := func(object metav1.Object) bool { return belongsTo(object, name) }
	url, reason, err := wait.run(ctx, c.servicesOf(namespace), loadBalancerFinder(own))
	if url != "" || err != nil {
		return url, err
	}
	url, ofIngress, err := wait.run(ctx, c.ingressesOf(namespace), ingressFinder(own))
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

// unreported returns a message if the wait for the endpoint's address is over: ten minutes after the object was created there is
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

// endpointFinder selects the endpoint of a release among the objects of a store. It returns nil if there is none; reason says why objects of the kind do not count,
// "" if there are none.
type endpointFinder func(from *store.Store, wait addressWait) (found *endpoint, reason string, err error)

// addressWait waits for the address of one release.
type addressWait struct {
	client          *Client
	namespace, name string
	report          func(string)
	leads           func() (func(release.Object) bool, error) // reads what the image's workloads are, once
}

// run waits until the endpoint that find returns has a URL. If there is no endpoint, the URL is "" and reason says why.
func (w addressWait) run(ctx context.Context, source store.Source, find endpointFinder) (url, reason string, err error) {
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
			if found, reason, err = find(objects, w); err != nil || found == nil {
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
func (w addressWait) selectEndpoint(endpoints []endpoint) (*endpoint, error) {
	var objects []release.Object
	for _, candidate := range endpoints {
		objects = append(objects, candidate.object)
	}
	var unread error
	chosen, found, err := release.SelectEndpoint(objects, w.name, func(object release.Object) bool {
		leads, err := w.leads()
		unread = err
		return err == nil && leads(object)
	})
	switch {
	case unread != nil:
		return nil, unread
	case err != nil:
		return nil, release.BadSetting("address", fmt.Sprintf("%s %v", causes.AddressUnclear, err), causes.AddressUnclear.Cause().Advice)
	}
	for i := range endpoints {
		if found && endpoints[i].object == chosen {
			return &endpoints[i], nil
		}
	}
	return nil, nil
}

// leads reads the workloads of an image and the Services of its namespace, and returns what reports whether a Service or an Ingress leads to the workloads'
// pods. Of what this user may not read it reports false.
func (c *Client) leads(ctx context.Context, namespace, name string, image release.Image) (func(release.Object) bool, error) {
	none := func(release.Object) bool { return false }
	if image.IsZero() {
		return none, nil
	}
	failed := func(err error) (func(release.Object) bool, error) {
		if apierrors.IsForbidden(err) {
			return none, nil
		}
		return nil, c.Fault(ctx, err, "reading what leads to the pods of release %q in namespace %q", name, namespace)
	}
	named, err := c.workloads(ctx, namespace, name, image)
	if err != nil {
		return failed(err)
	}
	list, err := c.services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return failed(err)
	}
	services := map[string]bool{}
	for _, service := range list.Items {
		services[service.Name] = named.isSelectedBy(service.Spec.Selector)
	}
	ingresses := map[string]bool{}
	switch list, err := c.ingresses(namespace).List(ctx, metav1.ListOptions{}); {
	case err == nil:
		for _, ingress := range list.Items {
			ingresses[ingress.Name] = slices.ContainsFunc(backendsOf(ingress), func(service string) bool { return services[service] })
		}
	case !apierrors.IsForbidden(err):
		return failed(err)
	}
	return func(object release.Object) bool {
		return object.Kind == "Service" && services[object.Name] || object.Kind == "Ingress" && ingresses[object.Name]
	}, nil
}

// isSelectedBy reports whether a Service's selector selects pods of a workload that names the image.
func (n naming) isSelectedBy(selector map[string]string) bool {
	return len(selector) > 0 && slices.ContainsFunc(n.workloads, func(workload templated) bool {
		return len(workload.containers) > 0 && slices.ContainsFunc(workload.labels, func(own labels.Set) bool { return labels.SelectorFromSet(selector).Matches(own) })
	})
}
