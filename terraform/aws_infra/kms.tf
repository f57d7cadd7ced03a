# Keys of the delivery: those that sign evidence, and those that encrypt images and the applications' secrets. The keys of clusters,
# databases and log groups are next to those resources.

locals {
  account_root = "arn:${local.partition}:iam::${local.account_id}:root"

  # Administration without use: no Sign, no Decrypt, and no CreateGrant, which could delegate either. A principal that may
  # change the policy can still add itself; CloudTrail then shows a PutKeyPolicy, while a forged signature would not be noticed.
  kms_administration = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
  ]
}

# ── Evidence ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# One for each environment: a signature of staging's key says that a job which had passed staging's rules wrote it, or one of
# evidence_signer_arns. The private half never leaves KMS. KMS does not rotate asymmetric keys.
resource "aws_kms_key" "evidence" {
  for_each = local.deployments

  description              = "${var.name}: signs ${each.value.name}'s evidence"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"
  enable_key_rotation      = false
  deletion_window_in_days  = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = local.kms_administration
        Resource  = "*"
      },
      {
        Sid       = "AccountChecksByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = ["kms:GetPublicKey", "kms:Verify"]
        Resource  = "*"
      },
      {
        Sid       = "ItsJobsSign"
        Effect    = "Allow"
        Principal = { AWS = concat([aws_iam_role.deploy[each.key].arn], sort(lookup(var.evidence_signer_arns, each.value.environment, []))) }
        Action    = "kms:Sign"
        Resource  = "*"
      },
      {
        Sid    = "JobsCheck"
        Effect = "Allow"
        Principal = { AWS = concat(
          [for environment in local.ladder : aws_iam_role.deploy[local.keys[each.value.service][environment]].arn if contains(local.evidence_of[local.keys[each.value.service][environment]], each.key)],
          [for key, role in aws_iam_role.plan : role.arn if contains(local.evidence_of[key], each.key)],
        ) }
        Action   = ["kms:GetPublicKey"]
        Resource = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "evidence" {
  for_each = local.deployments

  name          = "alias/${var.name}-evidence-${each.value.name}"
  target_key_id = aws_kms_key.evidence[each.key].key_id
}

# One for each service's builds: a signature of it says that a build of the branch stated how the image was made and what it contains.
resource "aws_kms_key" "build" {
  for_each = local.build_roles

  description              = "${var.name}: signs what ${each.key == "" ? "the builds state" : "the builds of ${each.key} state"}"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"
  enable_key_rotation      = false
  deletion_window_in_days  = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = local.kms_administration
        Resource  = "*"
      },
      {
        Sid       = "AccountChecksByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = ["kms:GetPublicKey", "kms:Verify"]
        Resource  = "*"
      },
      {
        Sid       = "ItsBuildsSign"
        Effect    = "Allow"
        Principal = { AWS = each.value.arn }
        Action    = ["kms:Sign", "kms:GetPublicKey"]
        Resource  = "*"
      },
      {
        Sid    = "JobsCheck"
        Effect = "Allow"
        Principal = { AWS = concat(
          [for key in values(local.keys[each.key]) : aws_iam_role.deploy[key].arn],
          [for key, role in aws_iam_role.plan : role.arn if local.deployments[key].service == each.key],
        ) }
        Action   = ["kms:GetPublicKey"]
        Resource = "*"
      },
    ]
  })
}

# Beside the names of the environments' keys, which begin with NAME-evidence-.
resource "aws_kms_alias" "build" {
  for_each = local.build_roles

  name          = join("-", compact(["alias/${var.name}-provenance", each.key]))
  target_key_id = aws_kms_key.build[each.key].key_id
}

data "aws_kms_public_key" "build" {
  for_each = aws_kms_key.build

  key_id = each.value.arn
}

data "aws_kms_public_key" "evidence" {
  for_each = aws_kms_key.evidence

  key_id = each.value.arn
}

# ── Secrets of the applications ─────────────────────────────────────────────────────────────────────────────────────────

# For what Secrets Manager keeps below <name>/<environment>/. Only through Secrets Manager, and only for that environment's
# secrets: KMS compares the secret's ARN that the ciphertext is bound to.
resource "aws_kms_key" "app_secrets" {
  for_each = local.deployments

  description             = "${var.name}: ${each.value.name}'s secrets"
  enable_key_rotation     = true
  rotation_period_in_days = 365
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = local.kms_administration
        Resource  = "*"
      },
      {
        Sid       = "AccountKeepsSecretsByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = {
          StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.${data.aws_partition.current.dns_suffix}" }
          ArnLike      = { "kms:EncryptionContext:SecretARN" = "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${var.name}/${each.value.secrets}/*" }
        }
      },
      {
        Sid       = "ClusterReadsSecrets"
        Effect    = "Allow"
        Principal = { AWS = aws_iam_role.secrets_reader[each.key].arn }
        Action    = "kms:Decrypt"
        Resource  = "*"
        Condition = {
          StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.${data.aws_partition.current.dns_suffix}" }
          ArnLike      = { "kms:EncryptionContext:SecretARN" = "arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${var.name}/${each.value.secrets}/*" }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "app_secrets" {
  for_each = local.deployments

  name          = "alias/${var.name}-secrets-${each.value.name}"
  target_key_id = aws_kms_key.app_secrets[each.key].key_id
}

# ── Images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

# ECR uses it by grants that it takes when a repository is made: who pulls or pushes needs no permission for the key.
resource "aws_kms_key" "images" {
  description             = "${var.name}: images in ECR"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = local.kms_administration
        Resource  = "*"
      },
      {
        Sid       = "AccountMakesRepositoriesByIAM"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action    = ["kms:CreateGrant", "kms:RetireGrant", "kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:ViaService" = "ecr.${var.region}.${data.aws_partition.current.dns_suffix}" } }
      },
    ]
  })
}

resource "aws_kms_alias" "images" {
  name          = "alias/${var.name}-images"
  target_key_id = aws_kms_key.images.key_id
}
