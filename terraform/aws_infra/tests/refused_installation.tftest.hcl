# What is refused before anything is planned: one run for each rule, each with one thing wrong.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "name_upper_case" {
  command = plan

  variables {
    name = "OneDigest"
  }

  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan

  variables {
    name = "a-name-that-is-too-long"
  }

  expect_failures = [var.name]
}

run "name_double_hyphen" {
  command = plan

  variables {
    name = "one--digest"
  }

  expect_failures = [var.name]
}

run "region_of_nowhere" {
  command = plan

  variables {
    region = "Frankfurt"
  }

  expect_failures = [var.region]
}

run "allowed_account_ids_not_an_account_id" {
  command = plan

  variables {
    allowed_account_ids = ["12345678901"]
  }

  expect_failures = [var.allowed_account_ids]
}

run "environments_none" {
  command = plan

  variables {
    environments = {}
  }

  expect_failures = [var.environments]
}

run "environments_malformed_name" {
  command = plan

  variables {
    environments = { Staging = { namespace = "staging" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_with_a_wildcard" {
  command = plan

  variables {
    environments = { "stag*" = { namespace = "staging" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_too_long" {
  command = plan

  variables {
    environments = { an-environment-of-25 = { namespace = "staging" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_build_of_a_role" {
  command = plan

  variables {
    environments = { production = { namespace = "production" }, build = { namespace = "other" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_plan_of_a_role" {
  command = plan

  variables {
    environments = { production = { namespace = "production" }, plan = { namespace = "other" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_deploy_of_a_role" {
  command = plan

  variables {
    environments = { production = { namespace = "production" }, deploy = { namespace = "other" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_runner_of_a_role" {
  command = plan

  variables {
    environments = { production = { namespace = "production" }, runner = { namespace = "other" } }
  }

  expect_failures = [var.environments]
}

run "environments_name_production_plan_of_a_role" {
  command = plan

  variables {
    environments = { production = { namespace = "production" }, production-plan = { namespace = "other" } }
  }

  expect_failures = [var.environments]
}

run "environments_namespace_malformed" {
  command = plan

  variables {
    environments = { staging = { namespace = "Staging_1" } }
  }

  expect_failures = [var.environments]
}

run "environments_namespace_of_the_system" {
  command = plan

  variables {
    environments = { staging = { namespace = "kube-system" } }
  }

  expect_failures = [var.environments]
}

run "environments_default_namespace" {
  command = plan

  variables {
    environments = { staging = { namespace = "default" } }
  }

  expect_failures = [var.environments]
}

run "environments_one_namespace_for_two" {
  command = plan

  variables {
    environments = { staging = { namespace = "shop" }, production = { namespace = "shop" } }
  }

  expect_failures = [var.environments]
}

run "cluster_layout_unknown" {
  command = plan

  variables {
    cluster_layout = "per-team"
  }

  expect_failures = [var.cluster_layout]
}

run "github_repository_without_an_owner" {
  command = plan

  variables {
    github_repository = "shop"
  }

  expect_failures = [var.github_repository]
}

run "github_repository_an_address" {
  command = plan

  variables {
    github_repository = "https://github.com/onedigest-example/shop"
  }

  expect_failures = [var.github_repository]
}

run "github_repository_with_a_wildcard" {
  command = plan

  variables {
    github_repository = "onedigest-example/*"
  }

  expect_failures = [var.github_repository]
}

run "github_repository_with_a_third_part" {
  command = plan

  variables {
    github_repository = "onedigest-example/shop/app"
  }

  expect_failures = [var.github_repository]
}

run "domain_with_a_scheme" {
  command = plan

  variables {
    domain = "https://shop.example.com"
  }

  expect_failures = [var.domain]
}

run "domain_with_a_wildcard" {
  command = plan

  variables {
    domain = "*.example.com"
  }

  expect_failures = [var.domain]
}

run "domain_without_a_dot" {
  command = plan

  variables {
    domain = "shop"
  }

  expect_failures = [var.domain]
}

run "tags_key_of_aws" {
  command = plan

  variables {
    tags = { "aws:team" = "shop" }
  }

  expect_failures = [var.tags]
}
