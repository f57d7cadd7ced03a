# What production makes of the module. What the module itself does, and refuses, is tested in terraform/modules/service.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "kubernetes" {
  source = "./tests/mocks/kubernetes"
}
mock_provider "helm" {}

variables {
  image_tag = "0123456789abcdef0123456789abcdef01234567"
}

run "it_is_production" {
  command = plan

  assert {
    condition     = output.namespace == "production" && output.release == "shop" && output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    error_message = "Production deploys release shop to namespace production, by the digest of the tag."
  }

  assert {
    condition     = data.aws_eks_cluster.this.name == "onedigest" && output.kubeconfig == "aws eks update-kubeconfig --name onedigest --region eu-central-1"
    error_message = "With the shared layout the cluster is NAME."
  }
}

run "it_has_its_own_cluster_when_set" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  assert {
    condition     = data.aws_eks_cluster.this.name == "onedigest-production"
    error_message = "With a cluster for each environment it is NAME-production."
  }
}

run "what_was_promoted_may_run" {
  command = plan

  variables {
    image_tag = "production-0123456789abcdef0123456789abcdef01234567"
  }

  assert {
    condition     = output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    error_message = "promote's tag names a promoted image."
  }
}

# The repositories that builds and staging write to are of other names (terraform/aws_infra, ecr.tf).
run "a_tag_is_believed_in_productions_repository_alone" {
  command = plan

  variables {
    image_tag = "1.0.0-prod"
    services  = {}
  }

  assert {
    condition     = module.service.tag_repository == "production/shop"
    error_message = "A tag of ${coalesce(module.service.tag_repository, "nothing")} decides what production runs."
  }
}

# That an image without it is refused is tested in terraform/modules/service, whose data source refuses it.
run "only_what_was_promoted_may_run" {
  command = plan

  assert {
    condition     = module.service.promotion_tag == "production-0123456789abcdef0123456789abcdef01234567"
    error_message = "Production must ask for promote's tag, however the commit is named."
  }
}

run "the_tag_latest" {
  command = plan
  variables {
    image_tag = "latest"
  }
  expect_failures = [var.image_tag]
}

run "another_environments_tag" {
  command = plan
  variables {
    require_commit_tag = true
    image_tag          = "staging-0123456789abcdef0123456789abcdef01234567"
  }
  expect_failures = [var.image_tag]
}

run "no_tag" {
  command = plan
  variables {
    image_tag = null
  }
  expect_failures = [var.image_tag]
}

run "a_tag_where_the_actions_deploy" {
  command = plan
  variables {
    deploy_with = "actions"
  }
  expect_failures = [var.image_tag]
}

run "neither_terraform_nor_the_actions" {
  command = plan
  variables {
    deploy_with = "argo"
    image_tag   = null
  }
  expect_failures = [var.deploy_with]
}

run "an_unknown_layout" {
  command = plan
  variables {
    cluster_layout = "one-per-developer"
  }
  expect_failures = [var.cluster_layout]
}

run "an_account_of_eleven_digits" {
  command = plan
  variables {
    allowed_account_ids = ["12345678901"]
  }
  expect_failures = [var.allowed_account_ids]
}

run "a_region_that_is_none" {
  command = plan
  variables {
    region = "Frankfurt"
  }
  expect_failures = [var.region]
}

run "a_name_that_aws_infra_refuses" {
  command = plan
  variables {
    name = "One Digest"
  }
  expect_failures = [var.name]
}

run "a_version_is_a_tag_too" {
  command = plan
  variables {
    image_tag = "1.0.0-prod"
  }

  assert {
    condition     = output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    error_message = "A tag of any form is resolved to its digest."
  }
}

run "no_tag_at_all" {
  command = plan
  variables {
    image_tag = "1.0.0 prod"
  }
  expect_failures = [var.image_tag]
}
