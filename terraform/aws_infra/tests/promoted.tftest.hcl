# Who may write a tag that production's Terraform believes. The policies of the roles and of the repositories are evaluated together, as IAM does:
# an explicit denial wins, and otherwise one that allows is enough.

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
    target = aws_ecr_repository.promoted["production/shop"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/shop", repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/production/shop" }
  }

  override_resource {
    target = aws_ecr_repository.promoted["production/cart"]
    values = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/production/cart", repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/production/cart" }
  }

  override_resource {
    target = aws_iam_role.build
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-build" }
  }

  override_resource {
    target = aws_iam_role.build_service["cart"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-cart-build" }
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
    target = aws_iam_role.deploy["cart/staging"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-cart-deploy-staging" }
  }

  override_resource {
    target = aws_iam_role.deploy["cart/production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-cart-deploy-production" }
  }

  override_resource {
    target = aws_iam_role.plan["production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-plan-production" }
  }

  override_resource {
    target = aws_iam_role.plan["cart/production"]
    values = { arn = "arn:aws:iam::123456789012:role/onedigest-cart-plan-production" }
  }
}

variables {
  services = { cart = { github_repository = "onedigest-example/cart" } }

  # What makes a tag, or the image under it.
  writes = ["ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:BatchDeleteImage"]
  # Roles that are not made here: an administrator, and one with the managed policy AmazonEC2ContainerRegistryPowerUser.
  foreign = {
    platform  = "arn:aws:iam::123456789012:role/platform"
    poweruser = "arn:aws:iam::123456789012:role/ci"
  }
}

run "who_writes_where" {
  command = plan

  assert {
    condition = {
      for name, repository in merge(aws_ecr_repository.this, aws_ecr_repository.promoted) : name => join(" ", sort([
        for role, it in merge(
          { for role, policy in { build = aws_iam_role_policy.build[0].policy } : role => { arn = aws_iam_role.build[0].arn, policy = policy } },
          { for key, policy in aws_iam_role_policy.build_service : "${key}-build" => { arn = aws_iam_role.build_service[key].arn, policy = policy.policy } },
          { for key, policy in aws_iam_role_policy.deploy : key => { arn = aws_iam_role.deploy[key].arn, policy = policy.policy } },
          { for key, policy in aws_iam_role_policy.plan : "${key}-plan" => { arn = aws_iam_role.plan[key].arn, policy = policy.policy } },
          { for role, arn in var.foreign : role => { arn = arn, policy = jsonencode({ Statement = [{ Effect = "Allow", Action = ["ecr:*"], Resource = ["*"] }] }) } },
        ) : role
        if anytrue([
          for action in var.writes :
          anytrue([
            for statement in jsondecode(it.policy).Statement : statement.Effect == "Allow" &&
            anytrue([for pattern in statement.Action : can(regex("^${replace(pattern, "*", ".*")}$", action))]) &&
            anytrue([for pattern in statement.Resource : can(regex("^${replace(pattern, "*", ".*")}$", repository.arn))])
          ]) &&
          !anytrue([
            for statement in try(jsondecode(aws_ecr_repository_policy.promoted[name].policy).Statement, []) : statement.Effect == "Deny" && statement.Principal == "*" &&
            contains(statement.Action, action) && keys(statement.Condition) == ["ArnNotEquals"] && !contains(statement.Condition.ArnNotEquals["aws:PrincipalArn"], it.arn)
          ])
        ])
      ]))
      } == {
      "shop"            = "build platform poweruser production staging"
      "cart"            = "cart-build cart/production cart/staging platform poweruser"
      "production/shop" = "platform production"
      "production/cart" = "cart/production platform"
    }
    error_message = "Somebody else writes where production believes the tags, or who promotes cannot."
  }

  assert {
    condition = alltrue([
      for name, repository in aws_ecr_repository.promoted :
      repository.name == name && repository.image_tag_mutability == "IMMUTABLE_WITH_EXCLUSION" && [for filter in repository.image_tag_mutability_exclusion_filter : filter.filter] == ["staging", "production"] &&
      !repository.force_delete && repository.image_scanning_configuration[0].scan_on_push && repository.encryption_configuration[0].kms_key == aws_kms_key.images.arn
    ])
    error_message = "What was promoted is not kept as what was built is."
  }

  assert {
    condition = output.promoted_repositories == {
      shop = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/production/shop"
      cart = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/production/cart"
    }
    error_message = "The output does not say where to promote: ${jsonencode(output.promoted_repositories)}"
  }
}

run "the_highest_environment_has_it_whatever_it_is_called" {
  command = plan

  variables {
    services     = {}
    environments = { dev = { namespace = "dev" }, live = { namespace = "live" } }
    ladder       = ["dev", "live"]
  }

  assert {
    condition     = keys(aws_ecr_repository.promoted) == ["live/shop"]
    error_message = "Made: ${join(", ", keys(aws_ecr_repository.promoted))}."
  }
}

run "other_accounts_pull_and_do_not_push" {
  command = plan

  variables {
    ecr_pull_account_ids = ["210987654321"]
  }

  assert {
    condition = [for statement in jsondecode(aws_ecr_repository_policy.promoted["production/shop"].policy).Statement : statement if statement.Effect == "Allow"] == [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::210987654321:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
    error_message = "Other accounts may do more than pull, or others than those."
  }
}

# The jobs that build write to every repository of ecr_repositories.
run "a_repository_for_builds_in_productions_place" {
  command = plan
  variables {
    services         = {}
    ecr_repositories = ["shop", "production/other"]
  }
  expect_failures = [var.ecr_repositories]
}

run "a_services_repository_in_productions_place" {
  command = plan
  variables {
    services = { cart = { github_repository = "onedigest-example/cart", ecr_repositories = ["production/shop"] } }
  }
  expect_failures = [var.services]
}

run "a_repository_that_only_begins_so" {
  command = plan
  variables {
    services         = {}
    ecr_repositories = ["production-tools", "team/production"]
  }

  assert {
    condition     = toset(keys(aws_ecr_repository.promoted)) == toset(["production/production-tools", "production/team/production"])
    error_message = "Made: ${join(", ", keys(aws_ecr_repository.promoted))}."
  }
}
