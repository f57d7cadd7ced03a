package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// instanceLabel has the name of the release on its objects
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
const instanceLabel = "app.kubernetes.io/instance"

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
// The objects of other namespaces, which a chart may name, count if the release's own has neither. An address that names an object is that object's; one that is a URL is returned as it is, and AddressNone is "".
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
	namespaces, err := c.addressNamespaces(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	wait := addressWait{client: c, namespace: namespace, name: name, report: reportOnce}
	wait.leads = sync.OnceValues(func() (func(release.Object) bool, error) { return c.leads(ctx, namespace, name, image) })
	if kind, in, named := address.Object(); kind != "" {
		return wait.runNamed(ctx, kind, in, named, namespaces[1:])
	}
	own := func(object metav1.Object) bool { return belongsTo(object, namespace, name) }
	var reason string
	for i, searched := range [][]string{namespaces[:1], namespaces[1:]} { // those of other namespaces count only if the release's own has none
		if len(searched) == 0 {
			continue
		}
		wait.searched = append(wait.searched, searched...)
		url, ofServices, err := wait.run(ctx, eachOf(searched, c.servicesOf), loadBalancerFinder(own))
		if i > 0 && apierrors.IsForbidden(err) {
			ofServices, err = fmt.Sprintf("the Services in namespace %s, which the release applies, may not be listed", quoted(searched)), nil
		}
		if url != "" || err != nil {
			return url, err
		}
		url, ofIngresses, err := wait.run(ctx, eachOf(searched, c.ingressesOf), ingressFinder(own))
		if fault := new(release.Fault); errors.As(err, &fault) && (apierrors.IsForbidden(err) || apierrors.IsNotFound(err)) {
			err = nil
		}
		if url != "" || err != nil {
			return url, err
		}
		if i == 0 || strings.HasPrefix(reason, noService) || !strings.HasPrefix(ofServices, noService) {
			reason = cmp.Or(ofIngresses, ofServices)
		}
	}
	return reportNone("", reason, nil, reportOnce)
}

// runNamed waits for the address of the object that is named: in the given namespace, or else in the release's own, or else in the only one of the others that has
// it. If several of the others have it, the error is a *release.InputError.
func (w addressWait) runNamed(ctx context.Context, kind, in, named string, others []string) (string, error) {
	sources, find := w.client.serviceNamed, loadBalancerFinder(anyObject)
	if kind == "Ingress" {
		sources, find = w.client.ingressNamed, ingressFinder(anyObject)
	}
	search := func(namespaces ...string) (url, reason string, err error) {
		w.searched = append(w.searched, namespaces...)
		url, reason, err = w.run(ctx, eachOf(namespaces, func(namespace string) store.Source { return sources(namespace, named) }), find)
		if apierrors.IsForbidden(err) && !slices.Contains(namespaces, w.namespace) {
			return "", fmt.Sprintf("%s/%s in namespace %s may not be read", kind, named, quoted(namespaces)), nil
		}
		return url, reason, err
	}
	url, reason, err := search(cmp.Or(in, w.namespace))
	if url == "" && err == nil && in == "" && len(others) > 0 {
		if url, reason, err = search(others...); err != nil {
			return "", err
		}
	}
	if kind == "Ingress" && url == "" {
		reason = cmp.Or(reason, fmt.Sprintf("there is no Ingress %q in namespace %s", named, quoted(w.searched)))
	}
	return reportNone(url, reason, err, w.report)
}

// eachOf returns the source of each namespace.
func eachOf(namespaces []string, source func(namespace string) store.Source) (sources []store.Source) {
	for _, namespace := range namespaces {
		sources = append(sources, source(namespace))
	}
	return sources
}

// allOf returns the objects of all stores.
func allOf[T any](stores []*store.Store) (all []T) {
	for _, each := range stores {
		all = append(all, store.All[T](each)...)
	}
	return all
}

// quoted lists names in quotation marks.
func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strconv.Quote(name)
	}
	return strings.Join(list, " or ")
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
	text := fmt.Sprintf("no address outside the cluster has been reported of %s in the %s since it was created, so none is waited for", e.object, text.Age(age))
	if len(e.hosts) > 0 {
		text += "; its rules name " + strings.Join(e.hosts[:min(maxNames, len(e.hosts))], ", ")
	}
	return text
}

// maxNames is how many names an error lists.
const maxNames = 20

// anyObject accepts every object.
func anyObject(metav1.Object) bool { return true }

// endpointFinder selects the endpoint of a release among the objects of the stores. It returns nil if there is none; reason says why objects of the kind do not count,
// "" if there are none.
type endpointFinder func(from []*store.Store, wait addressWait) (found *endpoint, reason string, err error)

// addressWait waits for the address of one release.
type addressWait struct {
	client          *Client
	namespace, name string
	searched        []string // namespaces so far, for messages
	report          func(string)
	leads           func() (func(release.Object) bool, error) // reads what the image's workloads are, once
}

// run waits until the endpoint that find returns has a URL. If there is no endpoint, the URL is "" and reason says why. Of several sources, one that this user
// may not read counts as empty, if another one can be read.
func (w addressWait) run(ctx context.Context, sources []store.Source, find endpointFinder) (url, reason string, err error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	var stores []*store.Store
	for _, source := range sources {
		stores = append(stores, store.Follow(watching, source, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}))
	}
	for {
		var found *endpoint
		synced, pending, failed := syncOf(stores)
		if synced && !pending {
			if found, reason, err = find(stores, w); err != nil || found == nil {
				return "", reason, err
			}
			if reason := found.unreported(time.Now()); found.url != "" || reason != "" {
				return found.url, reason, nil
			}
			w.report(fmt.Sprintf("waiting for the address of %s", found.object))
		} else if !pending {
			return "", "", w.client.Fault(ctx, failed, "reading the addresses of release %q in namespace %q", w.name, w.namespace)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", "", w.timeoutError(ctx, failed, found)
		}
	}
}

// syncOf reports whether one of the stores has been read, whether another one is still to be read, and the last error of one that has not been.
func syncOf(stores []*store.Store) (synced, pending bool, failed error) {
	for _, each := range stores {
		switch state := each.State(); {
		case state.Synced:
			synced = true
		case state.Refused():
			failed = state.Err
		default:
			pending, failed = true, cmp.Or(failed, state.Err)
		}
	}
	return synced, pending, failed
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
	chosen, found, err := release.SelectEndpoint(objects, w.namespace, w.name, func(object release.Object) bool {
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
	list, _, err := c.listServices(ctx, named.namespaces, metav1.ListOptions{})
	if err != nil {
		return failed(err)
	}
	type place struct{ namespace, name string }
	services := map[place]bool{}
	for _, service := range list {
		services[place{service.Namespace, service.Name}] = named.isSelectedBy(service.Namespace, service.Spec.Selector)
	}
	listed, err := c.listIngresses(ctx, named.namespaces, metav1.ListOptions{})
	if err != nil {
		return failed(err)
	}
	ingresses := map[place]bool{}
	for _, ingress := range listed {
		ingresses[place{ingress.Namespace, ingress.Name}] = slices.ContainsFunc(backendsOf(ingress), func(service string) bool { return services[place{ingress.Namespace, service}] })
	}
	return func(object release.Object) bool {
		at := place{object.Namespace, object.Name}
		return object.Kind == "Service" && services[at] || object.Kind == "Ingress" && ingresses[at]
	}, nil
}

// isSelectedBy reports whether the selector of a Service in a namespace selects pods of a workload that names the image.
func (n naming) isSelectedBy(namespace string, selector map[string]string) bool {
	return len(selector) > 0 && slices.ContainsFunc(n.workloads, func(workload templated) bool {
		return workload.object.Namespace == namespace && len(workload.containers) > 0 && slices.ContainsFunc(workload.labels, func(own labels.Set) bool { return labels.SelectorFromSet(selector).Matches(own) })
	})
}
