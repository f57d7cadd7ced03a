# Who may take which of GitHub's roles, and what each may do then. The trust policies and the permissions are read as planned and
# evaluated here against tables; nothing is compared by eye.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  # Values that differ between two things of a kind.
  override_resource {
    target = aws_iam_openid_connect_provider.github[0]
    values = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }

  override_resource {
    target = aws_ecr_repository.this["shop"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/shop" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/shop"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop" }
  }

  override_resource {
    target = aws_kms_key.build[""]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/build" }
  }

  override_resource {
    target = aws_kms_key.evidence["staging"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/evidence-staging" }
  }

  override_resource {
    target = aws_kms_key.evidence["production"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/evidence-production" }
  }
}

variables {
  issuer = "token.actions.githubusercontent.com"

  # Subjects that GitHub signs for, or that somebody may wish it did, and the role that each may take with the form `name`.
  subjects = [
    { sub = "repo:onedigest-example/shop:ref:refs/heads/main", role = "build" },
    { sub = "repo:onedigest-example/shop:environment:staging", role = "staging" },
    { sub = "repo:onedigest-example/shop:environment:production", role = "production" },
    { sub = "repo:onedigest-example/shop:environment:production-plan", role = "production-plan" },
    { sub = "repo:onedigest-example/shop:environment:staging-plan", role = "" },
    # other refs and events
    { sub = "repo:onedigest-example/shop:ref:refs/heads/main2", role = "" },
    { sub = "repo:onedigest-example/shop:ref:refs/heads/feature/main", role = "" },
    { sub = "repo:onedigest-example/shop:ref:refs/heads/Main", role = "" },
    { sub = "repo:onedigest-example/shop:ref:refs/tags/main", role = "" },
    { sub = "repo:onedigest-example/shop:ref:refs/pull/1/merge", role = "" },
    { sub = "repo:onedigest-example/shop:pull_request", role = "" },
    { sub = "repo:onedigest-example/shop", role = "" },
    # other environments
    { sub = "repo:onedigest-example/shop:environment:Production", role = "" },
    { sub = "repo:onedigest-example/shop:environment:production-eu", role = "" },
    { sub = "repo:onedigest-example/shop:environment:pre-production", role = "" },
    { sub = "repo:onedigest-example/shop:environment:test", role = "" },
    { sub = "repo:onedigest-example/shop:environment:", role = "" },
    { sub = "repo:onedigest-example/shop:environment:production:ref:refs/heads/main", role = "" },
    { sub = "repo:onedigest-example/shop:ref:refs/heads/environment:production", role = "" },
    { sub = "repo:onedigest-example/shop:environment:staging:environment:production", role = "" },
    # other repositories and owners
    { sub = "repo:onedigest-example/shop2:environment:production", role = "" },
    { sub = "repo:onedigest-example/shop-fork:environment:production", role = "" },
    { sub = "repo:onedigest-example/my-shop:environment:production", role = "" },
    { sub = "repo:onedigest-example2/shop:environment:production", role = "" },
    { sub = "repo:another/shop:environment:production", role = "" },
    { sub = "repo:Onedigest-Example/shop:environment:production", role = "" },
    { sub = "repo:another/onedigest-example/shop:environment:production", role = "" },
    { sub = "repository_owner:onedigest-example", role = "" },
    # the form with ids
    { sub = "repo:onedigest-example@1234/shop@5678:environment:production", role = "" },
    { sub = "repo:onedigest-example@1234/shop@5678:ref:refs/heads/main", role = "" },
    # what would be a pattern
    { sub = "repo:onedigest-example/shop:*", role = "" },
    { sub = "repo:onedigest-example/shop:environment:*", role = "" },
    { sub = "repo:onedigest-example/shop:environment:productio?", role = "" },
    { sub = "*", role = "" },
    { sub = "", role = "" },
  ]

  # The same with ids.
  subjects_with_ids = [
    { sub = "repo:onedigest-example@1234/shop@5678:ref:refs/heads/main", role = "build" },
    { sub = "repo:onedigest-example@1234/shop@5678:environment:staging", role = "staging" },
    { sub = "repo:onedigest-example@1234/shop@5678:environment:production", role = "production" },
    # a name taken over by another account, or by another repository
    { sub = "repo:onedigest-example@9999/shop@5678:environment:production", role = "" },
    { sub = "repo:onedigest-example@1234/shop@9999:environment:production", role = "" },
    { sub = "repo:onedigest-example@12345/shop@5678:environment:production", role = "" },
    { sub = "repo:onedigest-example@1234/shop@56789:environment:production", role = "" },
    { sub = "repo:onedigest-example@5678/shop@1234:environment:production", role = "" },
    { sub = "repo:renamed@1234/shop@5678:environment:production", role = "" },
    { sub = "repo:onedigest-example@/shop@:environment:production", role = "" },
    { sub = "repo:onedigest-example@*/shop@*:environment:production", role = "" },
  ]

  # What a role may do to what, in IAM's words. Everything not in a row is not to be allowed.
  actions = [
    "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage",
    "ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:DescribeImageScanFindings", "ecr:BatchDeleteImage", "ecr:DeleteRepository", "ecr:CreateRepository", "ecr:SetRepositoryPolicy", "ecr:PutLifecyclePolicy",
    "ecr:PutImageTagMutability", "ecr:ReplicateImage", "eks:DescribeCluster", "eks:CreateAccessEntry", "eks:UpdateClusterConfig",
    "eks:AssociateAccessPolicy", "kms:Sign", "kms:Verify", "kms:GetPublicKey", "kms:DescribeKey", "kms:PutKeyPolicy", "kms:CreateGrant",
    "kms:ScheduleKeyDeletion", "kms:Decrypt", "iam:PassRole", "iam:CreateRole", "sts:AssumeRole", "s3:GetObject",
    "secretsmanager:GetSecretValue",
  ]
  resources = {
    "*"                   = "*"
    "shop"                = "arn:aws:ecr:eu-central-1:123456789012:repository/shop"
    "production's shop"   = "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop"
    "another repository"  = "arn:aws:ecr:eu-central-1:123456789012:repository/shop2"
    "cluster"             = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest"
    "staging cluster"     = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest-staging"
    "production cluster"  = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest-production"
    "evidence-staging"    = "arn:aws:kms:eu-central-1:123456789012:key/evidence-staging"
    "evidence-production" = "arn:aws:kms:eu-central-1:123456789012:key/evidence-production"
    "build's key"         = "arn:aws:kms:eu-central-1:123456789012:key/build"
    "another key"         = "arn:aws:kms:eu-central-1:123456789012:key/another"
  }
  images = [
    "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage",
  ]
  check = ["kms:DescribeKey", "kms:GetPublicKey", "kms:Verify"]
}

# A statement lets a token in if its effect, action and principal are the right ones and every condition is met. An operator other
# than StringEquals would be another language: it lets everything in here, so that the table fails.
run "subjects_by_name" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for subject in var.subjects : [
        for role, policy in merge({ build = aws_iam_role.build[0].assume_role_policy }, { for name, role in aws_iam_role.deploy : name => role.assume_role_policy }, { for name, role in aws_iam_role.plan : "${name}-plan" => role.assume_role_policy }) :
        (subject.role == role) == anytrue([
          for statement in jsondecode(policy).Statement :
          statement.Effect == "Allow" && contains(flatten([statement.Action]), "sts:AssumeRoleWithWebIdentity") &&
          alltrue(flatten([
            for operator, conditions in statement.Condition : [
              for key, accepted in conditions :
              operator != "StringEquals" || contains(flatten([accepted]), { "${var.issuer}:sub" = subject.sub, "${var.issuer}:aud" = "sts.amazonaws.com" }[key])
            ]
          ]))
        ])
      ]
    ]))
    error_message = "A subject may take a role that it must not, or not the one that it must: ${jsonencode([for name, role in merge({ build = aws_iam_role.build[0] }, aws_iam_role.deploy) : jsondecode(role.assume_role_policy).Statement])}"
  }

  # One statement, GitHub's provider, the audience and the subject both asked for, and nothing beside them.
  assert {
    condition = alltrue([
      for role in concat(aws_iam_role.build, values(aws_iam_role.deploy), values(aws_iam_role.plan)) :
      length(jsondecode(role.assume_role_policy).Statement) == 1 &&
      jsondecode(role.assume_role_policy).Statement[0].Action == "sts:AssumeRoleWithWebIdentity" &&
      jsondecode(role.assume_role_policy).Statement[0].Principal == { Federated = aws_iam_openid_connect_provider.github[0].arn } &&
      keys(jsondecode(role.assume_role_policy).Statement[0].Condition) == ["StringEquals"] &&
      keys(jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals) == ["${var.issuer}:aud", "${var.issuer}:sub"] &&
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["${var.issuer}:aud"] == "sts.amazonaws.com" &&
      !can(regex("[*?]", role.assume_role_policy)) && role.max_session_duration == 3600
    ])
    error_message = "A role can be taken another way than by a token of GitHub for AWS."
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github[0].url == "https://token.actions.githubusercontent.com" && toset(aws_iam_openid_connect_provider.github[0].client_id_list) == toset(["sts.amazonaws.com"])
    error_message = "The provider is not GitHub's, or takes tokens for others than AWS."
  }
}

run "subjects_by_id" {
  command = plan

  variables {
    github_subject_forms = ["id"]
    github_owner_id      = "1234"
    github_repository_id = "5678"
  }

  # With the ids alone, what carries names alone is refused.
  assert {
    condition = alltrue(flatten([
      for subject in concat(var.subjects_with_ids, [for subject in var.subjects : { sub = subject.sub, role = "" } if !strcontains(subject.sub, "@")]) : [
        for role, policy in merge({ build = aws_iam_role.build[0].assume_role_policy }, { for name, role in aws_iam_role.deploy : name => role.assume_role_policy }, { for name, role in aws_iam_role.plan : "${name}-plan" => role.assume_role_policy }) :
        (subject.role == role) == anytrue([
          for statement in jsondecode(policy).Statement :
          alltrue(flatten([
            for operator, conditions in statement.Condition : [
              for key, accepted in conditions :
              operator != "StringEquals" || contains(flatten([accepted]), { "${var.issuer}:sub" = subject.sub, "${var.issuer}:aud" = "sts.amazonaws.com" }[key])
            ]
          ]))
        ])
      ]
    ]))
    error_message = "With ids: ${jsonencode([for name, role in merge({ build = aws_iam_role.build[0] }, aws_iam_role.deploy) : jsondecode(role.assume_role_policy).Statement])}"
  }
}

run "subjects_in_both_forms" {
  command = plan

  variables {
    github_subject_forms = ["name", "id"]
    github_owner_id      = "1234"
    github_repository_id = "5678"
  }

  assert {
    condition = alltrue(flatten([
      for subject in concat(var.subjects_with_ids, [for subject in var.subjects : subject if !strcontains(subject.sub, "@")]) : [
        for role, policy in merge({ build = aws_iam_role.build[0].assume_role_policy }, { for name, role in aws_iam_role.deploy : name => role.assume_role_policy }, { for name, role in aws_iam_role.plan : "${name}-plan" => role.assume_role_policy }) :
        (subject.role == role) == anytrue([
          for statement in jsondecode(policy).Statement :
          alltrue(flatten([
            for operator, conditions in statement.Condition : [
              for key, accepted in conditions :
              operator != "StringEquals" || contains(flatten([accepted]), { "${var.issuer}:sub" = subject.sub, "${var.issuer}:aud" = "sts.amazonaws.com" }[key])
            ]
          ]))
        ])
      ]
    ]))
    error_message = "In both forms: ${jsonencode([for name, role in merge({ build = aws_iam_role.build[0] }, aws_iam_role.deploy) : jsondecode(role.assume_role_policy).Statement])}"
  }

  assert {
    condition     = output.github_subjects["production"] == ["repo:onedigest-example/shop:environment:production", "repo:onedigest-example@1234/shop@5678:environment:production"]
    error_message = "The output does not say what is trusted: ${jsonencode(output.github_subjects)}"
  }
}

run "another_branch" {
  command = plan

  variables {
    github_branch = "release/2.x"
  }

  assert {
    condition     = jsondecode(aws_iam_role.build[0].assume_role_policy).Statement[0].Condition.StringEquals["${var.issuer}:sub"] == ["repo:onedigest-example/shop:ref:refs/heads/release/2.x"]
    error_message = "Another branch than the one asked for builds."
  }
}

run "the_accounts_own_provider" {
  command = plan

  variables {
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition = length(aws_iam_openid_connect_provider.github) == 0 && alltrue([
      for role in concat(aws_iam_role.build, values(aws_iam_role.deploy), values(aws_iam_role.plan)) :
      jsondecode(role.assume_role_policy).Statement[0].Principal == { Federated = var.github_oidc_provider_arn }
    ])
    error_message = "The provider that the account has is not the one that is trusted, or a second one is made."
  }
}

# Every action of the table on every resource of the table, for every role.
run "permissions" {
  command = plan

  assert {
    condition = {
      for role, policy in merge({ build = aws_iam_role_policy.build[0].policy }, { for name, policy in aws_iam_role_policy.deploy : name => policy.policy }, { for name, policy in aws_iam_role_policy.plan : "${name}-plan" => policy.policy }) :
      role => {
        for name, arn in var.resources : name => [
          for action in var.actions : action
          if anytrue([
            for statement in jsondecode(policy).Statement :
            statement.Effect == "Allow" &&
            anytrue([for pattern in statement.Action : can(regex("^${replace(pattern, "*", ".*")}$", action))]) &&
            anytrue([for pattern in statement.Resource : can(regex("^${replace(pattern, "*", ".*")}$", arn))]) &&
            # `*` in a policy reaches everything; that it is right for signing in is tested by the row "*".
            (arn == "*" || statement.Resource != ["*"] || statement.Action != ["ecr:GetAuthorizationToken"])
          ])
        ]
      }
      } == {
      build = {
        "*"                   = ["ecr:GetAuthorizationToken"]
        "shop"                = var.images
        "production's shop"   = [] # a tag there is what production's Terraform believes
        "another repository"  = []
        "cluster"             = []
        "staging cluster"     = []
        "production cluster"  = []
        "evidence-staging"    = []
        "evidence-production" = []
        "build's key"         = ["kms:Sign", "kms:GetPublicKey"]
        "another key"         = []
      }
      staging = {
        "*"                   = ["ecr:GetAuthorizationToken"]
        "shop"                = concat(var.images, ["ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:DescribeImageScanFindings"])
        "production's shop"   = [] # a tag there is what production's Terraform believes
        "another repository"  = []
        "cluster"             = ["eks:DescribeCluster"]
        "staging cluster"     = []
        "production cluster"  = []
        "evidence-staging"    = ["kms:Sign", "kms:GetPublicKey"]
        "evidence-production" = []
        "build's key"         = ["kms:GetPublicKey"]
        "another key"         = []
      }
      production = {
        "*"                   = ["ecr:GetAuthorizationToken"]
        "shop"                = concat(var.images, ["ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:DescribeImageScanFindings"])
        "production's shop"   = concat(var.images, ["ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:DescribeImageScanFindings"])
        "another repository"  = []
        "cluster"             = ["eks:DescribeCluster"]
        "staging cluster"     = []
        "production cluster"  = []
        "evidence-staging"    = ["kms:GetPublicKey"]
        "evidence-production" = ["kms:Sign", "kms:GetPublicKey"]
        "build's key"         = ["kms:GetPublicKey"]
        "another key"         = []
      }
      # It writes nothing: no image, no tag, no signature.
      production-plan = {
        "*"                   = ["ecr:GetAuthorizationToken"]
        "shop"                = concat([for action in var.images : action if !contains(["ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"], action)], ["ecr:DescribeImages", "ecr:GetLifecyclePolicy"])
        "production's shop"   = []
        "another repository"  = []
        "cluster"             = ["eks:DescribeCluster"]
        "staging cluster"     = []
        "production cluster"  = []
        "evidence-staging"    = ["kms:GetPublicKey"]
        "evidence-production" = ["kms:GetPublicKey"]
        "build's key"         = ["kms:GetPublicKey"]
        "another key"         = []
      }
    }
    error_message = "A role may do more or less than it is for: ${jsonencode(merge({ build = aws_iam_role_policy.build[0].policy }, { for name, policy in aws_iam_role_policy.deploy : name => policy.policy }, { for name, policy in aws_iam_role_policy.plan : "${name}-plan" => policy.policy }))}"
  }

  # The tables above know these policies' language and no more of it.
  assert {
    condition = alltrue(flatten([
      for policy in concat([aws_iam_role_policy.build[0].policy], values(aws_iam_role_policy.deploy)[*].policy, values(aws_iam_role_policy.plan)[*].policy) : [
        for statement in jsondecode(policy).Statement : keys(statement) == ["Action", "Effect", "Resource", "Sid"] && statement.Effect == "Allow"
      ]
    ]))
    error_message = "A policy has a statement of another form (Deny, NotAction, Condition), which the table does not evaluate."
  }
}

run "of_two_clusters_each_finds_its_own" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  assert {
    condition = {
      for name, policy in aws_iam_role_policy.deploy : name => flatten([
        for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "eks:DescribeCluster")
      ])
      } == {
      staging    = [var.resources["staging cluster"]]
      production = [var.resources["production cluster"]]
    }
    error_message = "A role finds another environment's cluster."
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "repository_without_owner" {
  command = plan

  variables {
    github_repository = "shop"
  }

  expect_failures = [var.github_repository]
}

run "repository_as_url" {
  command = plan

  variables {
    github_repository = "https://github.com/onedigest-example/shop"
  }

  expect_failures = [var.github_repository]
}

run "repository_with_wildcard" {
  command = plan

  variables {
    github_repository = "onedigest-example/*"
  }

  expect_failures = [var.github_repository]
}

run "repository_with_question_mark" {
  command = plan

  variables {
    github_repository = "onedigest-example/sho?"
  }

  expect_failures = [var.github_repository]
}

run "repository_owner_wildcard" {
  command = plan

  variables {
    github_repository = "*/shop"
  }

  expect_failures = [var.github_repository]
}

run "repository_with_colon" {
  command = plan

  variables {
    github_repository = "onedigest-example/shop:environment:production"
  }

  expect_failures = [var.github_repository]
}

run "repository_with_ids" {
  command = plan

  variables {
    github_repository = "onedigest-example@1234/shop@5678"
  }

  expect_failures = [var.github_repository]
}

run "repository_with_path" {
  command = plan

  variables {
    github_repository = "onedigest-example/shop/tree"
  }

  expect_failures = [var.github_repository]
}

run "branch_wildcard" {
  command = plan

  variables {
    github_branch = "*"
  }

  expect_failures = [var.github_branch]
}

run "branch_with_wildcard" {
  command = plan

  variables {
    github_branch = "release/*"
  }

  expect_failures = [var.github_branch]
}

run "branch_with_question_mark" {
  command = plan

  variables {
    github_branch = "mai?"
  }

  expect_failures = [var.github_branch]
}

run "branch_with_colon" {
  command = plan

  variables {
    github_branch = "main:environment:production"
  }

  expect_failures = [var.github_branch]
}

run "branch_as_ref" {
  command = plan

  variables {
    github_branch = "refs/heads/main"
  }

  expect_failures = [var.github_branch]
}

run "branch_empty" {
  command = plan

  variables {
    github_branch = ""
  }

  expect_failures = [var.github_branch]
}

run "branch_with_dots" {
  command = plan

  variables {
    github_branch = "a..b"
  }

  expect_failures = [var.github_branch]
}

run "subject_form_unknown" {
  command = plan

  variables {
    github_subject_forms = ["any"]
  }

  expect_failures = [var.github_subject_forms]
}

run "subject_form_none" {
  command = plan

  variables {
    github_subject_forms = []
  }

  expect_failures = [var.github_subject_forms]
}

run "subject_form_id_without_ids" {
  command = plan

  variables {
    github_subject_forms = ["id"]
  }

  expect_failures = [var.github_subject_forms]
}

run "ids_of_no_use" {
  command = plan

  variables {
    github_owner_id      = "1234"
    github_repository_id = "5678"
  }

  expect_failures = [var.github_subject_forms]
}

run "owner_id_wildcard" {
  command = plan

  variables {
    github_subject_forms = ["id"]
    github_owner_id      = "*"
    github_repository_id = "5678"
  }

  expect_failures = [var.github_owner_id]
}

run "owner_id_zero" {
  command = plan

  variables {
    github_subject_forms = ["id"]
    github_owner_id      = "0"
    github_repository_id = "5678"
  }

  expect_failures = [var.github_owner_id]
}

run "repository_id_negative" {
  command = plan

  variables {
    github_subject_forms = ["id"]
    github_owner_id      = "1234"
    github_repository_id = "-5"
  }

  expect_failures = [var.github_repository_id]
}

run "repository_id_with_rest" {
  command = plan

  variables {
    github_subject_forms = ["id"]
    github_owner_id      = "1234"
    github_repository_id = "5678:environment:production"
  }

  expect_failures = [var.github_repository_id]
}

run "provider_of_another_issuer" {
  command = plan

  variables {
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.example.com"
  }

  expect_failures = [var.github_oidc_provider_arn]
}

run "provider_as_url" {
  command = plan

  variables {
    github_oidc_provider_arn = "https://token.actions.githubusercontent.com"
  }

  expect_failures = [var.github_oidc_provider_arn]
}

run "ladder_with_unknown_environment" {
  command = plan

  variables {
    ladder = ["staging", "production", "test"]
  }

  expect_failures = [var.ladder]
}

run "ladder_without_an_environment" {
  command = plan

  variables {
    ladder = ["staging"]
  }

  expect_failures = [var.ladder]
}

run "ladder_with_a_rung_twice" {
  command = plan

  variables {
    ladder = ["staging", "staging", "production"]
  }

  expect_failures = [var.ladder]
}
