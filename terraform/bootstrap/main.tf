# Where Terraform keeps what it knows: one versioned, encrypted bucket, one state in it for each directory.

locals {
  account_id  = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  bucket_name = coalesce(var.bucket_name, "${var.name}-terraform-${local.account_id}-${var.region}")
  bucket_arn  = "arn:${local.partition}:s3:::${local.bucket_name}"
  with_key    = var.encryption == "kms"
}

# ── Bucket ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Its access log needs a second bucket, which the account may have: access_log_bucket names it. Every use of the key is in CloudTrail.
#trivy:ignore:AWS-0089
resource "aws_s3_bucket" "state" {
  bucket        = local.bucket_name
  force_destroy = false

  lifecycle {
    # Without the states, what they describe can only be found by hand and cannot be destroyed by Terraform.
    prevent_destroy = true
  }
}

# The way back from a state that was damaged or removed.
resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    object_ownership = "BucketOwnerEnforced" # no ACLs: policies alone decide
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket = aws_s3_bucket.state.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    bucket_key_enabled       = local.with_key
    blocked_encryption_types = ["SSE-C"] # nobody writes a state whose key only they have

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.with_key ? "aws:kms" : "AES256"
      kms_master_key_id = local.with_key ? aws_kms_key.state[0].arn : null
    }
  }
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "OnlyTLS"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyTLS12"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
      ], local.with_key ? [
      # A backend with `encrypt = true` and no `kms_key_id` asks for S3's own keys by name, which wins over the bucket's default.
      {
        Sid       = "OnlyKMS"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = ["${local.bucket_arn}/*"]
        Condition = {
          StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
          Null            = { "s3:x-amz-server-side-encryption" = "false" }
        }
      },
      {
        Sid       = "OnlyThisKey"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = ["${local.bucket_arn}/*"]
        Condition = {
          ArnNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = aws_kms_key.state[0].arn }
          Null         = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
        }
      },
    ] : [])
  })

  depends_on = [aws_s3_bucket_public_access_block.state]
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days           = var.noncurrent_days
      newer_noncurrent_versions = var.noncurrent_versions
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Every run makes and removes a lock object, and each removal leaves a marker.
  rule {
    id     = "markers-of-what-is-gone"
    status = "Enabled"

    filter {}

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.state]
}

resource "aws_s3_bucket_logging" "state" {
  count = var.access_log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.state.id
  target_bucket = var.access_log_bucket
  target_prefix = "${local.bucket_name}/"
}

# ── Key ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_kms_key" "state" {
  count = local.with_key ? 1 : 0

  description             = "${var.name}: Terraform's states"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministersByIAM"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
    ]
  })

  lifecycle {
    prevent_destroy = true # no key, no state
  }
}

resource "aws_kms_alias" "state" {
  count = local.with_key ? 1 : 0

  name          = "alias/${var.name}-terraform-state"
  target_key_id = aws_kms_key.state[0].key_id
}

# ── Locks for old Terraform ─────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_dynamodb_table" "lock" {
  count = var.lock_table ? 1 : 0

  name                        = "${var.name}-terraform-lock"
  billing_mode                = "PAY_PER_REQUEST"
  deletion_protection_enabled = true
  hash_key                    = "LockID" # the name that Terraform looks for

  attribute {
    name = "LockID"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = local.with_key ? aws_kms_key.state[0].arn : null
  }
}

# ── GitHub ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

# By it CodeBuild hears of queued jobs and registers runners (terraform/aws_infra, runner.tf). It is made here, before all else, because
# GitHub asks a person once whether AWS may be connected: until then it is PENDING and cannot be used.
resource "aws_codeconnections_connection" "github" {
  count = var.github_connection ? 1 : 0

  name          = "${var.name}-github"
  provider_type = "GitHub"
}
