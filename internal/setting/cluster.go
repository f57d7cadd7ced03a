package setting

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// ClusterRef is how to reach a cluster, declared alike for every verb that does: an EKS cluster by its name, or a kubeconfig.
type ClusterRef struct {
	Kubeconfig string
	Context    string // of the kubeconfig
	Cluster    string // of EKS; "" for a kubeconfig's
	Region     string // of AWS
	Account    string // of AWS that everything must belong to, "" for any
}

// Declare binds the settings to their declarations.
func (p *ClusterRef) Declare(set *Set) {
	Var(set, &p.Kubeconfig, Setting{Name: "kubeconfig", Value: "FILE", Fallback: "KUBECONFIG",
		Help: "Kubeconfig; ~/.kube/config, or the pod's own service account, if nothing is given"}, Text)
	Var(set, &p.Context, Setting{Name: "context", Value: "NAME",
		Help: "Context of the kubeconfig; its current one if not given"}, Text)
	Var(set, &p.Cluster, Setting{Name: "cluster", Value: "NAME",
		Help: "EKS cluster, reached by the AWS credentials at hand instead of a kubeconfig"}, eksName)
	Var(set, &p.Region, Setting{Name: "region", Fallback: "AWS_REGION", Value: "REGION",
		Help: "AWS region of the EKS cluster"}, Text)
	Var(set, &p.Account, Setting{Name: "expect-account", Value: "ID",
		Help: "AWS account that the credentials and the cluster must belong to; any other is refused before anything changes"}, accountNumber)
	set.Check(p.agree)
}

func (p *ClusterRef) agree() error {
	var problems []release.Problem
	if p.Cluster != "" && p.Context != "" {
		problems = append(problems, release.Problem{Setting: "cluster", What: "is given together with a context of a kubeconfig", Do: "give one of them"})
	}
	if p.Account != "" && p.Cluster == "" {
		problems = append(problems, release.Problem{Setting: "expect-account", What: "is about an EKS cluster, and none is named", Do: "give --cluster"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

func accountNumber(text string) (string, error) {
	if !release.IsAccountID(text) {
		return "", fmt.Errorf("%q is not an AWS account: twelve digits", text)
	}
	return text, nil
}

// eksName is EKS's own limit for a cluster's name (Amazon EKS API Reference, CreateCluster): 1 to 100 letters, digits, - and
// _, a letter or digit first.
func eksName(text string) (string, error) {
	allowed := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_'
	}
	if len(text) > 100 || strings.Trim(text[:1], "-_") == "" || strings.ContainsFunc(text, func(r rune) bool { return !allowed(r) }) {
		return "", fmt.Errorf("%q is not the name of an EKS cluster (letters, digits, - and _, at most 100)", text)
	}
	return text, nil
}
