output "bucket" {
  description = "Name of the bucket that keeps the states."
  value       = aws_s3_bucket.state.id
}

output "kms_key_arn" {
  description = "Key that encrypts the states; null with encryption = s3."
  value       = one(aws_kms_key.state[*].arn)
}

output "lock_table" {
  description = "DynamoDB table for the locks of Terraform before 1.10, null without one."
  value       = one(aws_dynamodb_table.lock[*].name)
}

output "backend_config" {
  description = "What every directory's `terraform init -backend-config=FILE` needs. The key of the state is the directory's own."
  value = join("", compact([
    "bucket       = \"${aws_s3_bucket.state.id}\"\n",
    "region       = \"${var.region}\"\n",
    "encrypt      = true\n",
    local.with_key ? "kms_key_id   = \"${aws_kms_key.state[0].arn}\"\n" : "",
    "use_lockfile = true\n",
  ]))
}

output "backend_config_old_terraform" {
  description = "The same for Terraform before 1.10, which locks in the DynamoDB table; null without lock_table."
  value = var.lock_table ? join("", compact([
    "bucket         = \"${aws_s3_bucket.state.id}\"\n",
    "region         = \"${var.region}\"\n",
    "encrypt        = true\n",
    local.with_key ? "kms_key_id     = \"${aws_kms_key.state[0].arn}\"\n" : "",
    "dynamodb_table = \"${aws_dynamodb_table.lock[0].name}\"\n",
  ])) : null
}

output "state_policies" {
  description = "By directory: the IAM policy that lets a role use only that directory's states and locks."
  value = {
    for directory in ["bootstrap", "aws_infra", "platform", "staging", "production"] : directory => jsonencode({
      Version = "2012-10-17"
      Statement = concat([
        # Names only. Without it S3 answers 403 where no state is yet, and Terraform takes that for an error.
        {
          Sid      = "FindStates"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = [local.bucket_arn]
        },
        {
          Sid      = "ReadAndWriteStates"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject"]
          Resource = ["${local.bucket_arn}/${directory}/*"]
        },
        {
          Sid      = "Unlock"
          Effect   = "Allow"
          Action   = ["s3:DeleteObject"]
          Resource = ["${local.bucket_arn}/${directory}/*.tflock"]
        },
        ], local.with_key ? [
        {
          Sid      = "UseKey"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [aws_kms_key.state[0].arn]
        },
      ] : [])
    })
  }
}

output "github_connection" {
  description = "The connection to GitHub: `github_connection_arn` of terraform/aws_infra, and where to authorise it while it is PENDING; null without one."
  value = !var.github_connection ? null : {
    arn       = aws_codeconnections_connection.github[0].arn
    status    = aws_codeconnections_connection.github[0].connection_status
    authorise = "https://${var.region}.console.aws.amazon.com/codesuite/settings/connections"
  }
}
