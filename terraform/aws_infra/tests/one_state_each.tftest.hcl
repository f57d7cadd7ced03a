# A state for each environment in one account: what is shared is the lowest environment's, and the states above use it.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = aws_ecr_repository.promoted
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop", repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/production/shop" }
  }

  override_resource {
    target = aws_ecr_repository.this
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/shop", repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop" }
  }

  override_resource {
    target = aws_kms_key.build
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/build" }
  }

  override_resource {
    target = aws_kms_key.evidence["staging"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/staging" }
  }

  override_resource {
    target = aws_kms_key.evidence["production"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/production" }
  }

  override_resource {
    target = aws_iam_openid_connect_provider.github
    values = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
}

variables {
  # What the first run below puts out.
  handed_up = {
    repositories             = { shop = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/shop", url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop" } }
    build_keys               = { build = "arn:aws:kms:eu-central-1:123456789012:key/build" }
    evidence_keys            = { staging = "arn:aws:kms:eu-central-1:123456789012:key/staging" }
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }
}

run "the_lowest_has_what_is_shared" {
  command = plan

  variables {
    name               = "onedigest-staging"
    environments       = { staging = { namespace = "staging" } }
    environments_above = ["production"]
  }

  assert {
    condition     = jsonencode(output.below) == jsonencode(var.handed_up)
    error_message = "The state above is given something else: ${jsonencode(output.below)}"
  }

  assert {
    condition     = keys(aws_ecr_repository.this) == ["shop"] && length(aws_iam_role.build) == 1 && length(aws_iam_openid_connect_provider.github) == 1 && toset(keys(aws_kms_key.build)) == toset([""])
    error_message = "The lowest environment's state lacks what the others use."
  }

  assert {
    condition     = length(aws_ecr_repository.promoted) == 0 && length(aws_iam_role.plan) == 0 && !contains(keys(output.github_variables), "AWS_ROLE_PLAN")
    error_message = "What the highest environment has is made for staging."
  }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : rule.selection.tagPatternList[0]] == ["staging*", "production*", "*-dirty-*"]
    error_message = "The registry does not keep what is released above: ${aws_ecr_lifecycle_policy.this["shop"].policy}"
  }
}

run "the_next_uses_it" {
  command = plan

  variables {
    name         = "onedigest-production"
    environments = { production = { namespace = "production" } }
    below        = var.handed_up
  }

  assert {
    condition = (
      length(aws_ecr_repository.this) == 0 && length(aws_ecr_lifecycle_policy.this) == 0 && length(aws_iam_role.build) == 0 && length(aws_iam_role_policy.build) == 0 &&
      length(aws_kms_key.build) == 0 && length(aws_iam_openid_connect_provider.github) == 0
    )
    error_message = "Production's state makes what the account has already."
  }

  # Everything else is its own: no resource of the two states has the same name.
  assert {
    condition     = keys(aws_ecr_repository.promoted) == ["production/shop"] && keys(aws_iam_role.plan) == ["production"] && tomap(output.cluster_of) == tomap({ production = "onedigest-production" }) && aws_iam_role.deploy["production"].name == "onedigest-production-deploy-production"
    error_message = "Production lacks something of its own."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.deploy["production"].policy).Statement : statement.Sid => statement.Resource if contains(["PullTagAndAttestImages", "SignEvidence", "CheckEvidence"], statement.Sid)
      } == {
      PullTagAndAttestImages = ["arn:aws:ecr:eu-central-1:123456789012:repository/shop", "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop"]
      SignEvidence           = ["arn:aws:kms:eu-central-1:123456789012:key/production"]
      CheckEvidence          = ["arn:aws:kms:eu-central-1:123456789012:key/production", "arn:aws:kms:eu-central-1:123456789012:key/staging", "arn:aws:kms:eu-central-1:123456789012:key/build"]
    }
    error_message = "Production cannot promote what staging's state has, or signs for it: ${aws_iam_role_policy.deploy["production"].policy}"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.plan["production"].policy).Statement : statement.Sid => statement.Resource if contains(["ReadImages", "CheckEvidence"], statement.Sid)
      } == {
      ReadImages    = ["arn:aws:ecr:eu-central-1:123456789012:repository/shop"]
      CheckEvidence = ["arn:aws:kms:eu-central-1:123456789012:key/production", "arn:aws:kms:eu-central-1:123456789012:key/staging", "arn:aws:kms:eu-central-1:123456789012:key/build"]
    }
    error_message = "The plan cannot check what staging signed: ${aws_iam_role_policy.plan["production"].policy}"
  }

  assert {
    condition     = jsondecode(aws_iam_role.deploy["production"].assume_role_policy).Statement[0].Principal.Federated == var.handed_up.github_oidc_provider_arn
    error_message = "Another provider is trusted than the account's."
  }

  # Together with the variables of staging's state they are the ones that the workflows read, and none is in both.
  assert {
    condition = (
      output.github_variables["ECR_REPOSITORY"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop" && contains(keys(output.github_variables), "AWS_ROLE_PLAN") &&
      length([for name in keys(output.github_variables) : name if endswith(name, "_BUILD") || endswith(name, "_STAGING")]) == 0
    )
    error_message = "The variables would replace staging's: ${join(", ", keys(output.github_variables))}."
  }

  assert {
    condition     = output.below.evidence_keys == { production = "arn:aws:kms:eu-central-1:123456789012:key/production", staging = "arn:aws:kms:eu-central-1:123456789012:key/staging" } && jsonencode(output.below.build_keys) == jsonencode(var.handed_up.build_keys)
    error_message = "A third state would not see the first one's keys."
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "an_environment_above_itself" {
  command = plan
  variables {
    environments_above = ["production"]
  }
  expect_failures = [var.environments_above]
}

run "a_repository_that_the_state_below_lacks" {
  command = plan
  variables {
    environments     = { production = { namespace = "production" } }
    ecr_repositories = ["shop", "cart"]
    below            = var.handed_up
  }
  expect_failures = [var.below]
}

run "a_service_that_the_state_below_lacks" {
  command = plan
  variables {
    environments = { production = { namespace = "production" } }
    services     = { cart = { github_repository = "onedigest-example/cart", ecr_repositories = [] } }
    below        = var.handed_up
  }
  expect_failures = [var.below]
}

run "a_state_of_another_account" {
  command = plan
  variables {
    environments        = { production = { namespace = "production" } }
    allowed_account_ids = ["210987654321"]
    below               = var.handed_up
  }
  expect_failures = [var.below]
}

run "an_environment_of_two_states" {
  command = plan
  variables {
    below = var.handed_up
  }
  expect_failures = [var.below]
}

run "a_repository_for_builds_in_the_place_of_an_environment_above" {
  command = plan
  variables {
    environments       = { staging = { namespace = "staging" } }
    environments_above = ["production"]
    ecr_repositories   = ["production/shop"]
  }
  expect_failures = [var.ecr_repositories]
}
