package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
)

type calledEnvironment = survey.CalledEnvironment

// token looks at the job's identity token, and at what it says of the job.
func (e *examination) token(context.Context) {
	const check = "identity token"
	if !e.Cloud.InJob() {
		e.add(check, NotChecked, "this is no job of GitHub Actions, and only a job has one", "run doctor in a job of the environment")
		return
	}
	subject, err := e.Cloud.Subject()
	var input *release.InputError
	if errors.As(err, &input) && e.Cloud.Role() == "" {
		e.add(check, NotChecked, "the job may not ask for one, and no role is given that needs it", "add `id-token: write` to the job's permissions, and give --role")
		return
	}
	if err != nil {
		e.fails(check, err)
		return
	}
	_, environment, is := strings.Cut(subject, ":environment:")
	switch {
	case subject == "":
		e.add(check, Fails, "it has no subject", "")
	case is && environment != e.target.Environment.String():
		e.add(check, Fails, fmt.Sprintf("its subject is %s, which is not of the environment %q", subject, e.target.Environment), fmt.Sprintf("give the job `environment: %s`", e.target.Environment))
	case !is:
		e.add(check, Limited, fmt.Sprintf("its subject is %s: a deploy's job has that of its environment, which a role may ask for", subject), fmt.Sprintf("give the job `environment: %s`", e.target.Environment))
	default:
		e.add(check, OK, "its subject is "+subject, "")
	}
}

// role looks whether the role can be assumed.
func (e *examination) role(ctx context.Context) {
	const check = "role"
	role := e.Cloud.Role()
	switch {
	case role == "":
		e.add(check, NotChecked, "none is given: the AWS credentials of the environment are used", "give --role in a job")
	case !e.Cloud.InJob():
		e.denied = true
		e.add(check, NotChecked, "only a job of GitHub Actions can assume "+role, "")
	default:
		if err := e.Cloud.Assume(ctx); err != nil {
			e.denied = true
			e.fails(check, err)
			return
		}
		e.add(check, OK, "assumed "+role, "")
	}
}

// withoutRole adds that something was not looked at for want of the role, and reports whether that is so.
func (e *examination) withoutRole(check string) bool {
	if e.denied {
		e.add(check, NotChecked, "the role was not assumed", "")
	}
	return e.denied
}

// usesAWS reports whether something of AWS is used, and why that is not known.
func (e *examination) usesAWS(ctx context.Context) (bool, error) {
	if e.target.Cluster != "" || e.Cloud.Role() != "" {
		return true, nil
	}
	if e.target.Repository == "" {
		return false, nil
	}
	registry, err := e.Registry(ctx, e.target)
	if err != nil {
		return false, err
	}
	return registry.IsECR(ctx, e.target.Repository)
}

// account looks whose the AWS credentials are.
func (e *examination) account(ctx context.Context) {
	const check = "account"
	if e.withoutRole(check) {
		return
	}
	uses, err := e.usesAWS(ctx)
	if err != nil {
		e.fails(check, err)
		return
	}
	if !uses {
		e.add(check, NotChecked, "neither the repository nor the cluster is one of AWS", "")
		return
	}
	caller, err := e.Cloud.Caller(ctx, e.target.Region)
	if err == nil {
		err = caller.CheckAccount(e.target.Account)
	}
	if err != nil {
		e.fails(check, err)
		return
	}
	e.add(check, OK, fmt.Sprintf("%s, as %s", caller.Account, caller.ARN), "")
}

// commitTag stands for the tag of any commit.
var commitTag = release.Tag(strings.Repeat("0123456789", 4))

// repository looks whether the repository exists, keeps its tags and its images, and lists what is attached to them.
func (e *examination) repository(ctx context.Context) {
	const check = "repository"
	if e.withoutRole(check) {
		return
	}
	if e.target.Repository == "" {
		e.add(check, NotChecked, "it is not known", "give --repository")
		return
	}
	registry, err := e.Registry(ctx, e.target)
	var isECR bool
	if err == nil {
		isECR, err = registry.IsECR(ctx, e.target.Repository)
	}
	if err != nil {
		e.fails(check, err)
		return
	}
	if !isECR {
		e.add(check, NotChecked, "whether it exists, whether its tags are immutable and whether its images expire: only ECR tells", "")
	} else if !e.repositoryOfECR(ctx, registry) {
		return
	}
	e.referrers(ctx, registry)
}

// repositoryOfECR looks at a repository's own settings, and reports whether it exists.
func (e *examination) repositoryOfECR(ctx context.Context, registry Registry) bool {
	name := e.target.Repository
	found, err := registry.Settings(ctx, name)
	switch {
	case err != nil && isDenied(err):
		e.add("repository", NotChecked, "these credentials may not describe it: "+err.Error(), "allow ecr:DescribeRepositories")
		e.add("immutable tags", NotChecked, "the same", "")
	case err != nil:
		e.fails("repository", err)
		return false
	case !found.Exists:
		e.add("repository", Fails, fmt.Sprintf("%s does not exist", name), "build --create-repository makes it, or aws ecr create-repository --image-tag-mutability IMMUTABLE --repository-name "+name.Path())
		return false
	default:
		e.add("repository", OK, fmt.Sprintf("%s exists", name), "")
		e.immutability(found)
	}
	rule, has, err := registry.ExpiryRule(ctx, name, commitTag)
	switch {
	case err != nil && isDenied(err):
		e.add("lifecycle", NotChecked, "these credentials may not read the policy: "+err.Error(), "allow ecr:GetLifecyclePolicy")
	case err != nil:
		e.fails("lifecycle", err)
	case rule > 0:
		e.add("lifecycle", Limited, fmt.Sprintf("rule %d of the policy removes images of commits some day, one that runs or that a rollback needs among them", rule), "limit the rule to the tags of uncommitted work (*-dirty*)")
	case !has:
		e.add("lifecycle", OK, "there is no policy: nothing expires, images of uncommitted work neither", "")
	default:
		e.add("lifecycle", OK, "no rule removes images of commits", "")
	}
	return true
}

// immutability looks whether a tag can be moved to another image.
func (e *examination) immutability(found release.RepositorySettings) {
	fix := "aws ecr put-image-tag-mutability --image-tag-mutability IMMUTABLE --repository-name " + e.target.Repository.Path()
	switch {
	case !found.Immutable:
		e.add("immutable tags", Limited, "whoever may push can move the tag of a commit to another image", fix)
	case slices.ContainsFunc(found.Except, matchesCommit):
		e.add("immutable tags", Limited, "whoever may push can move the tag of a commit to another image, because of the exclusions "+strings.Join(found.Except, ", "), "exclude no tag that a commit may have")
	case len(found.Except) > 0:
		e.add("immutable tags", OK, "except "+strings.Join(found.Except, ", "), "")
	default:
		e.add("immutable tags", OK, "a tag keeps naming its image", "")
	}
}

// matchesCommit reports whether a filter of exclusions, in which * stands for any characters, matches the tag of some commit: 40 hexadecimal digits.
func matchesCommit(filter string) bool {
	digits := strings.ReplaceAll(filter, "*", "")
	return strings.Trim(digits, "0123456789abcdef") == "" && (len(digits) == len(commitTag) || len(digits) < len(commitTag) && digits != filter)
}

// referrers looks whether the registry lists what is attached to an image.
func (e *examination) referrers(ctx context.Context, registry Registry) {
	has, err := registry.HasReferrersAPI(ctx, e.target.Repository)
	switch {
	case err != nil:
		e.fails("referrers API", err)
	case has:
		e.add("referrers API", OK, "the registry lists what is attached to an image", "")
	default:
		e.add("referrers API", Limited, "the registry has none: evidence is listed under tags sha256-…, which whoever may push can rewrite", "let tags sha256-* be changed, or use a registry with the API")
	}
}

// isDenied reports whether AWS refused a request for want of a permission, as its error says it.
func isDenied(err error) bool { return strings.Contains(err.Error(), "AccessDenied") }
