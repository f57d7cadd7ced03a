package setting

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// ClusterRef says how to reach a cluster: by the name of an EKS cluster, or by a kubeconfig. Every verb that needs a cluster
// declares these settings.
type ClusterRef struct {
	Kubeconfig string
	Context    string // a context of the kubeconfig, "" for its current one
	Cluster    string // name of an EKS cluster, "" if a kubeconfig is used
	Region     string // AWS region of the EKS cluster
	Account    string // AWS account that the credentials and the cluster must belong to, "" for any

	AllowWorkTree bool // whether a kubeconfig may be in the work tree, or name programs and files there
}

// Declare adds the settings to a set.
func (p *ClusterRef) Declare(set *Set) {
	Var(set, &p.Kubeconfig, Setting{Name: "kubeconfig", Value: "FILE", Fallback: "KUBECONFIG",
		Help: "Kubeconfig; by default ~/.kube/config or the service account of the pod"}, Text)
	DeclareAllowWorkTree(set, &p.AllowWorkTree)
	Var(set, &p.Context, Setting{Name: "kube-context", Former: "context", Value: "NAME",
		Help: "Context of the kubeconfig; its current one if not given"}, Text)
	Var(set, &p.Cluster, Setting{Name: "cluster", Value: "NAME",
		Help: "EKS cluster, reached with the AWS credentials of the environment instead of a kubeconfig"}, EKSName)
	Var(set, &p.Region, Setting{Name: "region", Fallback: "AWS_REGION", Value: "REGION",
		Help: "AWS region of the EKS cluster, of the role's token service and of keys that name none"}, Text)
	Var(set, &p.Account, Setting{Name: "expect-account", Value: "ID",
		Help: "AWS account that the credentials and the cluster must belong to; any other is refused before anything changes"}, accountNumber)
	set.Check(p.checkCombination)
}

// DeclareAllowWorkTree adds the setting that permits a kubeconfig of the work tree.
func DeclareAllowWorkTree(set *Set, target *bool) {
	Bool(set, target, Setting{Name: "allow-work-tree-kubeconfig",
		Help: "Accept a kubeconfig that is in the work tree, or that runs or reads what is there; only for commits that are trusted"})
}

// checkCombination refuses an EKS cluster together with a kubeconfig's context, and an account without an EKS cluster.
func (p *ClusterRef) checkCombination() error {
	var problems []release.Problem
	if p.Cluster != "" && p.Context != "" {
		problems = append(problems, release.Problem{Setting: "cluster", What: "is given together with the context of a kubeconfig", Do: "give one of them"})
	}
	if p.Account != "" && p.Cluster == "" {
		problems = append(problems, release.Problem{Setting: "expect-account", What: "applies only to an EKS cluster, and none is named", Do: "name the EKS cluster, or leave the account out"})
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// RoleARN accepts the ARN of an IAM role.
func RoleARN(text string) (string, error) {
	_, err := release.ParseRoleARN(text)
	return text, err
}

func accountNumber(text string) (string, error) {
	if !release.IsAccountID(text) {
		return "", fmt.Errorf("%q is not an AWS account: twelve digits", text)
	}
	return text, nil
}

// EKSName accepts the names that EKS accepts for a cluster (Amazon EKS API Reference, CreateCluster): 1 to 100 letters, digits, -
// and _, starting with a letter or digit.
func EKSName(text string) (string, error) {
	allowed := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_'
	}
	if text == "" || len(text) > 100 || strings.Trim(text[:1], "-_") == "" || strings.ContainsFunc(text, func(r rune) bool { return !allowed(r) }) {
		return "", fmt.Errorf("%q is not the name of an EKS cluster (letters, digits, - and _, at most 100)", text)
	}
	return text, nil
}
