# The machines of the deploy jobs: one project for each environment, in the private subnets, for the named workflows, with no rights.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  github_connection_arn = "arn:aws:codeconnections:eu-central-1:123456789012:connection/11111111-2222-3333-4444-555555555555"
}

run "one_for_each_environment" {
  command = plan

  assert {
    condition = { for key, project in aws_codebuild_project.runner : key => "${project.name} ${project.source[0].type} ${project.source[0].location}" } == {
      staging    = "onedigest-runner-staging GITHUB https://github.com/onedigest-example/shop.git"
      production = "onedigest-runner-production GITHUB https://github.com/onedigest-example/shop.git"
    }
    error_message = "The runners are others: ${jsonencode(keys(aws_codebuild_project.runner))}"
  }

  assert {
    condition = alltrue([
      for project in values(aws_codebuild_project.runner) : project.vpc_config[0].subnets == toset(values(aws_subnet.private)[*].id) &&
      project.vpc_config[0].security_group_ids == toset([aws_security_group.runner[0].id]) && project.environment[0].privileged_mode == false &&
      project.source[0].auth[0].type == "CODECONNECTIONS" && project.artifacts[0].type == "NO_ARTIFACTS"
    ])
    error_message = "A runner is not in the private subnets, or is privileged, or signs in to GitHub otherwise."
  }

  # A filter group holds if all its filters do.
  assert {
    condition = alltrue([
      for webhook in values(aws_codebuild_webhook.runner) : [for group in webhook.filter_group : { for filter in group.filter : filter.type => filter.pattern }] == [
        { EVENT = "WORKFLOW_JOB_QUEUED", WORKFLOW_NAME = "^(deployment|promote)$" }
      ]
    ])
    error_message = "A machine starts for other jobs than those of the named workflows."
  }

  assert {
    condition = output.github_variables["DEPLOY_RUNNER_STAGING"] == "codebuild-onedigest-runner-staging" && (
      output.github_variables["DEPLOY_RUNNER_PRODUCTION"] == "codebuild-onedigest-runner-production"
    )
    error_message = "The workflows would not find the runners: ${jsonencode(output.github_variables)}"
  }
}

run "the_workflows_ask_for_it" {
  command = plan

  # The environments' settings are JSON in YAML, with expressions of GitHub's in it, so they are compared as text.
  assert {
    condition = alltrue([
      for variable in ["DEPLOY_RUNNER_STAGING", "DEPLOY_RUNNER_PRODUCTION"] : contains(keys(output.github_variables), variable) &&
      strcontains(yamldecode(file("../../.github/workflows/deployment.yaml")).jobs.shop.with.environments, "\"codebuild\": $${{ toJSON(vars.${variable}) }}")
    ]) && strcontains(yamldecode(file("../../.github/workflows/promote.yaml")).jobs.shop.with.environments, "\"codebuild\": $${{ toJSON(vars.DEPLOY_RUNNER_PRODUCTION) }}")
    error_message = "The workflows do not read the variables of the runners."
  }

  assert {
    condition = length(aws_codebuild_project.runner) > 0 && alltrue([
      for job in values(yamldecode(file("../../.github/workflows/environment.yaml")).jobs) :
      strcontains(job["runs-on"], "format('{0}-{1}-{2}', fromJSON(inputs.environment).codebuild, github.run_id, github.run_attempt)")
    ])
    error_message = "A deploy job has another label than CodeBuild's: codebuild-PROJECT-RUN-ATTEMPT."
  }

  assert {
    condition     = toset([for file in ["deployment", "promote"] : yamldecode(file("../../.github/workflows/${file}.yaml")).name]) == toset(var.runner_workflows)
    error_message = "The workflows have other names than the webhook starts machines for."
  }
}

run "a_runner_has_no_rights" {
  command = plan

  assert {
    condition = alltrue([
      for policy in values(aws_iam_role_policy.runner) : toset(flatten(jsondecode(policy.policy).Statement[*].Action)) == toset([
        "logs:CreateLogStream", "logs:PutLogEvents", "codeconnections:GetConnection", "codeconnections:GetConnectionToken",
        "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:CreateNetworkInterfacePermission",
      ])
    ])
    error_message = "A runner may do more than run: what a job may do comes from its own token."
  }

  assert {
    condition = jsondecode(aws_iam_role.runner["staging"].assume_role_policy).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012" }
      ArnLike      = { "aws:SourceArn" = "arn:aws:codebuild:eu-central-1:123456789012:project/onedigest-runner-staging" }
    }
    error_message = "Another project can take the runner's role."
  }
}

run "nothing_comes_in" {
  command = plan

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.runner_https[0].from_port == 443 && aws_vpc_security_group_egress_rule.runner_http[0].cidr_ipv4 == "10.20.0.0/16" &&
      aws_vpc_security_group_egress_rule.runner_http[0].from_port == 80 && aws_vpc_security_group_egress_rule.runner_http[0].to_port == 80
    )
    error_message = "A runner reaches more than HTTPS, and HTTP inside the VPC."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.cluster_api_runner["shared"].referenced_security_group_id == aws_security_group.runner[0].id && aws_vpc_security_group_ingress_rule.cluster_api_runner["shared"].from_port == 443
    error_message = "The cluster's API does not admit the runners."
  }
}

run "each_service_has_runners_of_its_own" {
  command = plan

  variables {
    services = { cart = { github_repository = "onedigest-example/cart" } }
  }

  assert {
    condition     = aws_codebuild_project.runner["cart/staging"].source[0].location == "https://github.com/onedigest-example/cart.git" && output.services["cart"].github_variables["DEPLOY_RUNNER_STAGING"] == "codebuild-onedigest-runner-cart-staging"
    error_message = "Another repository's jobs run on the service's runners."
  }
}

run "none_without_a_connection" {
  command = plan

  variables {
    github_connection_arn = null
  }

  assert {
    condition     = length(aws_codebuild_project.runner) == 0 && length(aws_security_group.runner) == 0 && length([for name in keys(output.github_variables) : name if startswith(name, "DEPLOY_RUNNER")]) == 0
    error_message = "There are runners without a connection."
  }

  expect_failures = [check.deploy_jobs_reach_the_cluster]
}

run "a_connection_of_another_service" {
  command = plan

  variables {
    github_connection_arn = "arn:aws:iam::123456789012:role/github"
  }

  expect_failures = [var.github_connection_arn]
}

run "a_size_that_there_is_not" {
  command = plan

  variables {
    runner_size = "large"
  }

  expect_failures = [var.runner_size]
}

run "a_workflow_that_is_a_pattern" {
  command = plan

  variables {
    runner_workflows = [".*"]
  }

  expect_failures = [var.runner_workflows]
}

run "flow_logs_of_another_kind" {
  command = plan

  variables {
    flow_log_traffic = "ACCEPT"
  }

  expect_failures = [var.flow_log_traffic]
}
