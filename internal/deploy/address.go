package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// resolveAddress determines from the rendered chart, before anything changes, which object has the release's address. It refuses an
// ambiguous choice, and an object that the chart does not render. The pods of a release without an address are asked instead.
func (r request) resolveAddress() (release.Address, error) {
	address := r.settings.Address
	if address.URL() != "" || address == release.AddressNone {
		return address, nil
	}
	endpoints, own := r.rendering.Endpoints, r.settings.Namespace
	if kind, _, _ := address.Object(); kind != "" {
		named := slices.DeleteFunc(slices.Clone(endpoints), func(o release.Object) bool {
			o.Namespace = cmp.Or(o.Namespace, own)
			return !o.HasAddress(address)
		})
		if near := slices.IndexFunc(named, func(o release.Object) bool { return cmp.Or(o.Namespace, own) == own }); near >= 0 {
			return release.AddressOf(named[near]), nil
		}
		switch len(named) {
		case 0:
			return "", release.BadSetting("address", fmt.Sprintf("the chart renders no %s that has an address; it renders %s", address, listEndpoints(endpoints, own)),
				"name one of those, or give the URL itself, or none")
		case 1:
			return release.AddressIn(named[0], own), nil
		}
		return "", release.BadSetting("address", fmt.Sprintf("the chart renders %s in several namespaces: %s", address, listEndpoints(named, own)), "name one of those")
	}
	found, isFound, err := release.SelectEndpoint(endpoints, own, r.settings.Release, func(o release.Object) bool { return slices.Contains(r.rendering.Leading, o) })
	if err != nil {
		return "", release.BadSetting("address", fmt.Sprintf("%s %v", causes.AddressUnclear, err), causes.AddressUnclear.Cause().Advice)
	}
	if isFound {
		return release.AddressIn(found, own), nil
	}
	return release.AddressAuto, nil
}

func listEndpoints(endpoints []release.Object, own string) string {
	var names []string
	for _, endpoint := range endpoints {
		names = append(names, string(release.AddressIn(endpoint, own)))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// waitForAddress waits for the external address; "" if the release has none, or none that is known in time, and then noAddress says
// why. A release that is ready does not fail because it has no address: its smoke checks are sent to its pods only.
func (r request) waitForAddress(leaseCtx context.Context, budget budget) (url string, noAddress, err error) {
	if r.address == release.AddressNone {
		return "", nil, nil
	}
	if url := r.address.URL(); url != "" {
		return url, nil, nil
	}
	ctx, cancel := budget.withDeadline(leaseCtx, release.PhaseAddress)
	defer cancel()
	if r.settings.SmokeChecks == "" { // nothing needs the address, so that it gets no time of other phases
		ctx, cancel = context.WithTimeout(ctx, budget.timeFor(release.PhaseAddress))
		defer cancel()
	}
	url, err = r.Cluster.Address(ctx, r.settings.Namespace, r.settings.Release, r.address, r.info)
	var diagnosed release.Diagnosed
	isLate := errors.As(err, &diagnosed) && diagnosed.Diagnosis().Code == causes.NoAddress
	if err == nil || r.settings.SmokeChecks != "" && !isLate || errors.Is(leaseCtx.Err(), context.Canceled) {
		return url, nil, err
	}
	r.Reporter.Warnf("the release is ready, but its address is not known: %v", err)
	return "", err, nil
}

// endpointTime is how long the endpoints of an address may lag behind pods that have just become ready.
const endpointTime = 10 * time.Second

// reportAddress says where the release is served. Smoke checks say whether its pods answer there; without them, an address that is known to lead elsewhere is warned of instead.
func (r request) reportAddress(ctx context.Context, url string, proof proved) {
	if url == "" {
		return
	}
	if r.settings.SmokeChecks == "" && !proof.idle {
		elsewhere := r.leadsElsewhere(ctx, url, proof.placed)
		for until := time.Now().Add(endpointTime); elsewhere != "" && ctx.Err() == nil && time.Now().Before(until); {
			pause(ctx, time.Second)
			elsewhere = r.leadsElsewhere(ctx, url, r.findPlaced(ctx)) // an autoscaler may have added pods
		}
		if elsewhere != "" {
			r.Reporter.Warnf("the release is ready, but its address %s does not lead to its pods: %s", url, elsewhere)
			return
		}
	}
	r.Reporter.Infof("served at %s", url)
}

// podPlace is the namespace and the name of a pod.
type podPlace struct{ namespace, pod string }

// findPlaced returns the pods that are meant to run the images, nil if they cannot be read.
func (r request) findPlaced(ctx context.Context) map[podPlace]bool {
	placed := map[podPlace]bool{}
	for _, image := range r.settings.Images {
		running, err := r.Cluster.Running(ctx, r.settings.Namespace, r.settings.Release, image.Image)
		if err != nil {
			return nil
		}
		r.addPlaced(placed, running)
	}
	return placed
}

// addPlaced adds the pods of workloads.
func (r request) addPlaced(placed map[podPlace]bool, running release.Running) {
	for _, workload := range running.Workloads {
		for _, container := range workload.Pods {
			placed[podPlace{cmp.Or(workload.Object.Namespace, r.settings.Namespace), container.Pod}] = true
		}
	}
}

// leadsElsewhere says why the release's pods do not answer at its address; "" if they may. Without a path in the URL, it suffices that they answer at one of the address's paths.
func (r request) leadsElsewhere(ctx context.Context, url string, placed map[podPlace]bool) string {
	if placed == nil {
		return ""
	}
	parsed, err := neturl.Parse(url)
	if err != nil {
		return ""
	}
	routes, err := r.Cluster.RecentlyBehind(ctx, r.settings.Namespace, r.settings.Release, url, r.address)
	if err != nil {
		return ""
	}
	path := cmp.Or(strings.TrimSuffix(parsed.Path, "/"), "/")
	chosen, isKnown := release.RoutesFor(routes, path)
	switch {
	case !isKnown || len(routes) == 0:
		return ""
	case len(chosen) > 0:
	case path != "/":
		return release.NoPathServes(routes, path)
	default:
		chosen = slices.DeleteFunc(slices.Clone(routes), func(route release.Route) bool { return route.Foreign })
	}
	foreign, unknown := release.LeadsElsewhere(chosen, func(pod release.Backend) bool { return placed[podPlace{pod.Namespace, pod.Pod}] },
		fmt.Sprintf("a pod of release %q that is meant to run %s", r.settings.Release, r.settings.Image.Digest.Short()))
	if unknown != "" {
		return ""
	}
	return foreign
}
