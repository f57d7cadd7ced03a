# Who may use which key. The policies are evaluated as KMS does, for a table of principals, actions and circumstances: what a
# policy does not allow, no IAM policy can, except through the account's own statement (principal root).

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = aws_iam_role.build
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-build" }
  }

  override_resource {
    target = aws_iam_role.deploy["staging"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-deploy-staging" }
  }

  override_resource {
    target = aws_iam_role.deploy["production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-deploy-production" }
  }

  override_resource {
    target = aws_iam_role.plan["production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-plan-production" }
  }

  override_resource {
    target = aws_iam_role.secrets_reader["staging"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-staging-secrets-reader" }
  }

  override_resource {
    target = aws_iam_role.secrets_reader["production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-production-secrets-reader" }
  }

  override_resource {
    target = aws_kms_key.evidence["staging"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/evidence-staging", key_id = "evidence-staging" }
  }

  override_resource {
    target = aws_kms_key.evidence["production"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/evidence-production", key_id = "evidence-production" }
  }

  override_resource {
    target = aws_kms_key.build[""]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/build", key_id = "build" }
  }
}

variables {
  principals = {
    root                      = "arn:aws:iam::123456789012:root"
    build                     = "arn:aws:iam::123456789012:role/onedigest-build"
    deploy-staging            = "arn:aws:iam::123456789012:role/onedigest-deploy-staging"
    deploy-production         = "arn:aws:iam::123456789012:role/onedigest-deploy-production"
    plan-production           = "arn:aws:iam::123456789012:role/onedigest-plan-production"
    secrets-reader-staging    = "arn:aws:iam::123456789012:role/onedigest-staging-secrets-reader"
    secrets-reader-production = "arn:aws:iam::123456789012:role/onedigest-production-secrets-reader"
    another-account           = "arn:aws:iam::210987654321:root"
  }

  # What uses a key. Administration is looked at apart.
  uses = ["kms:Sign", "kms:Verify", "kms:GetPublicKey", "kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:GenerateMac"]
}

run "evidence_keys_sign" {
  command = plan

  assert {
    condition = toset(keys(aws_kms_key.evidence)) == toset(["staging", "production"]) && alltrue([
      for key in values(aws_kms_key.evidence) :
      key.key_usage == "SIGN_VERIFY" && key.customer_master_key_spec == "ECC_NIST_P256" && !key.enable_key_rotation && key.deletion_window_in_days == 30
    ])
    error_message = "A key for evidence is not one that signs."
  }

  assert {
    condition = {
      for environment, key in aws_kms_key.evidence : environment => {
        for name, arn in var.principals : name => [
          for action in var.uses : action if anytrue([
            for statement in jsondecode(key.policy).Statement :
            statement.Effect == "Allow" && contains(flatten([statement.Principal.AWS]), arn) && contains(flatten([statement.Action]), action)
          ])
        ]
      }
      } == {
      staging = {
        root                      = ["kms:Verify", "kms:GetPublicKey"]
        build                     = []
        deploy-staging            = ["kms:Sign", "kms:GetPublicKey"]
        deploy-production         = ["kms:GetPublicKey"]
        plan-production           = ["kms:GetPublicKey"]
        secrets-reader-staging    = []
        secrets-reader-production = []
        another-account           = []
      }
      production = {
        root                      = ["kms:Verify", "kms:GetPublicKey"]
        build                     = []
        deploy-staging            = []
        deploy-production         = ["kms:Sign", "kms:GetPublicKey"]
        plan-production           = ["kms:GetPublicKey"]
        secrets-reader-staging    = []
        secrets-reader-production = []
        another-account           = []
      }
    }
    error_message = "Another than the environment's own role signs, or somebody who has to cannot check: ${jsonencode([for key in values(aws_kms_key.evidence) : jsondecode(key.policy).Statement])}"
  }

  assert {
    condition     = { for environment, alias in aws_kms_alias.evidence : environment => alias.name } == { staging = "alias/onedigest-evidence-staging", production = "alias/onedigest-evidence-production" }
    error_message = "The keys cannot be found by their aliases."
  }

}

# The build signs what it states and nothing else, and nobody signs it but the build.
run "the_builds_key_signs" {
  command = plan

  assert {
    condition = keys(aws_kms_key.build) == [""] && alltrue([
      for key in values(aws_kms_key.build) :
      key.key_usage == "SIGN_VERIFY" && key.customer_master_key_spec == "ECC_NIST_P256" && !key.enable_key_rotation && key.deletion_window_in_days == 30
    ])
    error_message = "The builds' key is not one that signs."
  }

  assert {
    condition = {
      for name, arn in var.principals : name => [
        for action in var.uses : action if anytrue([
          for statement in jsondecode(aws_kms_key.build[""].policy).Statement :
          statement.Effect == "Allow" && contains(flatten([statement.Principal.AWS]), arn) && contains(flatten([statement.Action]), action)
        ])
      ]
      } == {
      root                      = ["kms:Verify", "kms:GetPublicKey"]
      build                     = ["kms:Sign", "kms:GetPublicKey"]
      deploy-staging            = ["kms:GetPublicKey"]
      deploy-production         = ["kms:GetPublicKey"]
      plan-production           = ["kms:GetPublicKey"]
      secrets-reader-staging    = []
      secrets-reader-production = []
      another-account           = []
    }
    error_message = "Another than the build signs for it, or somebody who has to cannot check: ${aws_kms_key.build[""].policy}"
  }

  assert {
    condition     = aws_kms_alias.build[""].name == "alias/onedigest-provenance"
    error_message = "The builds' key cannot be found by its alias."
  }
}

# Of three environments, each signs its own, and checks its own and those below.
run "evidence_climbs_the_ladder" {
  command = plan

  variables {
    environments = {
      production = { namespace = "production" }
      staging    = { namespace = "staging" }
      dev        = { namespace = "dev" }
    }
  }

  override_resource {
    target          = aws_iam_role.deploy["dev"]
    override_during = plan
    values          = { arn = "arn:aws:iam::123456789012:role/onedigest-deploy-dev" }
  }

  assert {
    condition = {
      for environment, key in aws_kms_key.evidence : environment => {
        for action in ["kms:Sign", "kms:GetPublicKey"] : action => sort(flatten([
          for statement in jsondecode(key.policy).Statement : [
            for arn in flatten([statement.Principal.AWS]) : trimprefix(arn, "arn:aws:iam::123456789012:role/onedigest-deploy-") if !endswith(arn, ":root") && !strcontains(arn, "/onedigest-plan-")
          ] if contains(flatten([statement.Action]), action)
        ]))
      }
      } == {
      dev        = { "kms:Sign" = tolist(["dev"]), "kms:GetPublicKey" = tolist(["dev", "production", "staging"]) }
      staging    = { "kms:Sign" = tolist(["staging"]), "kms:GetPublicKey" = tolist(["production", "staging"]) }
      production = { "kms:Sign" = tolist(["production"]), "kms:GetPublicKey" = tolist(["production"]) }
    }
    error_message = "The order of the environments is not that of their evidence."
  }
}

run "evidence_climbs_a_ladder_of_ones_own" {
  command = plan

  variables {
    ladder = ["production", "staging"]
  }

  assert {
    condition = length([
      for statement in jsondecode(aws_kms_key.evidence["production"].policy).Statement : statement
      if statement.Sid == "JobsCheck" && length(setsubtract([var.principals["deploy-production"], var.principals["deploy-staging"]], flatten([statement.Principal.AWS]))) == 0
    ]) == 1
    error_message = "var.ladder does not decide."
  }
}

# Administration must not be a way to use: neither the actions themselves nor a grant, which hands them on, nor a wildcard.
run "administration_does_not_use" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for key in concat(values(aws_kms_key.evidence), values(aws_kms_key.build), values(aws_kms_key.app_secrets), [aws_kms_key.images]) : [
        for statement in jsondecode(key.policy).Statement :
        !anytrue([for action in flatten([statement.Action]) : strcontains(action, "*") || contains(var.uses, action)]) && contains(flatten([statement.Action]), "kms:PutKeyPolicy")
        if statement.Sid == "AccountAdministersByIAM"
      ]
    ]))
    error_message = "The account's administration can use a key, or cannot administer it."
  }

  # Statements for everybody, or for a service, are none of these policies'.
  assert {
    condition = alltrue(flatten([
      for key in concat(values(aws_kms_key.evidence), values(aws_kms_key.build), values(aws_kms_key.app_secrets), [aws_kms_key.images]) : [
        for statement in jsondecode(key.policy).Statement :
        statement.Effect == "Allow" && keys(statement.Principal) == ["AWS"] && alltrue([for arn in flatten([statement.Principal.AWS]) : can(regex("^arn:aws:iam::123456789012:(root|role/[a-z-]+)$", arn))])
      ]
    ]))
    error_message = "A statement is for others than this account's own."
  }
}

# A secret is read and written through Secrets Manager only, and with the key of its environment.
run "app_secrets" {
  command = plan

  assert {
    condition = alltrue([
      for key in values(aws_kms_key.app_secrets) :
      key.enable_key_rotation && key.rotation_period_in_days == 365 && coalesce(key.key_usage, "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT"
    ])
    error_message = "A key for secrets does not rotate."
  }

  assert {
    condition = alltrue(flatten([
      for case in [
        { who = "secrets-reader-staging", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = true },
        { who = "secrets-reader-staging", what = "kms:Decrypt", key = "production", by = "secretsmanager", of = "onedigest/production/db-AbCdEf", allowed = false },
        { who = "secrets-reader-staging", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/production/db-AbCdEf", allowed = false },
        { who = "secrets-reader-staging", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging-eu/db-AbCdEf", allowed = false },
        { who = "secrets-reader-staging", what = "kms:Decrypt", key = "staging", by = "ssm", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "secrets-reader-staging", what = "kms:GenerateDataKey", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "secrets-reader-production", what = "kms:Decrypt", key = "production", by = "secretsmanager", of = "onedigest/production/db-AbCdEf", allowed = true },
        { who = "secrets-reader-production", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "root", what = "kms:GenerateDataKey", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = true },
        { who = "root", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = true },
        { who = "root", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "another/staging/db-AbCdEf", allowed = false },
        { who = "root", what = "kms:Decrypt", key = "staging", by = "s3", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "root", what = "kms:Encrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "deploy-staging", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = false },
        { who = "another-account", what = "kms:Decrypt", key = "staging", by = "secretsmanager", of = "onedigest/staging/db-AbCdEf", allowed = false },
      ] :
      case.allowed == anytrue([
        for statement in jsondecode(aws_kms_key.app_secrets[case.key].policy).Statement :
        contains(flatten([statement.Principal.AWS]), var.principals[case.who]) && contains(flatten([statement.Action]), case.what) &&
        try(statement.Condition.StringEquals["kms:ViaService"], "") == "${case.by}.eu-central-1.amazonaws.com" &&
        can(regex(
          "^${replace(try(statement.Condition.ArnLike["kms:EncryptionContext:SecretARN"], "none"), "*", ".*")}$",
          "arn:aws:secretsmanager:eu-central-1:123456789012:secret:${case.of}"
        ))
      ])
    ]))
    error_message = "A secret can be read by another, in another way, or not by whom it is for: ${jsonencode([for key in values(aws_kms_key.app_secrets) : jsondecode(key.policy).Statement])}"
  }

  # The table takes conditions for granted: without one, a statement that uses the key would use it for everything.
  assert {
    condition = alltrue(flatten([
      for key in concat(values(aws_kms_key.app_secrets), [aws_kms_key.images]) : [
        for statement in jsondecode(key.policy).Statement : can(statement.Condition.StringEquals["kms:ViaService"])
        if length(setintersection(flatten([statement.Action]), var.uses)) > 0
      ]
    ]))
    error_message = "A key for data can be used past the service that it is for."
  }

  assert {
    condition     = toset(keys(output.secret_keys)) == toset(["staging", "production"])
    error_message = "The keys are not in the output."
  }
}

run "images" {
  command = plan

  assert {
    condition     = aws_kms_key.images.enable_key_rotation && aws_kms_alias.images.name == "alias/onedigest-images"
    error_message = "The images' key does not rotate, or cannot be found."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_kms_key.images.policy).Statement : statement.Condition if length(setintersection(flatten([statement.Action]), var.uses)) > 0
    ] == [{ StringEquals = { "kms:ViaService" = "ecr.eu-central-1.amazonaws.com" } }]
    error_message = "The images' key serves others than ECR."
  }
}

# Who deploys with Terraform proves by hand, and promote believes a signature alone.
run "people_who_prove_by_hand_sign" {
  command = plan

  variables {
    evidence_signer_arns = { staging = ["arn:aws:iam::123456789012:role/platform"] }
  }

  assert {
    condition = {
      for environment, key in aws_kms_key.evidence : environment => flatten([
        for statement in jsondecode(key.policy).Statement : statement.Principal.AWS if contains(flatten([statement.Action]), "kms:Sign")
      ])
      } == {
      staging    = ["arn:aws:iam::123456789012:role/onedigest-deploy-staging", "arn:aws:iam::123456789012:role/platform"]
      production = ["arn:aws:iam::123456789012:role/onedigest-deploy-production"]
    }
    error_message = "Others sign than the jobs and who is named for that environment."
  }
}

run "signers_of_an_unknown_environment" {
  command = plan
  variables {
    evidence_signer_arns = { test = ["arn:aws:iam::123456789012:role/platform"] }
  }
  expect_failures = [var.evidence_signer_arns]
}

run "signers_by_a_pattern" {
  command = plan
  variables {
    evidence_signer_arns = { staging = ["arn:aws:iam::123456789012:role/*"] }
  }
  expect_failures = [var.evidence_signer_arns]
}
