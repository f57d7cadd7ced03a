# How large policies may be, with the longest names and every environment that the settings admit. AWS refuses a larger one when it is
# applied; no plan shows it. IAM counts a role's inline policies together, without white space:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (trust policy 2,048, inline policies of a role 10,240);
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutLifecyclePolicy.html (30,720) and API_SetRepositoryPolicy.html (10,240);
# https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html (32 KB).

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  # As long as those of the repositories below.
  override_resource {
    target = aws_ecr_repository.this
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/team/a-service-with-a-long-name-19" }
  }

  override_resource {
    target = aws_ecr_repository.promoted
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/team/a-service-with-a-long-name-19" }
  }
}

variables {
  name                 = "abcdefghijklmnopqrst"
  github_repository    = "abcdefghijklmnopqrstuvwxyzabcdefghijklm/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv"
  github_subject_forms = ["name", "id"]
  github_owner_id      = "1234567890123456789"
  github_repository_id = "1234567890123456789"
  environments = {
    development      = { namespace = "development" }
    testing-abcdefgh = { namespace = "testing" }
    staging          = { namespace = "staging" }
    production       = { namespace = "production" }
  }
  ecr_repositories = [for n in range(20) : "team/a-service-with-a-long-name-${n}"]
  services = {
    abcdefghijklmnop = {
      github_repository    = "abcdefghijklmnopqrstuvwxyzabcdefghijklm/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv"
      github_owner_id      = "1234567890123456789"
      github_repository_id = "1234567890123456789"
      ecr_repositories     = [for n in range(20) : "mail/a-service-with-a-long-name-${n}"]
    }
  }
  github_connection_arn = "arn:aws:codeconnections:eu-central-1:123456789012:connection/12345678-1234-1234-1234-123456789012"
  ecr_pull_account_ids  = ["123456789012", "210987654321", "111111111111", "222222222222"]
}

run "policies_fit_into_what_aws_accepts" {
  command = plan

  assert {
    condition = alltrue([
      for role in concat(
        aws_iam_role.build, values(aws_iam_role.build_service), values(aws_iam_role.deploy), values(aws_iam_role.plan), values(aws_iam_role.runner),
        values(aws_iam_role.system), values(aws_iam_role.secrets_reader), values(aws_iam_role.cluster), values(aws_iam_role.node)
      ) : length(role.assume_role_policy) <= 2048
    ])
    error_message = "A trust policy has more than 2,048 characters: ${jsonencode([for role in concat(aws_iam_role.build, values(aws_iam_role.deploy)) : length(role.assume_role_policy)])}"
  }

  # Every role here has one inline policy.
  assert {
    condition = alltrue([
      for policy in concat(
        aws_iam_role_policy.build, values(aws_iam_role_policy.build_service), values(aws_iam_role_policy.deploy), values(aws_iam_role_policy.plan), values(aws_iam_role_policy.runner),
        values(aws_iam_role_policy.system), values(aws_iam_role_policy.secrets_reader), values(aws_iam_role_policy.cluster_secrets)
      ) : length(policy.policy) <= 10240
    ])
    error_message = "A role's inline policy has more than 10,240 characters: ${jsonencode([for policy in concat(aws_iam_role_policy.build, values(aws_iam_role_policy.deploy), values(aws_iam_role_policy.system)) : length(policy.policy)])}"
  }

  assert {
    condition     = alltrue([for key in concat(values(aws_kms_key.evidence), values(aws_kms_key.build), values(aws_kms_key.app_secrets), [aws_kms_key.images, aws_kms_key.logs]) : length(key.policy) <= 32768])
    error_message = "A key's policy is larger than 32 KB."
  }

  assert {
    condition = (
      alltrue([for policy in values(aws_ecr_lifecycle_policy.this) : length(policy.policy) <= 30720]) &&
      alltrue([for policy in concat(values(aws_ecr_repository_policy.pull), values(aws_ecr_repository_policy.promoted)) : length(policy.policy) <= 10240])
    )
    error_message = "A repository's policy is larger than ECR accepts."
  }
}

run "a_tag_with_a_character_that_aws_refuses" {
  command = plan

  variables {
    tags = { owner = "R&D (Berlin)" }
  }

  expect_failures = [var.tags]
}
