# Several services and repositories: each has what is its own, and none reaches another's.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = aws_ecr_repository.this["shop"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/shop" }
  }

  override_resource {
    target = aws_ecr_repository.this["cart"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/cart" }
  }

  override_resource {
    target = aws_ecr_repository.this["mail/api"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/mail/api" }
  }

  override_resource {
    target = aws_ecr_repository.this["mail/worker"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/mail/worker" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/shop"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/cart"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/cart" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/mail/api"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/mail/api" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/mail/worker"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/mail/worker" }
  }

  override_resource {
    target = aws_kms_key.evidence["cart/staging"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/cart-staging" }
  }

  override_resource {
    target = aws_kms_key.evidence["cart/production"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/cart-production" }
  }

  override_resource {
    target = aws_kms_key.build[""]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/build" }
  }

  override_resource {
    target = aws_kms_key.build["cart"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/cart-build" }
  }

  override_resource {
    target = aws_kms_key.build["mail"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/mail-build" }
  }

  override_resource {
    target = aws_kms_key.evidence["staging"]
    values = { arn = "arn:aws:kms:eu-central-1:123456789012:key/staging" }
  }
}

variables {
  services = {
    cart = { github_repository = "onedigest-example/cart" }
    mail = {
      github_repository    = "another-example/mail"
      github_owner_id      = "12"
      github_repository_id = "34"
      ecr_repositories     = ["mail/api", "mail/worker"]
      namespaces           = { production = "mail" }
    }
  }
  sub = "token.actions.githubusercontent.com:sub"
}

run "each_repository_takes_its_own_services_roles" {
  command = plan

  assert {
    condition = {
      for name, role in merge(aws_iam_role.build_service, aws_iam_role.deploy) : role.name => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals[var.sub]
      } == {
      onedigest-cart-build             = ["repo:onedigest-example/cart:ref:refs/heads/main"]
      onedigest-mail-build             = ["repo:another-example@12/mail@34:ref:refs/heads/main"]
      onedigest-deploy-staging         = ["repo:onedigest-example/shop:environment:staging"]
      onedigest-deploy-production      = ["repo:onedigest-example/shop:environment:production"]
      onedigest-cart-deploy-staging    = ["repo:onedigest-example/cart:environment:staging"]
      onedigest-cart-deploy-production = ["repo:onedigest-example/cart:environment:production"]
      onedigest-mail-deploy-staging    = ["repo:another-example@12/mail@34:environment:staging"]
      onedigest-mail-deploy-production = ["repo:another-example@12/mail@34:environment:production"]
    }
    error_message = "A role trusts another repository than its service's: ${jsonencode({ for name, role in merge(aws_iam_role.build_service, aws_iam_role.deploy) : role.name => role.assume_role_policy })}"
  }

  assert {
    condition     = jsondecode(aws_iam_role.build[0].assume_role_policy).Statement[0].Condition.StringEquals[var.sub] == ["repo:onedigest-example/shop:ref:refs/heads/main"]
    error_message = "The first service's builds are not its own repository's."
  }

  assert {
    condition = toset(keys(aws_iam_role.plan)) == toset(["production", "cart/production", "mail/production"]) && (
      jsondecode(aws_iam_role.plan["cart/production"].assume_role_policy).Statement[0].Condition.StringEquals[var.sub] == ["repo:onedigest-example/cart:environment:production-plan"]
    )
    error_message = "Each service plans its deploys to production: ${jsonencode(keys(aws_iam_role.plan))}"
  }
}

run "each_service_writes_its_own_repositories" {
  command = plan

  assert {
    condition = {
      for name, policy in merge({ build = aws_iam_role_policy.build[0] }, { for service, policy in aws_iam_role_policy.build_service : "${service}/build" => policy }, aws_iam_role_policy.deploy) :
      name => join(" ", distinct(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "ecr:PutImage")])))
      } == {
      build             = "arn:aws:ecr:eu-central-1:123456789012:repository/shop"
      staging           = "arn:aws:ecr:eu-central-1:123456789012:repository/shop"
      production        = "arn:aws:ecr:eu-central-1:123456789012:repository/shop arn:aws:ecr:eu-central-1:123456789012:repository/production/shop"
      "cart/build"      = "arn:aws:ecr:eu-central-1:123456789012:repository/cart"
      "cart/staging"    = "arn:aws:ecr:eu-central-1:123456789012:repository/cart"
      "cart/production" = "arn:aws:ecr:eu-central-1:123456789012:repository/cart arn:aws:ecr:eu-central-1:123456789012:repository/production/cart"
      "mail/build"      = "arn:aws:ecr:eu-central-1:123456789012:repository/mail/api arn:aws:ecr:eu-central-1:123456789012:repository/mail/worker"
      "mail/staging"    = "arn:aws:ecr:eu-central-1:123456789012:repository/mail/api arn:aws:ecr:eu-central-1:123456789012:repository/mail/worker"
      "mail/production" = "arn:aws:ecr:eu-central-1:123456789012:repository/mail/api arn:aws:ecr:eu-central-1:123456789012:repository/mail/worker arn:aws:ecr:eu-central-1:123456789012:repository/production/mail/api arn:aws:ecr:eu-central-1:123456789012:repository/production/mail/worker"
    }
    error_message = "A service's jobs can push to another's repository."
  }

  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["shop", "cart", "mail/api", "mail/worker"])
    error_message = "A service has no repository, or one too many: ${jsonencode(keys(aws_ecr_repository.this))}"
  }
}

run "each_service_signs_with_its_own_key" {
  command = plan

  assert {
    condition = {
      for key, policy in aws_iam_role_policy.deploy : key => flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "kms:Sign")])
      if contains(["cart/staging", "cart/production", "staging"], key)
      } == {
      staging           = ["arn:aws:kms:eu-central-1:123456789012:key/staging"]
      "cart/staging"    = ["arn:aws:kms:eu-central-1:123456789012:key/cart-staging"]
      "cart/production" = ["arn:aws:kms:eu-central-1:123456789012:key/cart-production"]
    }
    error_message = "A service's jobs can sign another's evidence."
  }

  assert {
    condition = flatten([for statement in jsondecode(aws_iam_role_policy.deploy["cart/production"].policy).Statement : statement.Resource if contains(statement.Action, "kms:GetPublicKey")]) == [
      "arn:aws:kms:eu-central-1:123456789012:key/cart-staging", "arn:aws:kms:eu-central-1:123456789012:key/cart-production", "arn:aws:kms:eu-central-1:123456789012:key/cart-build",
    ]
    error_message = "Production of cart checks what cart proved in staging, and no other's evidence."
  }

  assert {
    condition     = aws_kms_alias.evidence["cart/staging"].name == "alias/onedigest-evidence-cart-staging" && aws_kms_alias.app_secrets["mail/production"].name == "alias/onedigest-secrets-mail-production"
    error_message = "A service's keys cannot be found by their aliases."
  }
}

run "each_services_builds_sign_with_their_own_key" {
  command = plan

  assert {
    condition = {
      for service, policy in merge({ build = aws_iam_role_policy.build[0] }, aws_iam_role_policy.build_service) :
      service => flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "kms:Sign")])
      } == {
      build = ["arn:aws:kms:eu-central-1:123456789012:key/build"]
      cart  = ["arn:aws:kms:eu-central-1:123456789012:key/cart-build"]
      mail  = ["arn:aws:kms:eu-central-1:123456789012:key/mail-build"]
    }
    error_message = "A service's builds can sign for another's."
  }

  assert {
    condition = alltrue([
      for service, key in aws_kms_key.build : length([
        for statement in jsondecode(key.policy).Statement : statement if contains(flatten([statement.Action]), "kms:Sign")
      ]) == 1
    ]) && toset(keys(aws_kms_key.build)) == toset(["", "cart", "mail"]) && aws_kms_alias.build["cart"].name == "alias/onedigest-provenance-cart"
    error_message = "A service has no key for its builds, or several sign with it."
  }
}

run "each_service_reads_its_own_secrets" {
  command = plan

  assert {
    condition = {
      for key, policy in aws_iam_role_policy.secrets_reader : key => jsondecode(policy.policy).Statement[0].Resource[0] if contains(["staging", "cart/staging", "mail/production"], key)
      } == {
      staging           = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:onedigest/staging/*"
      "cart/staging"    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:onedigest/cart/staging/*"
      "mail/production" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:onedigest/mail/production/*"
    }
    error_message = "A service's reader can read another's secrets."
  }

  assert {
    condition = {
      for key, role in aws_iam_role.secrets_reader : key => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub"]
      if contains(["staging", "cart/staging", "mail/staging", "mail/production"], key)
      } == {
      staging           = "system:serviceaccount:staging:secrets-reader"
      "cart/staging"    = "system:serviceaccount:cart-staging:secrets-reader"
      "mail/staging"    = "system:serviceaccount:mail-staging:secrets-reader"
      "mail/production" = "system:serviceaccount:mail:secrets-reader"
    }
    error_message = "Another namespace's account can read a service's secrets."
  }
}

run "each_role_is_in_its_own_group" {
  command = plan

  assert {
    condition = { for key, entry in aws_eks_access_entry.deploy : key => join(" ", entry.kubernetes_groups) } == {
      staging           = "onedigest-deploy-staging"
      production        = "onedigest-deploy-production"
      "cart/staging"    = "onedigest-cart-deploy-staging"
      "cart/production" = "onedigest-cart-deploy-production"
      "mail/staging"    = "onedigest-mail-deploy-staging"
      "mail/production" = "onedigest-mail-deploy-production"
    }
    error_message = "A service's role is in another's group, and could deploy to its namespace."
  }

  assert {
    condition = output.services["cart"].environments == {
      staging    = { namespace = "cart-staging", deploy_group = "onedigest-cart-deploy-staging", secrets = "onedigest/cart/staging/" }
      production = { namespace = "cart-production", deploy_group = "onedigest-cart-deploy-production", secrets = "onedigest/cart/production/" }
    }
    error_message = "The output has other names than what was made: ${jsonencode(output.services)}"
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "a_service_with_a_hyphen" {
  command = plan
  variables {
    services = { "cart-api" = { github_repository = "onedigest-example/cart" } }
  }
  expect_failures = [var.services]
}

run "a_service_called_like_an_environment" {
  command = plan
  variables {
    services = { staging = { github_repository = "onedigest-example/cart" } }
  }
  expect_failures = [var.services]
}

run "a_service_of_any_repository" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/*" } }
  }
  expect_failures = [var.services]
}

run "a_service_with_half_its_numbers" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/cart", github_repository_id = "34" } }
  }
  expect_failures = [var.services]
}

run "a_repository_of_two_services" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/cart", ecr_repositories = ["shop"] } }
  }
  expect_failures = [var.services]
}

run "a_namespace_of_two_services" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/cart", namespaces = { staging = "staging" } } }
  }
  expect_failures = [var.services]
}

run "a_namespace_of_kubernetes" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/cart", namespaces = { staging = "kube-system" } } }
  }
  expect_failures = [var.services]
}

# With environment deploy-staging, its plan's role would be that of service plan's jobs in staging.
run "a_service_called_like_the_plans" {
  command = plan
  variables {
    services = { plan = { github_repository = "onedigest-example/cart" } }
  }
  expect_failures = [var.services]
}

run "a_service_called_like_the_runners" {
  command = plan
  variables {
    services = { runner = { github_repository = "onedigest-example/cart" } }
  }
  expect_failures = [var.services]
}
