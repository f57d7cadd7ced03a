package secretstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	maxAttempts = 5
	// maxResponse has room for ten parameters of 8 KiB, or a secret of 64 KiB, as escaped JSON.
	maxResponse = 1 << 20
	// maxNames is how many parameters one request may name.
	// Source: AWS Systems Manager API Reference, GetParameters.
	maxNames = 10
)

// cloud reads from AWS. Its configuration is read with the first secret.
type cloud struct {
	options Options
	config  *aws.Config
}

// load reads the AWS configuration, once.
func (c *cloud) load(ctx context.Context) (aws.Config, error) {
	if c.config == nil {
		loaded, err := awsx.Load(ctx, awsx.Options{Environ: c.options.Getenv, Credentials: c.options.Credentials, MaxAttempts: maxAttempts, MaxResponse: maxResponse, Secrets: c.options.Secrets, WorkTree: c.options.Tree})
		var input *release.InputError
		switch {
		case errors.As(err, &input):
			return loaded, err
		case err != nil:
			return loaded, fault(err, "reading the AWS configuration", "")
		}
		c.config = &loaded
	}
	return *c.config, nil
}

// secret reads the current version of a secret by name or ARN; an ARN names its region.
func (c *cloud) secret(ctx context.Context, id string) (string, error) {
	loaded, err := c.load(ctx)
	if err != nil {
		return "", err
	}
	region := loaded.Region
	if parts := strings.Split(id, ":"); strings.HasPrefix(id, "arn:") && len(parts) > 4 {
		region = parts[3]
	}
	if region == "" {
		return "", noRegion()
	}
	api := secretsmanager.NewFromConfig(loaded, func(o *secretsmanager.Options) {
		o.Region = region
		if endpoint := awsx.Endpoint(c.options.Getenv, loaded, secretsmanager.ServiceID); endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	answer, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	switch code := awsx.Code(err); {
	case code == "ResourceNotFoundException":
		return "", release.BadSetting("secret-values", "there is no such secret, or it has no current version", "create it, or correct its name, account or region")
	case code == "InvalidRequestException":
		return "", release.BadSetting("secret-values", "the secret is scheduled for deletion", "restore it, or name another one")
	case err != nil:
		return "", fault(err, fmt.Sprintf("reading secret %q", id), "secretsmanager:GetSecretValue")
	case answer.SecretString != nil:
		return *answer.SecretString, nil
	}
	return string(answer.SecretBinary), nil
}

// parameters reads parameters, decrypted, into documents, and returns the names of those that do not exist.
func (c *cloud) parameters(ctx context.Context, names []string, documents map[release.SecretRef]string) (missing []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	loaded, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" {
		return nil, noRegion()
	}
	api := ssm.NewFromConfig(loaded, func(o *ssm.Options) {
		if endpoint := awsx.Endpoint(c.options.Getenv, loaded, ssm.ServiceID); endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	})
	slices.Sort(names)
	for batch := range slices.Chunk(slices.Compact(names), maxNames) {
		answer, err := api.GetParameters(ctx, &ssm.GetParametersInput{Names: batch, WithDecryption: aws.Bool(true)})
		if err != nil {
			return nil, fault(err, fmt.Sprintf("reading parameters %q", batch), "ssm:GetParameters")
		}
		missing = append(missing, answer.InvalidParameters...)
		for _, name := range batch {
			at := slices.IndexFunc(answer.Parameters, func(found types.Parameter) bool { return answers(found, name) })
			switch {
			case at >= 0:
				documents[release.SecretRef{Store: release.ParameterStore, Name: name}] = aws.ToString(answer.Parameters[at].Value)
			case !slices.Contains(answer.InvalidParameters, name):
				return nil, &release.Fault{Side: "AWS", Err: fmt.Errorf("reading parameter %q: AWS neither returned the parameter nor reported that it does not exist", name)}
			}
		}
	}
	return missing, nil
}

// answers reports whether a parameter is the one of a name or an ARN. Its selector, a version or a label (":3"), is not part of its name.
// Source: AWS Systems Manager API Reference, Parameter.
func answers(found types.Parameter, name string) bool {
	selector := ":" + strings.TrimPrefix(aws.ToString(found.Selector), ":")
	return slices.ContainsFunc([]string{aws.ToString(found.Name), aws.ToString(found.ARN)}, func(own string) bool { return own == name || own+selector == name })
}

func noRegion() error {
	return &release.Fault{Side: "AWS", Err: errors.New("no AWS region is set"), Do: "set AWS_REGION"}
}

// fault makes a *release.Fault that says what was attempted, AWS's code and message, and how to fix it. action is the IAM action that the
// request needs.
func fault(err error, doing, action string) error {
	do := awsx.Advice(err)
	switch {
	case awsx.IsDenied(err) && action != "":
		do = "allow " + action + ", and kms:Decrypt for the key, in the role's policy"
	case awsx.Code(err) == "DecryptionFailure":
		do = "allow kms:Decrypt for the secret's key in the role's policy"
	}
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &awsx.Error{Err: err}), Do: do}
}
