// Package eks describes Amazon EKS clusters and signs bearer tokens for them. It changes nothing.
package eks

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// Options of a Client.
type Options struct {
	// Environ looks up the AWS variables that set endpoints, the region, the profile and static keys. The SDK's default chain
	// (profiles, SSO, the machine's role) supplies the rest. Nil means no variables.
	Environ     func(name string) string
	Region      string           // of the clusters; "": the environment's or profile's
	Credentials awsx.Credentials // instead of those of the environment; nil: the environment's
	Secrets     *text.Secrets    // gets the credentials; may be nil
	// WorkTree is where a profile may name neither a program nor a file: New's error is a *release.InputError then.
	WorkTree worktree.Tree
}

// Client talks to EKS and STS in one region. It may be used from several goroutines.
type Client struct {
	config  aws.Config
	eks     *eks.Client
	sts     *sts.Client
	presign *sts.PresignClient
}

// regionPattern is the form of a region's name.
// Source: AWS General Reference, "Regional endpoints"
var regionPattern = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d{1,2}$`)

const (
	maxAttempts = 5       // of one request; the SDK waits up to 20 s between two
	maxResponse = 1 << 20 // bytes; a described cluster is about 3 KB
)

// New reads the configuration; it sends no request. A missing or malformed region is a *release.InputError.
func New(ctx context.Context, options Options) (*Client, error) {
	loaded, err := awsx.Load(ctx, awsx.Options{Environ: options.Environ, Credentials: options.Credentials, Region: options.Region, MaxAttempts: maxAttempts, MaxResponse: maxResponse, Secrets: options.Secrets, WorkTree: options.WorkTree})
	var input *release.InputError
	switch {
	case errors.As(err, &input):
		return nil, err
	case err != nil:
		return nil, fault(err, "reading the AWS configuration", "")
	}
	switch {
	case loaded.Region == "":
		return nil, release.BadSetting("region", "no AWS region is set, and a cluster's name is unique only within its region", "give the cluster's region")
	case !regionPattern.MatchString(loaded.Region):
		return nil, release.BadSetting("region", quote(loaded.Region)+" is not an AWS region", "give a region such as eu-central-1")
	}
	c := &Client{
		config: loaded,
		eks: eks.NewFromConfig(loaded, func(o *eks.Options) {
			o.BaseEndpoint = awsx.Endpoint(options.Environ, loaded, eks.ServiceID)
		}),
		sts: sts.NewFromConfig(loaded, func(o *sts.Options) {
			o.BaseEndpoint = awsx.Endpoint(options.Environ, loaded, sts.ServiceID)
		}),
	}
	c.presign = sts.NewPresignClient(c.sts)
	return c, nil
}

// Caller asks STS for the identity of the credentials. It needs no permission.
// Source: AWS STS API Reference, GetCallerIdentity ("No permissions are required")
func (c *Client) Caller(ctx context.Context) (release.Caller, error) {
	const doing = "reading the identity of the AWS credentials"
	response, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return release.Caller{}, c.fault(err, doing)
	}
	caller := release.Caller{Account: aws.ToString(response.Account), ARN: sanitize(aws.ToString(response.Arn))}
	if !release.IsAccountID(caller.Account) {
		return release.Caller{}, fault(errors.New("the response names no account"), doing, "")
	}
	return caller, nil
}

// checkName refuses, before any request, a name that no EKS cluster can have.
// Source: Amazon EKS API Reference, CreateCluster (name)
func checkName(name string) error {
	if clusterName.MatchString(name) {
		return nil
	}
	do := "give the name as EKS shows it: letters, digits, - and _"
	if strings.HasPrefix(name, "arn:") {
		do = "give the name at the end of the ARN, and its region as --region"
	}
	return release.BadSetting("cluster", quote(sanitize(name))+" is not a valid EKS cluster name", do)
}

var clusterName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`)
