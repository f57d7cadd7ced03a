# What GitHub's jobs may do in this account, without a key that is stored anywhere: GitHub signs who a job is, AWS gives it an hour.
#
# A token's subject says which repository a job belongs to and which environment's protection rules it has passed, or without an
# environment, which branch it runs for. A role is trusted for whole subjects, compared by StringEquals, in which nothing is a
# wildcard. That production's job runs only for main is a rule of the GitHub environment (deployment branches): the subject of a
# job with an environment does not name the branch.

locals {
  github_issuer = "token.actions.githubusercontent.com"

  build_subjects = { for service, heads in local.github_heads : service => [for head in heads : "${head}:ref:refs/heads/${var.github_branch}"] if local.makes_builds }

  deploy_subjects = {
    for key, it in local.deployments : key => [for head in local.github_heads[it.service] : "${head}:environment:${it.environment}"]
  }

  # The GitHub environment ENVIRONMENT-plan has no reviewers: its jobs show what would change before somebody approves it.
  plan_subjects = {
    for key, it in local.deployments : key => [for head in local.github_heads[it.service] : "${head}:environment:${it.environment}-plan"]
    if it.environment == local.highest
  }
  highest = concat(local.ladder, var.environments_above)[length(local.ladder) + length(var.environments_above) - 1] # perhaps of another state

  # By role: that of a service's builds by the service, of a deployment by its key, of its plans by its key and -plan.
  github_trust = {
    for key, subjects in merge(local.build_subjects, local.deploy_subjects, { for key, subjects in local.plan_subjects : "${key}-plan" => subjects }) : key => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = local.github_provider_arn }
        Condition = {
          StringEquals = {
            "${local.github_issuer}:aud" = "sts.amazonaws.com"
            "${local.github_issuer}:sub" = subjects
          }
        }
      }]
    })
  }

  # By service.
  build_policy = {
    for service, repositories in local.service_repositories : service => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "SignIn"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"] # the action knows no resource
        },
        {
          Sid      = "PushAndReuse"
          Effect   = "Allow"
          Action   = concat(local.ecr_pull, local.ecr_push)
          Resource = [for repository in repositories : local.repositories[repository].arn]
        },
        {
          Sid      = "SignProvenance"
          Effect   = "Allow"
          Action   = ["kms:Sign", "kms:GetPublicKey"]
          Resource = [aws_kms_key.build[service].arn]
        },
      ]
    }) if local.makes_builds
  }

  # By service.
  build_roles = merge({ for role in aws_iam_role.build : "" => role }, aws_iam_role.build_service)

  github_provider_arn = try(coalesce(var.github_oidc_provider_arn, try(var.below.github_oidc_provider_arn, null)), aws_iam_openid_connect_provider.github[0].arn)

  ladder = var.ladder != null ? var.ladder : concat(
    sort(setsubtract(keys(var.environments), ["staging", "production"])),
    [for environment in ["staging", "production"] : environment if contains(keys(var.environments), environment)],
  )

  # By deployment: itself and the same service's in the environments below, whose evidence its jobs check.
  evidence_of = {
    for key, it in local.deployments : key => [
      for environment in slice(local.ladder, 0, index(local.ladder, it.environment) + 1) : local.keys[it.service][environment]
    ]
  }

  # By deployment: the public keys that its jobs check with, those of the states below included. There AccountChecksByIAM lets them.
  checked_keys = {
    for key, it in local.deployments : key => concat(
      [for own in local.evidence_of[key] : aws_kms_key.evidence[own].arn],
      [for other, arn in try(var.below.evidence_keys, {}) : arn if it.service == "" ? !strcontains(other, "/") : startswith(other, "${it.service}/")],
      [local.makes_builds ? aws_kms_key.build[it.service].arn : var.below.build_keys[it.service == "" ? "build" : "${it.service}/build"]],
    )
  }

  cluster_arns = {
    for environment, cluster in local.cluster_of : environment => "arn:${local.partition}:eks:${var.region}:${local.account_id}:cluster/${local.clusters[cluster].name}"
  }
}

# Without thumbprints: AWS checks GitHub's certificate against its own list of authorities.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_oidc_provider_arn == null && var.below == null ? 1 : 0

  url            = "https://${local.github_issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

# ── Build ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_iam_role" "build" {
  count = local.makes_builds ? 1 : 0

  name                 = "${var.name}-build"
  description          = "GitHub jobs of ${var.github_repository} for ${var.github_branch}: push images"
  max_session_duration = 3600
  assume_role_policy   = local.github_trust[""]
}

resource "aws_iam_role_policy" "build" {
  count = local.makes_builds ? 1 : 0

  name   = "push"
  role   = aws_iam_role.build[0].id
  policy = local.build_policy[""]
}

# ── Deploy ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Every environment's jobs write: smoke leaves its evidence beside the image, promote gives the image its tag. ECR knows no permission for one tag
# and not another, so in the builds' repository staging's jobs could name an image production-<commit>. Nobody believes that: the actions go by
# signatures, and they cannot sign for production; Terraform goes by the tags of a repository into which they cannot write (ecr_promoted.tf).
resource "aws_iam_role" "deploy" {
  for_each = local.deployments

  name                 = "${var.name}-${each.value.role}"
  description          = "GitHub jobs in environment ${each.value.environment}: promote, deploy, smoke"
  max_session_duration = 3600
  assume_role_policy   = local.github_trust[each.key]
}

# Inside the cluster its access entry decides (eks.tf): the service's namespace and nothing else.
resource "aws_iam_role_policy" "deploy" {
  for_each = local.deployments

  name = "deploy"
  role = aws_iam_role.deploy[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SignIn"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid    = "PullTagAndAttestImages"
        Effect = "Allow"
        Action = concat(local.ecr_pull, local.ecr_push, local.ecr_look, ["ecr:DescribeImageScanFindings"]) # scan --from-ecr signs with the environment's key
        Resource = concat(
          [for repository in local.service_repositories[each.value.service] : local.repositories[repository].arn],
          [for name, it in local.promoted_repositories : aws_ecr_repository.promoted[name].arn if it.service == each.value.service && each.value.environment == local.highest],
        )
      },
      {
        Sid      = "FindCluster"
        Effect   = "Allow"
        Action   = ["eks:DescribeCluster"]
        Resource = [local.cluster_arns[each.value.environment]]
      },
      {
        Sid      = "SignEvidence"
        Effect   = "Allow"
        Action   = ["kms:Sign"]
        Resource = [aws_kms_key.evidence[each.key].arn]
      },
      {
        Sid      = "CheckEvidence"
        Effect   = "Allow"
        Action   = ["kms:GetPublicKey"] # a signature is checked with it, outside KMS
        Resource = local.checked_keys[each.key]
      },
    ]
  })
}

# ── Plan ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Shows what a deploy to the highest environment would change, before its reviewers approve it (.github/workflows/promote.yaml). It writes
# nothing in AWS. In the cluster, terraform/ENVIRONMENT lets its group do what a deploy does as a dry run only.
resource "aws_iam_role" "plan" {
  for_each = local.plan_subjects

  name                 = "${var.name}-${local.deployments[each.key].plan}"
  description          = "GitHub jobs in environment ${local.deployments[each.key].environment}-plan: read only, show what a deploy would change"
  max_session_duration = 3600
  assume_role_policy   = local.github_trust["${each.key}-plan"]
}

resource "aws_iam_role_policy" "plan" {
  for_each = local.plan_subjects

  name = "plan"
  role = aws_iam_role.plan[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SignIn"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid      = "ReadImages"
        Effect   = "Allow"
        Action   = concat(local.ecr_pull, local.ecr_look)
        Resource = [for repository in local.service_repositories[local.deployments[each.key].service] : local.repositories[repository].arn]
      },
      {
        Sid      = "FindCluster"
        Effect   = "Allow"
        Action   = ["eks:DescribeCluster"]
        Resource = [local.cluster_arns[local.deployments[each.key].environment]]
      },
      {
        Sid      = "CheckEvidence"
        Effect   = "Allow"
        Action   = ["kms:GetPublicKey"] # a signature is checked with it, outside KMS
        Resource = local.checked_keys[each.key]
      },
    ]
  })
}
