# What keeps the states, as planned, with the values that AWS would add mocked. An apply would have to be undone, which
# prevent_destroy refuses.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "by_default" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "onedigest-terraform-123456789012-eu-central-1" && !aws_s3_bucket.state.force_destroy
    error_message = "The bucket is named for account and region, and is not removed with what is in it."
  }

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "Old versions of a state are kept."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "No way of making the bucket public is left open."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.state.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs are off."
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.state.rule :
      rule.bucket_key_enabled && rule.blocked_encryption_types == tolist(["SSE-C"]) &&
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" &&
      rule.apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.state[0].arn
    ])
    error_message = "States are encrypted with the bucket's own key."
  }

  assert {
    condition     = aws_kms_key.state[0].enable_key_rotation && aws_kms_key.state[0].deletion_window_in_days == 30
    error_message = "The key rotates, and its removal can be called off for 30 days."
  }

  assert {
    condition     = length(aws_dynamodb_table.lock) == 0 && length(aws_s3_bucket_logging.state) == 0
    error_message = "There is no lock table and no access log unless asked for."
  }
}

# The policy as IAM reads it: only Deny, for everybody, each with the condition it is for.
run "bucket_policy" {
  command = plan

  assert {
    condition     = aws_s3_bucket_policy.state.bucket == aws_s3_bucket.state.id
    error_message = "The policy is the bucket's."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && length(statement.Condition) > 0
    ])
    error_message = "The bucket's policy allows nobody anything; that is for IAM."
  }

  assert {
    condition = length([
      for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : statement
      if statement.Action == "s3:*" && toset(statement.Resource) == toset([aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]) &&
      try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ]) == 1
    error_message = "Without TLS nothing passes, for the bucket and for what is in it."
  }

  assert {
    condition = length([
      for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : statement
      if statement.Action == "s3:*" && try(statement.Condition.NumericLessThan["s3:TlsVersion"], "") == "1.2"
    ]) == 1
    error_message = "TLS before 1.2 does not pass."
  }

  # Each way of writing a state, and whether the policy denies it. The conditions of a statement are all needed for a Deny.
  assert {
    condition = alltrue([
      for upload in [
        { what = "no header: the bucket's default", algorithm = null, key = null, denied = false },
        { what = "this key", algorithm = "aws:kms", key = aws_kms_key.state[0].arn, denied = false },
        { what = "aws:kms without a key: the bucket's default key", algorithm = "aws:kms", key = null, denied = false },
        { what = "S3's keys, as `encrypt` without `kms_key_id` asks", algorithm = "AES256", key = null, denied = true },
        { what = "another key", algorithm = "aws:kms", key = "arn:aws:kms:eu-central-1:210987654321:key/other", denied = true },
      ] :
      upload.denied == anytrue([
        for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement :
        alltrue(concat(
          [for key, value in try(statement.Condition.StringNotEquals, {}) : upload.algorithm != value],
          [for key, value in try(statement.Condition.ArnNotEquals, {}) : upload.key != value],
          [for key, value in try(statement.Condition.Null, {}) : (endswith(key, "key-id") ? upload.key == null : upload.algorithm == null) == (value == "true")],
        ))
        if statement.Action == "s3:PutObject"
      ])
    ])
    error_message = "A state is written with the bucket's key or not at all."
  }
}

run "old_versions" {
  command = plan

  assert {
    condition = length([
      for rule in aws_s3_bucket_lifecycle_configuration.state.rule : rule
      if rule.status == "Enabled" && try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 90 &&
      try(rule.noncurrent_version_expiration[0].newer_noncurrent_versions, 0) == 20
    ]) == 1
    error_message = "Old versions go after 90 days, but the newest 20 stay."
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.state.rule :
      length(rule.transition) == 0 && alltrue([for expiration in rule.expiration : expiration.date == null && expiration.expired_object_delete_marker])
    ])
    error_message = "No rule touches the current version of a state."
  }

  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.state.rule : anytrue([for expiration in rule.expiration : expiration.expired_object_delete_marker])])
    error_message = "Markers that removed locks leave are cleaned up."
  }
}

run "backend" {
  command = plan

  assert {
    condition     = output.backend_config == <<-EOT
      bucket       = "onedigest-terraform-123456789012-eu-central-1"
      region       = "eu-central-1"
      encrypt      = true
      kms_key_id   = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
      use_lockfile = true
    EOT
    error_message = "The backend's configuration names bucket, region and key, and locks in S3: ${output.backend_config}"
  }

  assert {
    condition     = output.backend_config_old_terraform == null && output.lock_table == null
    error_message = "Nothing is said about a lock table that there is not."
  }
}

# Which object each directory's policy lets be read, written and removed: its own and no other's.
run "state_policies" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for directory, policy in output.state_policies : [
        for object in [
          { key = "aws_infra/terraform.tfstate", of = "aws_infra", removable = false },
          { key = "aws_infra/terraform.tfstate.tflock", of = "aws_infra", removable = true },
          { key = "platform/onedigest-staging/terraform.tfstate", of = "platform", removable = false },
          { key = "platform/onedigest-staging/terraform.tfstate.tflock", of = "platform", removable = true },
          { key = "production/terraform.tfstate", of = "production", removable = false },
          { key = "production/terraform.tfstate.tflock", of = "production", removable = true },
          { key = "production-other/terraform.tfstate", of = "none", removable = false },
          ] : [
          for action, expected in {
            "s3:GetObject"    = directory == object.of
            "s3:PutObject"    = directory == object.of
            "s3:DeleteObject" = directory == object.of && object.removable
          } :
          expected == anytrue(flatten([
            for statement in jsondecode(policy).Statement : [
              for resource in statement.Resource :
              can(regex("^${replace(replace(resource, ".", "\\."), "*", ".*")}$", "${aws_s3_bucket.state.arn}/${object.key}"))
            ] if contains(statement.Action, action) && statement.Effect == "Allow"
          ]))
        ]
      ]
    ]))
    error_message = "A directory's policy reaches that directory's states, and removes locks only."
  }

  assert {
    condition = alltrue([
      for policy in values(output.state_policies) :
      [for statement in jsondecode(policy).Statement : statement.Resource if contains(statement.Action, "kms:Decrypt")] == [[aws_kms_key.state[0].arn]]
    ])
    error_message = "Each policy lets the role use the bucket's key and no other."
  }
}

run "with_s3_keys" {
  command = plan

  variables {
    encryption = "s3"
  }

  assert {
    condition     = length(aws_kms_key.state) == 0 && !strcontains(output.backend_config, "kms_key_id") && output.kms_key_arn == null
    error_message = "Without a key of its own, none is made or named."
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.state.rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    ])
    error_message = "States are encrypted all the same."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : statement.Action == "s3:*"])
    error_message = "The rules about the key are gone, those about TLS stay."
  }
}

run "with_lock_table" {
  command = plan

  variables {
    lock_table = true
  }

  assert {
    condition = (
      aws_dynamodb_table.lock[0].name == "onedigest-terraform-lock" && aws_dynamodb_table.lock[0].hash_key == "LockID" &&
      aws_dynamodb_table.lock[0].billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.lock[0].deletion_protection_enabled &&
      aws_dynamodb_table.lock[0].point_in_time_recovery[0].enabled &&
      aws_dynamodb_table.lock[0].server_side_encryption[0].kms_key_arn == aws_kms_key.state[0].arn
    )
    error_message = "The table has the key that Terraform looks for, costs nothing idle, and is protected like the bucket."
  }

  assert {
    condition = (
      strcontains(output.backend_config_old_terraform, "dynamodb_table = \"onedigest-terraform-lock\"") &&
      !strcontains(output.backend_config_old_terraform, "use_lockfile") &&
      strcontains(output.backend_config, "use_lockfile = true") && !strcontains(output.backend_config, "dynamodb")
    )
    error_message = "Old Terraform is given the table, new Terraform goes on locking in S3."
  }
}

run "with_choices" {
  command = plan

  variables {
    bucket_name         = "example-states"
    access_log_bucket   = "example-logs"
    noncurrent_days     = 7
    noncurrent_versions = 1
    allowed_account_ids = ["123456789012"]
    tags                = { team = "platform" }
  }

  assert {
    condition     = aws_s3_bucket.state.bucket == "example-states"
    error_message = "The bucket takes the given name."
  }

  assert {
    condition     = aws_s3_bucket_logging.state[0].target_bucket == "example-logs" && aws_s3_bucket_logging.state[0].target_prefix == "example-states/"
    error_message = "The access log goes to the configured bucket."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].noncurrent_days == 7
    error_message = "Old versions go after the given days."
  }
}
