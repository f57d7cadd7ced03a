package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// awsLimit is what AWS accepts as a text, and the page that says so. Terraform's providers check little of it: a plan succeeds, and
// the apply fails.
type awsLimit struct {
	pattern string
	most    int // characters
	page    string
}

const (
	ec2Reference        = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"
	iamReference        = "https://docs.aws.amazon.com/IAM/latest/APIReference/"
	kmsReference        = "https://docs.aws.amazon.com/kms/latest/APIReference/"
	rdsReference        = "https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/"
	wafReference        = "https://docs.aws.amazon.com/waf/latest/APIReference/"
	eksReference        = "https://docs.aws.amazon.com/eks/latest/APIReference/"
	cloudWatchReference = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/"
	apiReference        = "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/"
)

// groupText is the class of a security group's name, of its description and of a rule's.
const groupText = `^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]+$`

// suffix is what Terraform appends to a prefix: a time of 18 digits and a counter of 8.
const suffix = 26

// awsLimits are the limits by resource and argument, "block.argument" for one of a nested block.
var awsLimits = map[string]map[string]awsLimit{
	"aws_acm_certificate":          {"domain_name": {`^(\*\.)?[a-z0-9.-]+$`, 253, "https://docs.aws.amazon.com/acm/latest/APIReference/API_RequestCertificate.html"}},
	"aws_apigatewayv2_api":         {"name": {`^.+$`, 128, apiReference + "apis.html"}, "description": {`^.+$`, 1024, apiReference + "apis.html"}},
	"aws_apigatewayv2_stage":       {"name": {`^(\$default|[a-zA-Z0-9_-]+)$`, 128, apiReference + "apis-apiid-stages.html"}},
	"aws_apigatewayv2_vpc_link":    {"name": {`^.+$`, 128, apiReference + "vpclinks.html"}},
	"aws_apigatewayv2_domain_name": {"domain_name": {`^[a-z0-9.-]+$`, 512, apiReference + "domainnames.html"}},
	"aws_cloudwatch_metric_alarm": {"alarm_name": {`^[ -~]+$`, 255, cloudWatchReference + "API_PutMetricAlarm.html"}, "alarm_description": {`^[ -~]*$`, 1024, cloudWatchReference + "API_PutMetricAlarm.html"},
		"metric_name": {`^[ -~]+$`, 255, cloudWatchReference + "API_PutMetricAlarm.html"}},
	"aws_sns_topic":            {"name": {`^[A-Za-z0-9_-]+$`, 256, "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"}},
	"aws_cloudwatch_log_group": {"name": {`^[.\-_/#A-Za-z0-9]+$`, 512, "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html"}},
	"aws_db_instance": {"identifier": {`^[a-z]([a-z0-9]|-[a-z0-9])*$`, 63, rdsReference + "API_CreateDBInstance.html"},
		"final_snapshot_identifier": {`^[a-z]([a-z0-9]|-[a-z0-9])*$`, 255, rdsReference + "API_DeleteDBInstance.html"}},
	"aws_db_parameter_group": {"name_prefix": {`^[a-z]([a-z0-9]|-[a-z0-9])*-$`, 255 - suffix, rdsReference + "API_CreateDBParameterGroup.html"},
		"description": {`^[ -~]+$`, 255, rdsReference + "API_CreateDBParameterGroup.html"}},
	"aws_db_subnet_group": {"name": {`^[a-z0-9._ -]+$`, 255, rdsReference + "API_CreateDBSubnetGroup.html"}, "description": {`^[ -~]+$`, 255, rdsReference + "API_CreateDBSubnetGroup.html"}},
	"aws_dynamodb_table":  {"name": {`^[a-zA-Z0-9_.-]{3,}$`, 255, "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html"}},
	"aws_ecr_repository":  {"name": {`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$`, 256, "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html"}},
	"aws_eks_cluster":     {"name": {`^[0-9A-Za-z][A-Za-z0-9_-]*$`, 100, eksReference + "API_CreateCluster.html"}},
	"aws_codebuild_project": {"name": {`^[A-Za-z0-9][A-Za-z0-9\-_]{1,254}$`, 255, "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html"},
		"description": {`^[ -~]*$`, 255, "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html"}},
	"aws_codeconnections_connection": {"name": {`^[ -~]+$`, 32, "https://docs.aws.amazon.com/codestar-connections/latest/APIReference/API_CreateConnection.html"}},
	"aws_eks_node_group":             {"node_group_name_prefix": {`^[0-9A-Za-z][A-Za-z0-9_-]*$`, 63 - suffix, eksReference + "API_CreateNodegroup.html"}},
	"aws_iam_role":                   {"name": {`^[\w+=,.@-]+$`, 64, iamReference + "API_CreateRole.html"}, "description": {`^[\t\n\r -~\x{a1}-\x{ff}]*$`, 1000, iamReference + "API_CreateRole.html"}},
	"aws_iam_role_policy":            {"name": {`^[\w+=,.@-]+$`, 128, iamReference + "API_PutRolePolicy.html"}},
	"aws_kms_alias":                  {"name": {`^alias/[a-zA-Z0-9/_-]+$`, 256, kmsReference + "API_CreateAlias.html"}},
	"aws_kms_key":                    {"description": {`^[ -~]*$`, 8192, kmsReference + "API_CreateKey.html"}},
	"aws_launch_template": {"name": {`^[a-zA-Z0-9().\-/_]{3,}$`, 128, ec2Reference + "API_CreateLaunchTemplate.html"},
		"description": {`^[ -~]+$`, 255, ec2Reference + "API_CreateLaunchTemplate.html"}},
	"aws_route53_record": {"name": {`^[ -~]+$`, 255, "https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html"}},
	"aws_s3_bucket":      {"bucket": {`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`, 63, "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"}},
	"aws_secretsmanager_secret": {"name": {`^[A-Za-z0-9/_+=.@-]+$`, 512, "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html"},
		"description": {`^[ -~]*$`, 2048, "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html"}},
	"aws_security_group":                  {"name": {groupText, 255, ec2Reference + "API_CreateSecurityGroup.html"}, "description": {groupText, 255, ec2Reference + "API_CreateSecurityGroup.html"}},
	"aws_vpc_security_group_egress_rule":  {"description": {groupText, 255, ec2Reference + "API_IpRange.html"}},
	"aws_vpc_security_group_ingress_rule": {"description": {groupText, 255, ec2Reference + "API_IpRange.html"}},
	"aws_wafv2_web_acl": {"name": {`^[\w-]+$`, 128, wafReference + "API_CreateWebACL.html"},
		"description":                        {`^[\w+=:#@/\-,.][\w+=:#@/\-,.\s]+[\w+=:#@/\-,.]$`, 256, wafReference + "API_CreateWebACL.html"},
		"rule.name":                          {`^[\w-]+$`, 128, wafReference + "API_Rule.html"},
		"visibility_config.metric_name":      {`^[\w#:./-]+$`, 128, wafReference + "API_VisibilityConfig.html"},
		"rule.visibility_config.metric_name": {`^[\w#:./-]+$`, 128, wafReference + "API_VisibilityConfig.html"}},
}

// tagLimit is what every service accepts as a tag's value.
var tagLimit = awsLimit{`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`, 256, "https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html"}

// nameArgument matches arguments that are a text of ours in a resource; one that awsLimits does not know fails the test.
var nameArgument = regexp.MustCompile(`^(name|name_prefix|.*_name_prefix|description|identifier|.*_identifier|bucket|domain_name|metric_name)$`)

// notNames are arguments that look like such a text and refer to something that exists, or are a keyword.
var notNames = map[string]bool{
	"aws_apigatewayv2_api_mapping.domain_name":                                   true, // a reference to the domain name
	"aws_db_instance.ca_cert_identifier":                                         true, // AWS's own
	"aws_db_parameter_group.parameter.name":                                      true, // PostgreSQL's
	"aws_dynamodb_table.attribute.name":                                          true, // LockID, Terraform's
	"aws_route53_record.alias.name":                                              true, // a reference
	"aws_wafv2_web_acl_logging_configuration.redacted_fields.single_header.name": true, // HTTP's
}

// longest are the longest values of expressions in names, with the characters that their variables admit; a key FILE EXPRESSION is for
// one file. A module's variables have the limits of the directories that call it.
var longest = map[string]string{
	"var.name":                                letters(20),
	"var.environment":                         letters(16),
	"var.cluster_name":                        letters(37),
	"var.region":                              "ap-southeast-4",
	"each.key":                                letters(16), // an environment, a zone, or the account of a controller
	"local.account_id":                        "123456789012",
	"local.release":                           letters(53),
	"local.loki_bucket":                       letters(63), // held by var.cluster_name's validation
	"local.bucket_name":                       letters(63), // held by var.bucket_name's validation
	"local.secrets_reader":                    "secrets-reader",
	"local.shelf":                             letters(33),
	"each.value.role":                         letters(16) + "-deploy-" + letters(16),
	"each.value.name":                         letters(33), // SERVICE-ENVIRONMENT
	"each.value.reader":                       letters(33) + "-secrets",
	"local.deployments[each.key].plan":        letters(16) + "-plan-" + letters(16),
	"local.deployments[each.key].environment": letters(16),
	"local.runner_repositories[each.value.service]":   letters(39) + "/" + strings.Repeat("a._-", 25),
	"local.service.hostname":                          strings.Repeat("a", 60) + ".example.com",
	"local.hosts[each.key]":                           strings.Repeat("a", 60) + ".example.com",
	"var.github_repository":                           letters(39) + "/" + strings.Repeat("a._-", 25),
	"var.github_branch":                               strings.Repeat("a/._-", 40),
	"local.clusters[each.value.cluster].name":         letters(37),
	"local.clusters[local.cluster_of[each.key]].name": letters(37),
	"each.value.environment":                          letters(16),
	"each.value.service_account":                      letters(20),
	"each.value.group":                                letters(20),
	"each.value.cidr":                                 "255.255.255.255/32",
	"each.value.log":                                  "postgresql",
	"trimprefix(each.value.zone, var.region)":         "a",
	"aws_infra/eks.tf each.value.name":                letters(37),
	"aws_infra/eks_nodes.tf each.value.name":          letters(37),
	"aws_infra/irsa.tf each.value.name":               "load-balancer-controller",
	"aws_infra/https.tf each.value":                   strings.Repeat("a", 60) + ".example.com",
	"aws_infra/ecr.tf each.key":                       letters(256),
	`aws_infra/kms.tf each.key == "" ? "the builds state" : "the builds of ${each.key} state"`: "the builds of " + letters(16) + " state",
	`aws_infra/kms.tf join("-", compact(["alias/${var.name}-provenance", each.key]))`:          "alias/" + letters(20) + "-provenance-" + letters(16),
	"aws_infra/edge.tf group.key": "AWSManagedRulesAmazonIpReputationList",
	"one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_name": "_x.example.com",
}

func letters(n int) string { return strings.Repeat("a", n) }

// TestAWSAcceptsTheNames holds every name, description and tag of a resource to the class and length that AWS accepts, with the longest
// values that its variables admit.
func TestAWSAcceptsTheNames(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../terraform/*/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../terraform/modules/*/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range append(files, more...) {
		checked += checkNames(t, file)
	}
	if checked < 80 {
		t.Errorf("%d texts were found, which are too few: the test reads the files wrongly", checked)
	}
}

// checkNames checks one file and returns the number of texts in it.
func checkNames(t *testing.T, file string) (checked int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, problems := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	short := strings.TrimPrefix(file, "../../terraform/")
	for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
		if block.Type != "resource" || !strings.HasPrefix(block.Labels[0], "aws_") {
			continue
		}
		walkArguments(block.Body, "", func(path string, argument *hclsyntax.Attribute) {
			last := path[strings.LastIndex(path, ".")+1:]
			limit, isKnown := awsLimits[block.Labels[0]][path]
			switch {
			case path == "tags":
				for _, item := range argument.Expr.(*hclsyntax.ObjectConsExpr).Items {
					checked++
					checkText(t, text, short, item.ValueExpr, tagLimit)
				}
			case isKnown:
				checked++
				checkText(t, text, short, argument.Expr, limit)
			case nameArgument.MatchString(last) && !refers(argument.Expr) && !notNames[block.Labels[0]+"."+path] && !strings.HasPrefix(path, "rule.") && !strings.Contains(path, "_to_match"):
				t.Errorf("%s: %s has %s, for which awsLimits has no limit: look its API page up", argument.SrcRange, block.Labels[0], path)
			}
		})
	}
	return checked
}

// refers reports whether an expression is the attribute of a resource or of a data source: it names what exists.
func refers(expression hclsyntax.Expression) bool {
	for _, traversal := range expression.Variables() {
		if root := traversal.RootName(); strings.HasPrefix(root, "aws_") || root == "data" {
			return true
		}
	}
	return false
}

// walkArguments calls visit for each argument of a body and of the blocks in it, with its path. A dynamic block counts as the block.
func walkArguments(body *hclsyntax.Body, prefix string, visit func(string, *hclsyntax.Attribute)) {
	for name, argument := range body.Attributes {
		visit(prefix+name, argument)
	}
	for _, block := range body.Blocks {
		switch block.Type {
		case "lifecycle":
		case "dynamic":
			for _, content := range block.Body.Blocks {
				walkArguments(content.Body, prefix+block.Labels[0]+".", visit)
			}
		default:
			walkArguments(block.Body, prefix+block.Type+".", visit)
		}
	}
}

// checkText compares a text, its expressions at their longest, with a limit.
func checkText(t *testing.T, source []byte, file string, expression hclsyntax.Expression, limit awsLimit) {
	t.Helper()
	value, err := longestOf(source, file, expression)
	if err != nil {
		t.Errorf("%s: %v", expression.Range(), err)
		return
	}
	if n := utf8.RuneCountInString(value); n > limit.most {
		t.Errorf("%s: %q can have %d characters, and AWS accepts %d (%s)", expression.Range(), value, n, limit.most, limit.page)
	}
	if !regexp.MustCompile(limit.pattern).MatchString(value) {
		t.Errorf("%s: %q is not of the form that AWS accepts, %s (%s)", expression.Range(), value, limit.pattern, limit.page)
	}
}

func longestOf(source []byte, file string, expression hclsyntax.Expression) (string, error) {
	switch e := expression.(type) {
	case *hclsyntax.LiteralValueExpr:
		return e.Val.AsString(), nil
	case *hclsyntax.TemplateWrapExpr:
		return longestOf(source, file, e.Wrapped)
	case *hclsyntax.TemplateExpr:
		var text strings.Builder
		for _, part := range e.Parts {
			value, err := longestOf(source, file, part)
			if err != nil {
				return "", err
			}
			text.WriteString(value)
		}
		return text.String(), nil
	}
	written := string(expression.Range().SliceBytes(source))
	if value, isKnown := longest[file+" "+written]; isKnown {
		return value, nil
	}
	if value, isKnown := longest[written]; isKnown {
		return value, nil
	}
	return "", fmt.Errorf("%q is in a name, and longest has no value for it", written)
}
