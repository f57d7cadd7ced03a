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

// resolveAddress determines from the rendered chart, before anything changes, which object has the release's address. It refuses an
// ambiguous choice, and an object that the chart does not render. The pods of a release without an address are asked instead.
func (r request) resolveAddress() (release.Address, error) {
	address := r.settings.Address
	if address.URL() != "" || address == release.AddressNone {
		return address, nil
	}
	endpoints := slices.DeleteFunc(slices.Clone(r.rendering.Endpoints), func(o release.Object) bool { return o.Namespace != "" && o.Namespace != r.settings.Namespace })
	if kind, name := address.Object(); kind != "" {
		if !slices.ContainsFunc(endpoints, func(o release.Object) bool { return o.Kind == kind && o.Name == name }) {
			return "", release.BadSetting("address", fmt.Sprintf("the chart renders no %s that has an address; it renders %s", address, listEndpoints(endpoints)),
				"name one of those, or give the URL itself, or none")
		}
		return address, nil
	}
	found, isFound, err := release.SelectEndpoint(endpoints, r.settings.Release, func(o release.Object) bool { return slices.Contains(r.rendering.Leading, o) })
	if err != nil {
		return "", release.BadSetting("address", fmt.Sprintf("%s %v", causes.AddressUnclear, err), causes.AddressUnclear.Cause().Advice)
	}
	if isFound {
		return release.AddressOf(found), nil
	}
	return release.AddressAuto, nil
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
	r.Reporter.Warnf("the release is ready, but where it is served is not known: %v", err)
	return "", err, nil
}
