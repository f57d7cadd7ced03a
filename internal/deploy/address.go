package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// resolveAddress finds out from the rendered chart which object's address is the release's, before anything changes. It refuses
// several of which none can be chosen, one that the chart does not render, and smoke checks of a release without an address.
func (r request) resolveAddress() (release.Address, error) {
	address := r.settings.Address
	if address.URL() != "" || address == release.AddressNone {
		return address, r.checkReachable(address != release.AddressNone, "is none")
	}
	endpoints := slices.DeleteFunc(slices.Clone(r.rendering.Endpoints), func(o release.Object) bool { return o.Namespace != "" && o.Namespace != r.settings.Namespace })
	if kind, name := address.Object(); kind != "" {
		if !slices.ContainsFunc(endpoints, func(o release.Object) bool { return o.Kind == kind && o.Name == name }) {
			return "", release.BadSetting("address", fmt.Sprintf("the chart renders no %s that has an address; it renders %s", address, listEndpoints(endpoints)),
				"name one of those, or give the URL itself, or none")
		}
		return address, nil
	}
	found, isFound, err := release.SelectEndpoint(endpoints, r.settings.Release)
	if err != nil {
		return "", release.BadSetting("address", fmt.Sprintf("%s %v", causes.AddressUnclear, err), causes.AddressUnclear.Cause().Advice)
	}
	if isFound {
		return release.AddressOf(found), nil
	}
	return release.AddressAuto, r.checkReachable(false, "cannot be found: its chart renders no Service of type LoadBalancer and no Ingress")
}

// checkReachable refuses smoke checks of a release that gets no address outside the cluster: they could not be asked.
func (r request) checkReachable(reachable bool, why string) error {
	if reachable || r.settings.SmokeChecks == "" {
		return nil
	}
	return release.BadSetting("smoke-checks", "cannot reach the release: its address "+why,
		"say with --address where it is served, or omit smoke-checks and run smoke with --url from where its Service can be reached")
}

func listEndpoints(endpoints []release.Object) string {
	var names []string
	for _, endpoint := range endpoints {
		names = append(names, string(release.AddressOf(endpoint)))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// waitForAddress waits for the external address; "" if the release has none. A release that is ready does not fail because it has no
// address, unless smoke checks need it: the cause is reported.
func (r request) waitForAddress(leaseCtx context.Context, budget budget) (string, error) {
	if r.address == release.AddressNone {
		return "", nil
	}
	if url := r.address.URL(); url != "" {
		return url, nil
	}
	ctx, cancel := budget.withDeadline(leaseCtx, release.PhaseAddress)
	defer cancel()
	url, err := r.Cluster.Address(ctx, r.settings.Namespace, r.settings.Release, r.address, r.info)
	if err == nil || r.settings.SmokeChecks != "" || errors.Is(leaseCtx.Err(), context.Canceled) {
		return url, err
	}
	r.Reporter.Warnf("the release is ready, but where it is served is not known: %v", err)
	return "", nil
}
