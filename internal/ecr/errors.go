package ecr

import (
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/release"
)

// mismatchError is the error for bytes whose digest is not the requested one.
type mismatchError struct{ wanted, got release.Digest }

func (e *mismatchError) Error() string {
	return fmt.Sprintf("ECR returned bytes of %s as %s", e.got, e.wanted)
}

// fault makes a *release.Fault that says what was attempted, AWS's code and message, and how to fix it. action is the IAM action
// that the request needs, or "". A Fault within err is returned unchanged.
func fault(err error, doing, action string) error {
	var inner *release.Fault
	if errors.As(err, &inner) {
		return inner
	}
	return &release.Fault{Side: "AWS", Err: fmt.Errorf("%s: %w", doing, &awsx.Error{Err: err}), Do: advice(err, action)}
}

// advice describes how to fix an error. Source: Amazon ECR API Reference, the errors of each action.
func advice(err error, action string) string {
	var mismatch *mismatchError
	switch {
	case errors.As(err, &mismatch):
		return "do not use this image; look at the repository's history in CloudTrail"
	case errors.Is(err, errNoRegion):
		return "set AWS_REGION"
	case awsx.IsDenied(err) && action != "":
		return "allow " + action + " in the role's policy, and for another account's repository in that repository's policy"
	}
	switch awsx.Code(err) {
	case "RepositoryNotFoundException":
		return "create the repository, or correct its name, account or region"
	case "TooManyTagsException":
		return "the image has as many tags as ECR allows; remove some"
	}
	return awsx.Advice(err)
}
