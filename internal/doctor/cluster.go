package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// cluster looks whether the cluster answers, and asks it for each rule that a deploy needs.
func (e *examination) cluster(ctx context.Context) {
	decisive := []string{"cluster", "namespace"}
	if e.target.Cluster != "" {
		decisive = append(decisive, "region")
	}
	if why, fix := e.target.givenByExpression(decisive...); why != "" {
		e.add("cluster", NotChecked, why, fix)
		e.add("RBAC", NotChecked, "which namespace of which cluster is meant is not known", "")
		return
	}
	if e.target.Cluster != "" && e.withoutRole("cluster") {
		return
	}
	if !e.Cloud.InJob() && e.target.Cluster == "" && e.target.Context == "" && !e.target.kubeconfigGiven && e.target.Kubeconfig == e.Machine.Kubeconfig() {
		e.add("cluster", NotChecked, "none is named, and the current context of a terminal may be another one", "give --cluster, --kube-context or --kubeconfig")
		e.add("RBAC", NotChecked, "no cluster is named", "")
		return
	}
	connected, err := e.Cluster(ctx, e.target)
	if err != nil {
		e.fails("cluster", err)
		e.add("RBAC", NotChecked, "there is no access to the cluster", "")
		return
	}
	phase, known, err := connected.NamespacePhase(ctx, e.target.Namespace)
	if err != nil {
		e.fails("cluster", err)
		e.add("RBAC", NotChecked, "the cluster does not answer", "")
		return
	}
	e.add("cluster", OK, fmt.Sprintf("%s at %s answers", e.clusterName(), connected.Address()), "")
	rules := connected.Rules()
	switch {
	case !known:
		e.add("namespace", NotChecked, fmt.Sprintf("this user may not read namespaces, so whether %q exists is not known", e.target.Namespace), "")
	case phase == "Terminating":
		e.add("namespace", Fails, fmt.Sprintf("%q is being deleted", e.target.Namespace), "wait until it is deleted, or name another one")
	case phase != "":
		e.add("namespace", OK, fmt.Sprintf("%q exists", e.target.Namespace), "")
	default:
		e.missingNamespace(ctx, connected)
	}
	if e.target.viaArgoCD {
		e.add("RBAC", NotChecked, "a run that Argo CD follows has the rules of docs/rbac/role-gitops.yaml, and Argo CD those of the chart", "")
		return
	}
	kinds, err := e.kinds(ctx)
	var (
		input *release.InputError
		fault *release.Fault
	)
	switch {
	case errors.As(err, &fault): // a deploy asks the same
		e.fails("cluster", err)
		e.add("RBAC", NotChecked, "the rules for the chart's own objects, because it cannot be rendered", "")
	case errors.As(err, &input):
		e.fails("chart", err)
		e.add("RBAC", NotChecked, "the rules for the chart's own objects, because the chart does not render", "")
	case err != nil:
		e.add("RBAC", NotChecked, "the rules for the chart's own objects, because it cannot be rendered: "+err.Error(), "")
	}
	rules = append(rules, connected.RulesOf(e.target.Namespace, kinds)...)
	missing, asked, err := connected.Missing(ctx, e.target.Namespace, rules)
	switch {
	case err != nil:
		e.fails("RBAC", err)
	case !asked:
		e.add("RBAC", NotChecked, "the cluster does not let this user ask what it may do", "let it create selfsubjectaccessreviews")
	case len(missing) == 0:
		e.add("RBAC", OK, fmt.Sprintf("all %d rules", len(rules)), "")
	}
	for _, rule := range missing {
		e.missing(rule)
	}
}

// clusterName says by what the cluster is chosen.
func (e *examination) clusterName() string {
	switch {
	case e.target.Cluster != "":
		return fmt.Sprintf("cluster %q", e.target.Cluster)
	case e.target.Context != "":
		return fmt.Sprintf("context %q", e.target.Context)
	}
	return "the current context"
}

// kinds returns the kinds of the chart's objects.
func (e *examination) kinds(ctx context.Context) ([]release.AppliedKind, error) {
	if e.target.Repository == "" {
		return nil, errors.New("the repository of the image is not known")
	}
	if e.denied {
		return nil, errors.New("the role was not assumed")
	}
	if why, _ := e.target.givenByExpression("chart", "values"); why != "" {
		return nil, errors.New(why)
	}
	return e.Chart.Kinds(ctx, e.target)
}

// missingNamespace looks whether a deploy may create the namespace.
func (e *examination) missingNamespace(ctx context.Context, connected Cluster) {
	missing, asked, err := connected.Missing(ctx, e.target.Namespace, []release.Permission{connected.NamespaceRule()})
	switch {
	case err != nil:
		e.fails("namespace", err)
	case !asked:
		e.add("namespace", NotChecked, fmt.Sprintf("%q does not exist, and whether this user may create it cannot be asked", e.target.Namespace), "kubectl create namespace "+e.target.Namespace)
	case len(missing) > 0:
		e.add("namespace", Fails, fmt.Sprintf("%q does not exist, and this user may not create it", e.target.Namespace), "kubectl create namespace "+e.target.Namespace)
	case e.found.Caller == nil: // pipeline.yaml gives create-namespace
		e.add("namespace", Limited, fmt.Sprintf("%q does not exist, and a deploy creates it only with create-namespace", e.target.Namespace), "give create-namespace, or kubectl create namespace "+e.target.Namespace)
	default:
		e.add("namespace", OK, fmt.Sprintf("%q does not exist, and the first deploy creates it", e.target.Namespace), "")
	}
}

// missing adds a rule that is missing.
func (e *examination) missing(rule release.Permission) {
	state, what := Fails, fmt.Sprintf("may not %s %s, for %s", strings.Join(rule.Verbs, ", "), rule.Name(), rule.For)
	if rule.Without != "" {
		state, what = Limited, what+": "+rule.Without
	}
	role := "the Role"
	if rule.Cluster {
		role = "a ClusterRole"
	}
	e.add("RBAC", state, what, fmt.Sprintf(`add to %s: {apiGroups: [%q], resources: [%q], verbs: [%s]}`, role, rule.Group, rule.Resource, strings.Join(rule.Verbs, ", ")))
}
