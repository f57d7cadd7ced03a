package evidence

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// deployed is the predicate of a deployment.
type deployed struct {
	Environment release.Environment `json:"environment"`
	Cluster     string              `json:"cluster"`
	Server      string              `json:"server,omitempty"`
	Namespace   string              `json:"namespace"`
	Release     string              `json:"release"`
	Revision    int                 `json:"revision"`
	Chart       *descriptor         `json:"chart,omitempty"`
	Values      *descriptor         `json:"values,omitempty"`
	Set         []string            `json:"set,omitempty"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Source      release.Commit      `json:"source,omitempty"`
	Pods        int                 `json:"pods"`
	BackTo      int                 `json:"rolledBackTo,omitempty"`
	run
}

func deployedPredicate(f fact.Fact) any {
	d := f.Deployment
	return deployed{Environment: f.Environment, Cluster: d.Cluster, Server: d.Server, Namespace: d.Namespace, Release: d.Release, Revision: d.Revision,
		Chart: described(d.Chart, d.ChartDigest), Values: described("", d.ValuesDigest), Set: d.Set, Commit: f.Commit, Source: d.Source, Pods: d.Pods, BackTo: d.RolledBackTo, run: runOf(f)}
}

func readDeployed(predicate json.RawMessage, into *fact.Fact) error {
	var p deployed
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	into.Environment, into.Commit = p.Environment, p.Commit
	p.addTo(into)
	chart, chartErr := optionalDigest("chart", p.Chart)
	values, valuesErr := optionalDigest("values", p.Values)
	into.Deployment = &fact.Deployment{Cluster: p.Cluster, Server: p.Server, Namespace: p.Namespace, Release: p.Release, Revision: p.Revision, ChartDigest: chart, ValuesDigest: values, Set: p.Set, Source: p.Source, Pods: p.Pods, RolledBackTo: p.BackTo}
	if p.Chart != nil {
		into.Deployment.Chart = p.Chart.Name
	}
	return errors.Join(chartErr, valuesErr)
}

func checkDeployed(f fact.Fact) error {
	d := f.Deployment
	if d.Revision < 1 || d.Pods < 0 {
		return errors.New("a revision is counted from 1, and pods from 0")
	}
	if d.RolledBackTo < 0 || d.RolledBackTo >= d.Revision {
		return errors.New("a rollback goes to an earlier revision")
	}
	if len(d.Set) > maxList {
		return fmt.Errorf("it names %d values, limit %d", len(d.Set), maxList)
	}
	needed := map[string]string{"environment": f.Environment.String(), "cluster": d.Cluster, "namespace": d.Namespace, "release": d.Release}
	if d.RolledBackTo == 0 {
		needed["chart"], needed["values"] = d.ChartDigest.String(), d.ValuesDigest.String()
	}
	return errors.Join(needs(needed), checkCommit(d.Source), checkTexts(append([]string{d.Cluster, d.Server, d.Namespace, d.Release, d.Chart}, d.Set...)...))
}
