# What is refused before anything is planned: one run for each rule, each with one thing wrong.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "kubernetes_version_with_a_patch_level" {
  command = plan

  variables {
    kubernetes_version = "1.36.2"
  }

  expect_failures = [var.kubernetes_version]
}

run "kubernetes_version_with_a_v" {
  command = plan

  variables {
    kubernetes_version = "v1.36"
  }

  expect_failures = [var.kubernetes_version]
}

run "kubernetes_version_latest" {
  command = plan

  variables {
    kubernetes_version = "latest"
  }

  expect_failures = [var.kubernetes_version]
}

run "kubernetes_support_unknown" {
  command = plan

  variables {
    kubernetes_support = "standard"
  }

  expect_failures = [var.kubernetes_support]
}

run "cluster_admin_arns_nobody" {
  command = plan

  variables {
    cluster_admin_arns = []
  }

  expect_failures = [var.cluster_admin_arns]
}

run "cluster_admin_arns_a_session" {
  command = plan

  variables {
    cluster_admin_arns = ["arn:aws:sts::123456789012:assumed-role/platform/session"]
  }

  expect_failures = [var.cluster_admin_arns]
}

run "cluster_admin_arns_everybody" {
  command = plan

  variables {
    cluster_admin_arns = ["arn:aws:iam::123456789012:role/*"]
  }

  expect_failures = [var.cluster_admin_arns]
}

run "cluster_admin_arns_the_account" {
  command = plan

  variables {
    cluster_admin_arns = ["arn:aws:iam::123456789012:root"]
  }

  expect_failures = [var.cluster_admin_arns]
}

run "viewer_arns_environment_unknown" {
  command = plan

  variables {
    viewer_arns = { test = ["arn:aws:iam::123456789012:role/developers"] }
  }

  expect_failures = [var.viewer_arns]
}

run "viewer_arns_no_role" {
  command = plan

  variables {
    viewer_arns = { staging = ["developers"] }
  }

  expect_failures = [var.viewer_arns]
}

run "viewer_arns_an_administrator" {
  command = plan

  variables {
    viewer_arns = { staging = ["arn:aws:iam::123456789012:role/platform"] }
  }

  expect_failures = [var.viewer_arns]
}

run "endpoint_public_cidrs_the_world" {
  command = plan

  variables {
    endpoint_public_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "endpoint_public_cidrs_half_the_world" {
  command = plan

  variables {
    endpoint_public_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "endpoint_public_cidrs_ipv6" {
  command = plan

  variables {
    endpoint_public_cidrs = ["::/0"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "endpoint_public_cidrs_an_address" {
  command = plan

  variables {
    endpoint_public_cidrs = ["203.0.113.7"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "endpoint_public_cidrs_too_many" {
  command = plan

  variables {
    endpoint_public_cidrs = [for i in range(41) : "203.0.113.${i}/32"]
  }

  expect_failures = [var.endpoint_public_cidrs]
}

run "endpoint_private_cidrs_the_world" {
  command = plan

  variables {
    endpoint_private_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.endpoint_private_cidrs]
}

run "endpoint_private_cidrs_host_bits_set" {
  command = plan

  variables {
    endpoint_private_cidrs = ["10.8.0.1/24"]
  }

  expect_failures = [var.endpoint_private_cidrs]
}

run "service_cidr_overlapping_the_vpc" {
  command = plan

  variables {
    service_cidr = "10.20.128.0/20"
  }

  expect_failures = [var.service_cidr]
}

run "service_cidr_around_the_vpc" {
  command = plan

  variables {
    service_cidr = "10.16.0.0/12"
  }

  expect_failures = [var.service_cidr]
}

run "service_cidr_too_small" {
  command = plan

  variables {
    service_cidr = "172.20.0.0/25"
  }

  expect_failures = [var.service_cidr]
}

run "service_cidr_not_private" {
  command = plan

  variables {
    service_cidr = "100.64.0.0/16"
  }

  expect_failures = [var.service_cidr]
}

run "addon_versions_unknown_add_on" {
  command = plan

  variables {
    addon_versions = { aws-auth = "v1.0.0-eksbuild.1" }
  }

  expect_failures = [var.addon_versions]
}

run "addon_versions_malformed" {
  command = plan

  variables {
    addon_versions = { coredns = "latest" }
  }

  expect_failures = [var.addon_versions]
}
