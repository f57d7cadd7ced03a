// Package eks finds Amazon EKS clusters and makes the tokens that open them. It changes nothing.
package eks

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/onedigest/onedigest/internal/release"
)

// Options of a Client.
type Options struct {
	// Environ looks up the AWS variables by which endpoints, the region, the profile and static keys are set. What it does
	// not set, and if it is nil all of it, the SDK finds as it always does (profiles, SSO, roles of the machine).
	Environ func(name string) string
	Region  string // of the clusters; "": the environment's or profile's
}

// Client talks to EKS and STS in one region. It may be used from several goroutines.
type Client struct {
	config  aws.Config
	eks     *eks.Client
	sts     *sts.Client
	presign *sts.PresignClient
}

const (
	whereCluster = "--cluster (INPUT_CLUSTER)"
	whereRegion  = "--region (INPUT_REGION, AWS_REGION)"
)

// regionPattern is what a region's name looks like.
// Source: AWS General Reference, "Regional endpoints"
var regionPattern = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d{1,2}$`)

// New reads the configuration; no request is made for it. A region that is missing or none is an *release.InputError.
func New(ctx context.Context, options Options) (*Client, error) {
	environ := options.Environ
	if environ == nil {
		environ = func(string) string { return "" }
	}
	loaded, err := load(ctx, environ, options.Region)
	if err != nil {
		return nil, fault(err, "reading the AWS configuration", "")
	}
	switch {
	case loaded.Region == "":
		return nil, release.BadInput(whereRegion, "no AWS region is set, and a cluster's name holds in its region only", "give the cluster's region")
	case !regionPattern.MatchString(loaded.Region):
		return nil, release.BadInput(whereRegion, quote(loaded.Region)+" is no AWS region", "write it like eu-central-1")
	}
	c := &Client{
		config: loaded,
		eks: eks.NewFromConfig(loaded, func(o *eks.Options) {
			o.BaseEndpoint = endpoint(environ, loaded, eks.ServiceID, "AWS_ENDPOINT_URL_EKS")
		}),
		sts: sts.NewFromConfig(loaded, func(o *sts.Options) {
			o.BaseEndpoint = endpoint(environ, loaded, sts.ServiceID, "AWS_ENDPOINT_URL_STS")
		}),
	}
	c.presign = sts.NewPresignClient(c.sts)
	return c, nil
}

// Region is where the clusters are.
func (c *Client) Region() string { return c.config.Region }

// Caller is whose the credentials are, by STS's word; every credential that works may ask.
// Source: AWS STS API Reference, GetCallerIdentity ("No permissions are required")
func (c *Client) Caller(ctx context.Context) (release.Caller, error) {
	const doing = "asking whose credentials these are"
	answer, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return release.Caller{}, c.fault(err, doing)
	}
	caller := release.Caller{Account: aws.ToString(answer.Account), ARN: safe(aws.ToString(answer.Arn))}
	if !release.IsAccountID(caller.Account) {
		return release.Caller{}, fault(errors.New("the answer names no account"), doing, "")
	}
	return caller, nil
}

// checkName refuses what cannot be a cluster's name before anybody is asked.
// Source: Amazon EKS API Reference, CreateCluster (name)
func checkName(name string) error {
	if clusterName.MatchString(name) {
		return nil
	}
	do := "write it as EKS has it: letters, digits, - and _"
	if strings.HasPrefix(name, "arn:") {
		do = "give the name at the end of the ARN, and its region as --region"
	}
	return release.BadInput(whereCluster, quote(safe(name))+" is no name of an EKS cluster", do)
}

var clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
