package initialize

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// terraformNames are the names of what terraform/aws_infra makes; the zero value has none.
type terraformNames struct{ name, account, partition string }

// terraformName matches what terraform/aws_infra takes as the prefix of its names.
var terraformName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// terraformNames returns the names, if variables for them are wanted and the account is known.
func (d *decider) terraformNames(repository release.Repository, account, region string) terraformNames {
	if d.settings.Terraform == "" || account == "" {
		return terraformNames{}
	}
	names := terraformNames{name: nameOf(repository.Path()), account: account, partition: "aws"}
	if !terraformName.MatchString(names.name) || len(names.name) < 3 || len(names.name) > 20 {
		names.name = "onedigest"
	}
	switch {
	case strings.HasPrefix(region, "cn-"):
		names.partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		names.partition = "aws-us-gov"
	}
	return names
}

// cluster returns the name of the cluster that all environments share.
func (n terraformNames) cluster() string { return n.name }

// role returns the ARN of a role, by the end of its name.
func (n terraformNames) role(end string) string {
	if n.name == "" {
		return ""
	}
	return fmt.Sprintf("arn:%s:iam::%s:role/%s-%s", n.partition, n.account, n.name, end)
}

// terraform are variables of terraform/aws_infra.
type terraform struct {
	file                               string
	names                              terraformNames
	region, gitHub                     string
	admins, repositories, environments []string
}

// terraform returns the variables.
func (d *decider) terraform(names terraformNames, made plan) *terraform {
	variables := &terraform{file: d.settings.Terraform, names: names, region: made.region, admins: d.settings.Admins}
	if variables.gitHub = d.settings.GitHub; variables.gitHub == "" {
		variables.gitHub = d.found.GitHub
	}
	if names.name == "" {
		d.problem("repository", "terraform/aws_infra creates ECR repositories, and this is not one", "give HOST/PATH of one, or leave --terraform out")
	}
	if len(variables.admins) == 0 {
		d.problem("cluster-admin", "terraform/aws_infra needs a role that administers the clusters", "give the ARN of the role that applies it")
	}
	if variables.gitHub == "" {
		d.problem("github-repository", "the repository on GitHub is not known", "give OWNER/NAME")
	}
	if path.Ext(variables.file) != ".tfvars" {
		d.problem("terraform", fmt.Sprintf("%q does not end in .tfvars", variables.file), "name such a file")
	}
	for _, environment := range d.settings.Environments {
		variables.environments = append(variables.environments, environment.String())
		given := map[string][2]string{
			"cluster":          {valueOf(d.settings.Clusters, environment.String()), names.cluster()},
			"environment-role": {valueOf(d.settings.Roles, environment.String()), names.role("deploy-" + environment.String())},
		}
		for setting, pair := range given {
			if pair[0] != "" && names.name != "" && pair[0] != pair[1] {
				d.problem(setting, fmt.Sprintf("%q is not what terraform/aws_infra makes for %q, which is %q", pair[0], environment, pair[1]), "leave it out, or leave --terraform out")
			}
		}
	}
	for _, s := range made.services {
		variables.repositories = append(variables.repositories, strings.TrimSuffix(made.repository.Path()+"/"+s.name, "/"))
	}
	return variables
}

// content returns the file.
func (t terraform) content() string {
	quoted := func(texts ...string) string {
		all := make([]string, len(texts))
		for i, text := range texts {
			all[i] = fmt.Sprintf("%q", text) // no text has what HCL reads otherwise
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Variables of terraform/aws_infra of onedigest, written by onedigest init. All of them: its README.md\n"+
		"name                = %q\nregion              = %q\ngithub_repository   = %q\nallowed_account_ids = %s\ncluster_admin_arns  = %s\necr_repositories    = %s\n\nenvironments = {\n",
		t.names.name, t.region, t.gitHub, quoted(t.names.account), quoted(t.admins...), quoted(t.repositories...))
	for _, environment := range t.environments {
		fmt.Fprintf(&text, "  %s = { namespace = %q }\n", environment, environment)
	}
	text.WriteString("}\n")
	return text.String()
}
