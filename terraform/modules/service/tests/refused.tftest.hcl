# What is refused before anything changes.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "kubernetes" {
  source = "./tests/mocks/kubernetes"
}
mock_provider "helm" {}

run "an_environment_without_a_directory" {
  command = plan
  variables {
    environment = "qa"
  }
  expect_failures = [var.environment]
}

run "an_environment_that_leads_elsewhere" {
  command = plan
  variables {
    environment = "../production"
  }
  expect_failures = [var.environment]
}

run "values_that_are_not_there" {
  command = plan
  variables {
    values_file = "tests/values/none.yaml"
  }
  expect_failures = [var.values_file]
}

run "the_tag_latest" {
  command = plan
  variables {
    image_tag = "latest"
  }
  expect_failures = [var.image_tag]
}

run "a_short_commit" {
  command = plan
  variables {
    require_commit_tag = true
    image_tag          = "0123456"
  }
  expect_failures = [var.image_tag]
}

run "a_commit_in_capitals" {
  command = plan
  variables {
    require_commit_tag = true
    image_tag          = "0123456789ABCDEF0123456789ABCDEF01234567"
  }
  expect_failures = [var.image_tag]
}

run "another_environments_tag" {
  command = plan
  variables {
    require_commit_tag = true
    image_tag          = "production-0123456789abcdef0123456789abcdef01234567"
  }
  expect_failures = [var.image_tag]
}

run "uncommitted_work" {
  command = plan
  variables {
    require_commit_tag = true
    image_tag          = "0123456789abcdef0123456789abcdef01234567-dirty-20260101"
  }
  expect_failures = [var.image_tag]
}

run "a_digest_for_a_tag" {
  command = plan
  variables {
    image_tag = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
  }
  expect_failures = [var.image_tag]
}

run "a_version_where_commits_are_asked_for" {
  command = plan
  variables {
    image_tag          = "1.0.0-prod"
    require_commit_tag = true
  }
  expect_failures = [var.image_tag]
}

run "a_version_of_an_image_that_was_not_promoted" {
  command = plan
  variables {
    environment       = "production"
    require_promotion = true
    image_tag         = "1.0.0-prod"
  }
  override_data {
    target = data.aws_ecr_image.this
    values = {
      image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      image_tags   = ["0123456789abcdef0123456789abcdef01234567", "1.0.0-prod", "production", "staging-0123456789abcdef0123456789abcdef01234567"]
    }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "a_version_of_several_commits" {
  command = plan
  variables {
    image_tag = "1.0.0-prod"
  }
  override_data {
    target = data.aws_ecr_image.this
    values = {
      image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      image_tags   = ["0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98", "1.0.0-prod"]
    }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "no_tag_where_terraform_deploys" {
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

run "a_tag_that_is_not_in_the_repository" {
  command = plan
  variables {
    image_tag = "fedcba9876543210fedcba9876543210fedcba98"
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "a_repository_without_images" {
  command = plan
  override_data {
    target = data.aws_ecr_images.this
    values = { image_ids = [] }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "a_digest_that_is_none" {
  command = plan
  override_data {
    target = data.aws_ecr_image.this
    values = { image_digest = "sha256:11111111", image_tags = [] }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "a_digest_in_capitals" {
  command = plan
  override_data {
    target = data.aws_ecr_image.this
    values = { image_digest = "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", image_tags = [] }
  }
  expect_failures = [data.aws_ecr_image.this]
}

# As it is in the builds' repository: there it is, and production's has it under production-COMMIT alone.
run "another_environments_tag_in_productions_repository" {
  command = plan
  variables {
    environment       = "production"
    require_promotion = true
    image_tag         = "staging-0123456789abcdef0123456789abcdef01234567"
  }
  override_data {
    target = data.aws_ecr_images.this
    values = { image_ids = [{ image_tag = "production-0123456789abcdef0123456789abcdef01234567", image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" }] }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "what_was_not_promoted_does_not_run_in_production" {
  command = plan
  variables {
    environment       = "production"
    require_promotion = true
  }
  override_data {
    target = data.aws_ecr_image.this
    values = {
      image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      image_tags   = ["0123456789abcdef0123456789abcdef01234567", "production-fedcba9876543210fedcba9876543210fedcba98", "production"]
    }
  }
  expect_failures = [data.aws_ecr_image.this]
}

run "neither_terraform_nor_the_actions" {
  command = plan
  variables {
    deploy_with = "argo"
    image_tag   = null
  }
  expect_failures = [var.deploy_with]
}

run "a_run_that_is_deploying" {
  command = plan
  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = {}, spec = { holderIdentity = "run 1", leaseDurationSeconds = 15, renewTime = "2999-01-01T00:00:00.000000Z" } }]
    }
  }
  expect_failures = [helm_release.this]
}

run "a_lease_that_cannot_be_read" {
  command = plan
  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = {}, spec = { holderIdentity = "run 1", renewTime = "yesterday" } }]
    }
  }
  expect_failures = [helm_release.this]
}

run "a_pin_at_another_commit" {
  command = plan
  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = { annotations = { "onedigest.dev/pin-commit" = "fedcba9876543210fedcba9876543210fedcba98" } }, spec = {} }]
    }
  }
  expect_failures = [helm_release.this]
}

run "what_the_actions_deployed_is_not_taken_back_silently" {
  command = plan
  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "onedigest.dev/run" = "https://github.com/onedigest-example/shop/actions/runs/1" } }
        spec     = { template = { metadata = { annotations = { "onedigest.dev/digest" = "sha256:3333333333333333333333333333333333333333333333333333333333333333" } } } }
      }]
    }
  }
  expect_failures = [helm_release.this]
}

run "what_argo_cd_applies_is_not_terraforms" {
  command = plan
  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "argocd.argoproj.io/tracking-id" = "shop-staging:apps/Deployment:staging/shop" } }
        spec     = { template = { metadata = { annotations = {} } } }
      }]
    }
  }
  expect_failures = [helm_release.this]
}

run "a_tag_where_argo_cd_deploys" {
  command = plan
  variables {
    deploy_with = "argo-cd"
  }
  expect_failures = [var.image_tag]
}

run "an_application_of_another_form" {
  command = plan
  variables {
    application = "argocd/shop"
  }
  expect_failures = [var.application]
}

run "something_changed_since_you_looked" {
  command = plan
  variables {
    replace_digest = "sha256:4444444444444444444444444444444444444444444444444444444444444444"
  }
  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "onedigest.dev/run" = "https://github.com/onedigest-example/shop/actions/runs/1" } }
        spec     = { template = { metadata = { annotations = { "onedigest.dev/digest" = "sha256:3333333333333333333333333333333333333333333333333333333333333333" } } } }
      }]
    }
  }
  expect_failures = [helm_release.this]
}

run "replacing_a_tag" {
  command = plan
  variables {
    replace_digest = "v1.2.3"
  }
  expect_failures = [var.replace_digest]
}

run "a_repository_with_its_host" {
  command = plan
  variables {
    repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/Shop:latest"
  }
  expect_failures = [var.repository]
}

run "a_release_that_helm_does_not_take" {
  command = plan
  variables {
    release = "a-release-with-a-name-that-is-longer-than-fifty-three-chars"
  }
  expect_failures = [var.release]
}

run "kubernetes_own_namespace" {
  command = plan
  variables {
    namespace = "kube-system"
  }
  expect_failures = [var.namespace]
}

run "everybody_a_deployer" {
  command = plan
  variables {
    deployer_groups = ["system:authenticated"]
  }
  expect_failures = [var.deployer_groups]
}

run "everybody_a_reader" {
  command = plan
  variables {
    reader_groups = ["system:unauthenticated"]
  }
  expect_failures = [var.reader_groups]
}

run "a_negative_timeout" {
  command = plan
  variables {
    timeout_seconds = -1
  }
  expect_failures = [var.timeout_seconds]
}

run "a_wait_that_the_actions_take_for_death" {
  command = plan
  variables {
    timeout_seconds = 600
  }
  expect_failures = [var.timeout_seconds]
}

run "secrets_read_never" {
  command = plan
  variables {
    secrets = { refresh_interval = "0h" }
  }
  expect_failures = [var.secrets]
}

run "a_zone_without_a_name_to_put_there" {
  command = plan
  variables {
    zone_id = "Z0123456789ABCDEFGHIJ"
  }
  expect_failures = [var.zone_id]
}

run "a_zone_by_its_name" {
  command = plan
  variables {
    zone_id = "example.com"
  }
  expect_failures = [var.zone_id]
}

run "a_zone_of_other_names" {
  command = plan
  variables {
    values_file = "tests/values/named.yaml"
    zone_id     = "Z0123456789ABCDEFGHIJ"
  }
  override_data {
    target = data.aws_route53_zone.this
    values = { name = "example.org.", zone_id = "Z0123456789ABCDEFGHIJ" }
  }
  expect_failures = [data.aws_route53_zone.this]
}

run "a_name_that_can_lead_nowhere_yet" {
  command = plan
  variables {
    values_file = "tests/values/named.yaml"
    zone_id     = "Z0123456789ABCDEFGHIJ"
    deploy_with = "actions"
    image_tag   = null
  }
  expect_failures = [aws_route53_record.this]
}
