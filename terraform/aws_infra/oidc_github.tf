# What GitHub's jobs may do in this account, without a key that is stored anywhere: GitHub signs who a job is, AWS gives it an hour.
#
# A token's subject says which repository a job belongs to and which environment's protection rules it has passed, or without an
# environment, which branch it runs for. A role is trusted for whole subjects, compared by StringEquals, in which nothing is a
# wildcard. That production's job runs only for main is a rule of the GitHub environment (deployment branches): the subject of a
# job with an environment does not name the branch.

locals {
  github_issuer = "token.actions.githubusercontent.com"

  github_owner = split("/", var.github_repository)[0]
  github_name  = split("/", var.github_repository)[1]

  github_subject_heads = concat(
    contains(var.github_subject_forms, "name") ? ["repo:${var.github_repository}"] : [],
    contains(var.github_subject_forms, "id") ? [
      "repo:${local.github_owner}@${coalesce(var.github_owner_id, "none")}/${local.github_name}@${coalesce(var.github_repository_id, "none")}"
    ] : [],
  )

  build_subjects = [for head in local.github_subject_heads : "${head}:ref:refs/heads/${var.github_branch}"]

  deploy_subjects = {
    for environment in keys(var.environments) : environment => [for head in local.github_subject_heads : "${head}:environment:${environment}"]
  }

  github_provider_arn = var.github_oidc_provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.github_oidc_provider_arn

  ladder = var.ladder != null ? var.ladder : concat(
    sort(setsubtract(keys(var.environments), ["staging", "production"])),
    [for environment in ["staging", "production"] : environment if contains(keys(var.environments), environment)],
  )

  # By environment: itself and those below, whose evidence its jobs check.
  evidence_of = {
    for index, environment in local.ladder : environment => slice(local.ladder, 0, index + 1)
  }
}

# Without thumbprints: AWS checks GitHub's certificate against its own list of authorities.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.github_issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

# ── Build ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_iam_role" "build" {
  name                 = "${var.name}-build"
  description          = "GitHub jobs of ${var.github_repository} for ${var.github_branch}: push images"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.github_provider_arn }
      Condition = {
        StringEquals = {
          "${local.github_issuer}:aud" = "sts.amazonaws.com"
          "${local.github_issuer}:sub" = local.build_subjects
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "build" {
  name = "push"
  role = aws_iam_role.build.id
  policy = jsonencode({
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
        Resource = [for repository in values(aws_ecr_repository.this) : repository.arn]
      },
    ]
  })
}

# ── Deploy ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Every environment's jobs write: smoke leaves its evidence beside the image, promote gives the image its tag. ECR knows no
# permission for one tag and not another, so staging's jobs could name an image production-<commit>; what they cannot do is sign
# production's evidence, or deploy there. It is signatures, and not tags, that say what was proved.
resource "aws_iam_role" "deploy" {
  for_each = var.environments

  name                 = "${var.name}-deploy-${each.key}"
  description          = "GitHub jobs of ${var.github_repository} in environment ${each.key}: promote, deploy, smoke"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.github_provider_arn }
      Condition = {
        StringEquals = {
          "${local.github_issuer}:aud" = "sts.amazonaws.com"
          "${local.github_issuer}:sub" = local.deploy_subjects[each.key]
        }
      }
    }]
  })
}

# Inside the cluster its access entry decides (eks.tf): the environment's namespace and nothing else.
resource "aws_iam_role_policy" "deploy" {
  for_each = var.environments

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
        Sid      = "PullTagAndAttestImages"
        Effect   = "Allow"
        Action   = concat(local.ecr_pull, local.ecr_push, ["ecr:DescribeImages", "ecr:GetLifecyclePolicy"]) # which record was pushed last, and whether a rule deletes what is released
        Resource = [for repository in values(aws_ecr_repository.this) : repository.arn]
      },
      {
        Sid      = "FindCluster"
        Effect   = "Allow"
        Action   = ["eks:DescribeCluster"]
        Resource = ["arn:${local.partition}:eks:${var.region}:${local.account_id}:cluster/${local.clusters[local.cluster_of[each.key]].name}"]
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
        Action   = ["kms:DescribeKey", "kms:GetPublicKey", "kms:Verify"]
        Resource = [for environment in local.evidence_of[each.key] : aws_kms_key.evidence[environment].arn]
      },
    ]
  })
}
