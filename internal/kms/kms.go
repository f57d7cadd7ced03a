// Package kms signs with keys of AWS KMS, and reads their public parts. It changes nothing.
package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// Options of a Client.
type Options struct {
	// Environ looks up the AWS variables that set the endpoint, the region, the profile and static keys. The SDK's default chain
	// (profiles, SSO, the machine's role) supplies the rest. Nil means no variables.
	Environ     func(name string) string
	Credentials awsx.Credentials // instead of those of the environment; nil: the environment's
	Secrets     *text.Secrets    // gets the credentials; may be nil
	// WorkTree is where a profile may name neither a program nor a file: New's error is a *release.InputError then.
	WorkTree worktree.Tree
}

// Client talks to AWS KMS. It may be used from several goroutines.
type Client struct {
	config   aws.Config
	endpoint *string // instead of AWS's own; nil: AWS's own
}

const (
	maxAttempts = 5       // of one request; the SDK waits up to 20 s between two
	maxResponse = 1 << 20 // bytes; a public key is about 100 bytes
)

// New reads the configuration; it sends no request.
func New(ctx context.Context, options Options) (*Client, error) {
	loaded, err := awsx.Load(ctx, awsx.Options{Environ: options.Environ, Credentials: options.Credentials, MaxAttempts: maxAttempts, MaxResponse: maxResponse, Secrets: options.Secrets, WorkTree: options.WorkTree})
	var input *release.InputError
	switch {
	case errors.As(err, &input):
		return nil, err
	case err != nil:
		return nil, fault(err, "reading the AWS configuration", "")
	}
	return &Client{config: loaded, endpoint: awsx.Endpoint(options.Environ, loaded, kms.ServiceID)}, nil
}

// Key is an asymmetric key of AWS KMS that signs with ECDSA and the curve P-256.
type Key struct {
	Public *ecdsa.PublicKey
	ARN    string // of the key itself, also if it was named by an alias

	name string
	api  *kms.Client
}

// Key reads the public part of a key, which is named by its ID, alias or ARN. It needs kms:GetPublicKey. A key of another kind is an error.
// Source: AWS KMS API Reference, GetPublicKey
func (c *Client) Key(ctx context.Context, name string) (*Key, error) {
	doing := fmt.Sprintf("reading the public key of %q", name)
	api, err := c.api(name)
	if err != nil {
		return nil, fault(err, doing, "set AWS_REGION, or name the key by its ARN")
	}
	response, err := api.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &name})
	if err != nil {
		return nil, fault(err, doing, advise(err, "kms:GetPublicKey", name))
	}
	parsed, err := x509.ParsePKIXPublicKey(response.PublicKey)
	if err != nil {
		return nil, fault(err, doing, "")
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || response.KeySpec != types.KeySpecEccNistP256 || response.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fault(fmt.Errorf("its key spec is %s and its key usage is %s", text.Line(string(response.KeySpec), 50), text.Line(string(response.KeyUsage), 50)), doing,
			"create a key with the specification ECC_NIST_P256 and the usage SIGN_VERIFY")
	}
	return &Key{Public: public, ARN: text.Line(aws.ToString(response.KeyId), 2048), name: name, api: api}, nil
}

// Sign returns the ASN.1 form of an ECDSA signature over the SHA-256 digest of a message. It needs kms:Sign. If another key signed, because the alias
// was moved since the public part was read, that is an error.
// Source: AWS KMS API Reference, Sign
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	response, err := k.api.Sign(ctx, &kms.SignInput{KeyId: &k.name, Message: sum[:], MessageType: types.MessageTypeDigest,
		SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	if err != nil {
		return nil, fault(err, fmt.Sprintf("signing with %q", k.name), advise(err, "kms:Sign", k.name))
	}
	if by := text.Line(aws.ToString(response.KeyId), 2048); by != k.ARN {
		return nil, fault(fmt.Errorf("key %s signed, but the alias named key %s when its public key was read", by, k.ARN), fmt.Sprintf("signing with %q", k.name), "run again; if nobody was to move the alias, look into CloudTrail for UpdateAlias")
	}
	return response.Signature, nil
}

// errNoRegion is returned before a request is sent: AWS would answer it with a misleading error about its signature.
var errNoRegion = errors.New("no AWS region is set")

// api returns the client for a key's region, which its ARN names.
func (c *Client) api(name string) (*kms.Client, error) {
	region := c.config.Region
	if strings.HasPrefix(name, "arn:") {
		parsed, err := arn.Parse(name)
		if err != nil {
			return nil, err
		}
		region = parsed.Region
	}
	if region == "" {
		return nil, errNoRegion
	}
	return kms.NewFromConfig(c.config, func(o *kms.Options) {
		o.Region, o.BaseEndpoint = region, c.endpoint
	}), nil
}

// fault makes a *release.Fault that says what was attempted, AWS's code and message, and how to fix it.
func fault(err error, doing, do string) error {
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &awsx.Error{Err: err}), Do: do}
}

// advise describes how to fix an error. Source: AWS KMS API Reference, Sign, "Errors"
func advise(err error, permission, name string) string {
	switch code := awsx.Code(err); {
	case awsx.IsDenied(err):
		return fmt.Sprintf("allow the role %s on %s, in its policy or in the key's", permission, name)
	case code == "NotFoundException":
		return "check the key's name and its region"
	case code == "DisabledException" || code == "KMSInvalidStateException":
		return "enable the key, or name another"
	}
	return awsx.Advice(err)
}
