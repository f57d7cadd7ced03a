# What is refused before anything is planned: one run for each rule, each with one thing wrong.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "vpc_cidr_no_range" {
  command = plan

  variables {
    vpc_cidr = "10.20.0.0"
  }

  expect_failures = [var.vpc_cidr]
}

run "vpc_cidr_host_bits_set" {
  command = plan

  variables {
    vpc_cidr = "10.20.1.0/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "vpc_cidr_too_small" {
  command = plan

  variables {
    vpc_cidr = "10.20.0.0/21"
  }

  expect_failures = [var.vpc_cidr]
}

run "vpc_cidr_larger_than_aws_allows" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/15"
  }

  expect_failures = [var.vpc_cidr]
}

run "vpc_cidr_public" {
  command = plan

  variables {
    vpc_cidr = "198.18.0.0/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "zones_one" {
  command = plan

  variables {
    zones = ["a"]
  }

  expect_failures = [var.zones]
}

run "zones_none" {
  command = plan

  variables {
    zones = []
  }

  expect_failures = [var.zones]
}

run "zones_the_same_twice" {
  command = plan

  variables {
    zones = ["a", "a"]
  }

  expect_failures = [var.zones]
}

run "zones_a_whole_name" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.zones]
}

run "subnets_for_other_zones" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.0/20" }
      c = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_overlapping" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.0/20" }
      b = { public = "10.20.0.64/26", private = "10.20.24.0/21" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_public_in_private" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.16.0/26", private = "10.20.16.0/20" }
      b = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_outside_the_vpc" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.0/20" }
      b = { public = "10.20.0.64/26", private = "10.21.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_private_too_small" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.0/25" }
      b = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_public_too_small" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/28", private = "10.20.16.0/20" }
      b = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "subnets_malformed" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.1/20" }
      b = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  expect_failures = [var.subnets]
}

run "nat_gateways_unknown" {
  command = plan

  variables {
    nat_gateways = "none"
  }

  expect_failures = [var.nat_gateways]
}

run "interface_endpoints_unknown" {
  command = plan

  variables {
    interface_endpoints = ["ecr"]
  }

  expect_failures = [var.interface_endpoints]
}

run "log_retention_days_not_of_cloudwatch" {
  command = plan

  variables {
    log_retention_days = 100
  }

  expect_failures = [var.log_retention_days]
}

run "log_retention_days_without_end" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "log_retention_days_negative" {
  command = plan

  variables {
    log_retention_days = -1
  }

  expect_failures = [var.log_retention_days]
}
