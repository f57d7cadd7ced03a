# Where the deploy jobs run: a machine of CodeBuild for each job, in the private subnets, which ends with the job. GitHub tells CodeBuild of a
# queued job, and CodeBuild registers the runner for it
# (https://docs.aws.amazon.com/codebuild/latest/userguide/action-runner-overview.html). One project for each environment and service, so
# that no job waits for another environment's and a quota can be set for each.
#
# The runner has no rights but to write its log: a job signs in by its own token (oidc_github.tf), whichever machine it runs on. What it
# has is its place in the network.

locals {
  runners = var.github_connection_arn == null ? {} : local.deployments

  runner_keys = keys(local.runners)

  # By service and environment: how the label of its jobs begins; the workflows add the run's number and attempt.
  runner_labels = {
    for service, keys in local.keys : service => {
      for environment, key in keys : environment => "codebuild-${aws_codebuild_project.runner[key].name}" if contains(local.runner_keys, key)
    }
  }

  runner_repositories = merge({ "" = var.github_repository }, { for service, settings in var.services : service => settings.github_repository })
}

resource "aws_cloudwatch_log_group" "runner" {
  for_each = local.runners

  name              = "/aws/codebuild/${var.name}-runner-${each.value.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "runner" {
  for_each = local.runners

  name = "${var.name}-runner-${each.value.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "codebuild.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:codebuild:${var.region}:${local.account_id}:project/${var.name}-runner-${each.value.name}" }
      }
    }]
  })
}

# CodeBuild, "Allow CodeBuild access to AWS services required to create a VPC network interface" and "GitHub App connections".
resource "aws_iam_role_policy" "runner" {
  for_each = local.runners

  name = "run"
  role = aws_iam_role.runner[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.runner[each.key].arn}:*"]
      },
      {
        Sid      = "ReachGitHub"
        Effect   = "Allow"
        Action   = ["codeconnections:GetConnection", "codeconnections:GetConnectionToken"]
        Resource = [var.github_connection_arn]
      },
      {
        Sid    = "BeInTheNetwork"
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        ]
        Resource = ["*"] # the actions that describe know no resource, and an interface has no name before it is made
      },
      {
        Sid      = "HandInterfacesToCodeBuild"
        Effect   = "Allow"
        Action   = ["ec2:CreateNetworkInterfacePermission"]
        Resource = ["arn:${local.partition}:ec2:${var.region}:${local.account_id}:network-interface/*"]
        Condition = {
          StringEquals = { "ec2:AuthorizedService" = "codebuild.amazonaws.com" }
          ArnEquals    = { "ec2:Subnet" = [for subnet in values(aws_subnet.private) : subnet.arn] }
        }
      },
    ]
  })
}

# Nothing comes in. Out: HTTPS to GitHub, the module proxy, AWS and the cluster's API; plain HTTP inside the VPC, for the smoke of a load
# balancer that has no certificate.
resource "aws_security_group" "runner" {
  count = length(local.runners) > 0 ? 1 : 0

  name        = "${var.name}-runner"
  description = "Runners of the deploy jobs: outwards only"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-runner" }
}

#trivy:ignore:AWS-0104
resource "aws_vpc_security_group_egress_rule" "runner_https" {
  count = length(local.runners) > 0 ? 1 : 0

  security_group_id = aws_security_group.runner[0].id
  description       = "HTTPS: GitHub has no fixed addresses"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "runner_http" {
  count = length(local.runners) > 0 ? 1 : 0

  security_group_id = aws_security_group.runner[0].id
  description       = "HTTP inside the VPC: smoke of a load balancer"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
}

# Also where endpoint_private_cidrs names other networks only.
resource "aws_vpc_security_group_ingress_rule" "cluster_api_runner" {
  for_each = length(local.runners) > 0 ? local.clusters : {}

  security_group_id            = aws_eks_cluster.this[each.key].vpc_config[0].cluster_security_group_id
  description                  = "Kubernetes API from the runners"
  referenced_security_group_id = aws_security_group.runner[0].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_codebuild_project" "runner" {
  for_each = local.runners

  name           = "${var.name}-runner-${each.value.name}"
  description    = "GitHub runner for the jobs of ${local.runner_repositories[each.value.service]} in ${each.value.environment}"
  service_role   = aws_iam_role.runner[each.key].arn
  build_timeout  = 60
  queued_timeout = 30

  source {
    type                = "GITHUB"
    location            = "https://github.com/${local.runner_repositories[each.value.service]}.git"
    git_clone_depth     = 1
    report_build_status = false

    auth {
      type     = "CODECONNECTIONS"
      resource = var.github_connection_arn
    }
  }

  artifacts {
    type = "NO_ARTIFACTS"
  }

  environment {
    type            = "LINUX_CONTAINER"
    image           = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    compute_type    = var.runner_size
    privileged_mode = false
  }

  vpc_config {
    vpc_id             = aws_vpc.this.id
    subnets            = values(aws_subnet.private)[*].id
    security_group_ids = [aws_security_group.runner[0].id]
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.runner[each.key].name
    }
  }

  depends_on = [aws_iam_role_policy.runner]
}

resource "aws_codebuild_webhook" "runner" {
  for_each = local.runners

  project_name = aws_codebuild_project.runner[each.key].name
  build_type   = "BUILD"

  filter_group {
    filter {
      type    = "EVENT"
      pattern = "WORKFLOW_JOB_QUEUED"
    }

    filter {
      type    = "WORKFLOW_NAME"
      pattern = "^(${join("|", var.runner_workflows)})$"
    }
  }
}

check "deploy_jobs_reach_the_cluster" {
  assert {
    condition     = var.github_connection_arn != null || length(var.endpoint_public_cidrs) > 0
    error_message = "The clusters' API answers inside the VPC only, and no runner is made there: give github_connection_arn (terraform/bootstrap makes the connection), or see that the deploy jobs have a runner in the VPC."
  }
}
