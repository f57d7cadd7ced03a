# What is refused before anything is planned: one run for each rule, each with one thing wrong.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "service_accounts_environment_unknown" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "test", name = "shop" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_wildcard" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "staging", name = "*" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_name_too_long" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "staging", name = "an-account-with-a-long-name" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_twice" {
  command = plan

  variables {
    service_accounts = { one = { environment = "staging", name = "shop" }, two = { environment = "staging", name = "shop" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_taken" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "staging", name = "secrets-reader" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_no_policy" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "staging", name = "shop", policy_arns = ["AdministratorAccess"] } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_any_database_user" {
  command = plan

  variables {
    databases        = { staging = {} }
    service_accounts = { shop = { environment = "staging", name = "shop", database_user = "*" } }
  }

  expect_failures = [var.service_accounts]
}

run "service_accounts_database_user_without_a_database" {
  command = plan

  variables {
    service_accounts = { shop = { environment = "staging", name = "shop", database_user = "shop" } }
  }

  expect_failures = [var.service_accounts]
}

run "databases_environment_unknown" {
  command = plan

  variables {
    databases = { test = {} }
  }

  expect_failures = [var.databases]
}

run "databases_old_engine" {
  command = plan

  variables {
    databases = { production = { engine_version = "13" } }
  }

  expect_failures = [var.databases]
}

run "databases_unknown_class" {
  command = plan

  variables {
    databases = { production = { instance_class = "t4g.medium" } }
  }

  expect_failures = [var.databases]
}

run "databases_too_small" {
  command = plan

  variables {
    databases = { production = { storage_gib = 5 } }
  }

  expect_failures = [var.databases]
}

run "databases_negative" {
  command = plan

  variables {
    databases = { production = { storage_gib = -20 } }
  }

  expect_failures = [var.databases]
}

run "databases_min_over_max" {
  command = plan

  variables {
    databases = { production = { storage_gib = 200, storage_max_gib = 100 } }
  }

  expect_failures = [var.databases]
}

run "databases_without_backups" {
  command = plan

  variables {
    databases = { production = { backup_days = 0 } }
  }

  expect_failures = [var.databases]
}

run "databases_backups_too_long" {
  command = plan

  variables {
    databases = { production = { backup_days = 36 } }
  }

  expect_failures = [var.databases]
}

run "databases_name_of_the_server_s" {
  command = plan

  variables {
    databases = { production = { database_name = "postgres" } }
  }

  expect_failures = [var.databases]
}
