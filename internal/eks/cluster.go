package eks

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
)

// Cluster is an EKS cluster as DescribeCluster returns it.
type Cluster struct {
	Name     string
	ARN      string
	Account  string // 12 digits
	Endpoint string // https URL of its API server
	CA       []byte // PEM certificates of the cluster's own authority; no other authority is trusted for the endpoint
	Status   string // ACTIVE or UPDATING
}

// Cluster describes a cluster of the region. It returns a *release.InputError if the cluster does not exist, and a *release.Fault
// if the credentials may not describe it or it is neither ACTIVE nor UPDATING.
// Source: Amazon EKS API Reference, DescribeCluster
func (c *Client) Cluster(ctx context.Context, name string) (Cluster, error) {
	if err := checkName(name); err != nil {
		return Cluster{}, err
	}
	doing := fmt.Sprintf("finding EKS cluster %q in region %s", name, c.config.Region)
	response, err := c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	var absent *types.ResourceNotFoundException
	switch {
	case errors.As(err, &absent):
		return Cluster{}, c.notFound(ctx, name)
	case awsx.IsDenied(err):
		return Cluster{}, c.denied(ctx, err, doing, name)
	case err != nil:
		return Cluster{}, c.fault(err, doing)
	case response.Cluster == nil:
		return Cluster{}, fault(errors.New("the response contains no cluster"), doing, "")
	}
	// A cluster keeps serving while it is UPDATING, also while its Kubernetes version changes.
	// Source: Amazon EKS User Guide, "Update existing cluster to new Kubernetes version"
	switch status := response.Cluster.Status; status {
	case types.ClusterStatusActive, types.ClusterStatusUpdating:
	case types.ClusterStatusCreating, types.ClusterStatusPending:
		return Cluster{}, fault(fmt.Errorf("it is %s", status), doing,
			fmt.Sprintf("wait until it is ACTIVE (aws eks wait cluster-active --region %s --name %s)", c.config.Region, name))
	default:
		return Cluster{}, fault(fmt.Errorf("it is %s", sanitize(string(status))), doing, "give a cluster that is ACTIVE")
	}
	found, err := validate(name, *response.Cluster)
	if err != nil {
		return Cluster{}, fault(err, doing, "check the cluster in the AWS console")
	}
	return found, nil
}

// validate checks every field of a response, because tokens are sent to the endpoint in it.
func validate(name string, described types.Cluster) (Cluster, error) {
	found := Cluster{
		Name: name, ARN: aws.ToString(described.Arn), Endpoint: aws.ToString(described.Endpoint), Status: string(described.Status),
	}
	if got := aws.ToString(described.Name); got != name {
		return found, fmt.Errorf("the response is about cluster %q", sanitize(got))
	}
	parsed, err := arn.Parse(found.ARN)
	if err != nil || !release.IsAccountID(parsed.AccountID) {
		return found, fmt.Errorf("the response's ARN %q names no account", sanitize(found.ARN))
	}
	found.Account = parsed.AccountID
	endpoint, err := url.Parse(found.Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Host == "" || endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return found, fmt.Errorf("the response's endpoint %q is not an https URL", sanitize(found.Endpoint))
	}
	if described.CertificateAuthority == nil {
		return found, errors.New("the response contains no certificate authority")
	}
	if found.CA, err = base64.StdEncoding.DecodeString(aws.ToString(described.CertificateAuthority.Data)); err != nil {
		return found, errors.New("the response's certificate authority is not base64")
	}
	return found, checkAuthority(found.CA)
}

// checkAuthority accepts only PEM certificates, at least one.
func checkAuthority(text []byte) error {
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return errors.New("the response's certificate authority contains something other than certificates")
		}
		count++
	}
	if count == 0 {
		return errors.New("the response's certificate authority contains no certificate")
	}
	return nil
}

// notFound returns the error for a cluster that does not exist. It contains the region that was searched, and the account if STS
// reports it.
func (c *Client) notFound(ctx context.Context, name string) error {
	what := fmt.Sprintf("there is no EKS cluster %q in region %s", name, c.config.Region)
	if caller, err := c.Caller(ctx); err == nil {
		what += fmt.Sprintf(" of account %s (the credentials are %s)", caller.Account, caller.ARN)
	}
	return release.BadSetting("cluster", what,
		fmt.Sprintf("check the name, --region and the account; `aws eks list-clusters --region %s` lists the clusters", c.config.Region))
}

// denied returns the error for a denied DescribeCluster. It contains the identity that lacks the permission.
func (c *Client) denied(ctx context.Context, err error, doing, name string) error {
	who := "the role"
	if caller, err := c.Caller(ctx); err == nil {
		who = caller.ARN
	}
	return fault(err, doing, fmt.Sprintf("allow %s eks:DescribeCluster on arn:*:eks:%s:*:cluster/%s", who, c.config.Region, name))
}
