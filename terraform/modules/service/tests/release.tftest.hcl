# The release that is planned is the one that cmd/deploy makes, by the digest of the tag.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "kubernetes" {
  source = "./tests/mocks/kubernetes"
}
mock_provider "helm" {}

run "it_is_the_actions_release" {
  command = plan

  assert {
    condition     = helm_release.this[0].name == "shop" && helm_release.this[0].namespace == "staging"
    error_message = "cmd/deploy names the release after the repository and the namespace after the environment."
  }

  assert {
    condition     = fileexists("${helm_release.this[0].chart}/Chart.yaml") && yamldecode(file("${helm_release.this[0].chart}/Chart.yaml")).name == "service"
    error_message = "The chart is charts/service."
  }

  # The provider refuses a version that is not the chart's; it has to be given, or upgrade_install takes the installed one's.
  assert {
    condition     = helm_release.this[0].version == yamldecode(file("../../../charts/service/Chart.yaml")).version
    error_message = "The release's version is not that of the chart."
  }

  assert {
    condition     = helm_release.this[0].upgrade_install && helm_release.this[0].max_history == 10 && helm_release.this[0].wait && helm_release.this[0].timeout == 280
    error_message = "It takes over what the actions have installed, keeps as many revisions as they do, and waits until it runs."
  }

  assert {
    condition     = helm_release.this[0].values[0] == file("../../staging/values-staging.yaml")
    error_message = "The values are those of the environment, as the actions read them."
  }

  # internal/helm/stamp.go: what it marks pods with. Other marks, or none, would roll pods that need not be.
  assert {
    condition = yamldecode(helm_release.this[0].values[1]) == {
      podLabels = {
        "onedigest.dev/commit"      = "0123456789abcdef0123456789abcdef01234567"
        "onedigest.dev/environment" = "staging"
      }
      podAnnotations = {
        "onedigest.dev/digest" = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      }
    }
    error_message = "The pods must have the labels and annotations that the actions set, and no others."
  }

  assert {
    condition = { for one in helm_release.this[0].set : one.name => one.value } == {
      "image.repository" = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
      "image.digest"     = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    } && alltrue([for one in helm_release.this[0].set : one.type == "string"])
    error_message = "The image is pinned by digest, as strings."
  }

  assert {
    condition     = output.prove == "go run ./cmd/smoke --cluster onedigest --release shop --namespace staging --environment staging --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:1111111111111111111111111111111111111111111111111111111111111111 --expect-commit 0123456789abcdef0123456789abcdef01234567 --sign-key awskms:///alias/onedigest-evidence-staging"
    error_message = "What proves the release names the digest that was deployed."
  }

  assert {
    condition     = !anytrue([for values in helm_release.this[0].values : strcontains(values, "tag:")])
    error_message = "Nothing after the look-up may know a tag."
  }
}

run "an_environments_tag_is_the_same_digest" {
  command = plan

  variables {
    image_tag = "staging-0123456789abcdef0123456789abcdef01234567"
  }

  assert {
    condition     = output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111" && yamldecode(helm_release.this[0].values[1]).podLabels["onedigest.dev/commit"] == "0123456789abcdef0123456789abcdef01234567"
    error_message = "staging-COMMIT names the same digest and the same commit."
  }
}

run "a_version_is_the_same_digest_and_its_commit" {
  command = plan

  variables {
    image_tag = "1.0.0-prod"
  }

  assert {
    condition = (
      output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111" &&
      { for one in helm_release.this[0].set : one.name => one.value }["image.digest"] == output.digest &&
      yamldecode(helm_release.this[0].values[1]).podLabels["onedigest.dev/commit"] == "0123456789abcdef0123456789abcdef01234567"
    )
    error_message = "A tag of any form is resolved to the digest, and the commit is read from the image's other tags."
  }
}

run "a_version_of_a_promoted_image_may_run_in_production" {
  command = plan

  variables {
    environment       = "production"
    require_promotion = true
    image_tag         = "1.0.0-prod"
  }

  assert {
    condition     = output.promotion_tag == "production-0123456789abcdef0123456789abcdef01234567"
    error_message = "The proof decides, whatever the tag is called."
  }
}

# Builds and staging write to shop: that a tag is there says nothing in production.
run "production_believes_a_repository_of_its_own" {
  command = plan

  variables {
    environment       = "production"
    require_promotion = true
  }

  assert {
    condition = (
      data.aws_ecr_images.this[0].repository_name == "production/shop" && data.aws_ecr_image.this[0].repository_name == "production/shop" &&
      data.aws_ecr_image.this[0].image_tag == "production-0123456789abcdef0123456789abcdef01234567" && output.tag_repository == "production/shop"
    )
    error_message = "Production resolves the tag where builds and staging may write: ${data.aws_ecr_image.this[0].repository_name}:${data.aws_ecr_image.this[0].image_tag}."
  }

  assert {
    condition = (
      data.aws_ecr_repository.this[0].name == "shop" && helm_release.this[0].name == "shop" &&
      { for one in helm_release.this[0].set : one.name => one.value }["image.repository"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
    )
    error_message = "What runs is another reference than the actions deploy, and pods would be replaced when the owner changes."
  }
}

run "a_version_is_looked_up_there_too" {
  command = plan

  variables {
    environment       = "production"
    require_promotion = true
    repository        = "front/shop"
    image_tag         = "1.0.0-prod"
  }

  assert {
    condition     = data.aws_ecr_images.this[0].repository_name == "production/front/shop" && data.aws_ecr_image.this[0].repository_name == "production/front/shop" && data.aws_ecr_image.this[0].image_tag == "1.0.0-prod"
    error_message = "A version is resolved elsewhere: ${data.aws_ecr_image.this[0].repository_name}:${data.aws_ecr_image.this[0].image_tag}."
  }
}

# As where production has an account of its own, and there is no other repository.
run "a_repository_of_productions_own_is_the_one" {
  command = plan

  variables {
    environment       = "production"
    require_promotion = true
    repository        = "production/shop"
  }

  assert {
    condition     = data.aws_ecr_image.this[0].repository_name == "production/shop" && data.aws_ecr_repository.this[0].name == "production/shop" && helm_release.this[0].name == "shop"
    error_message = "The tag is looked up in ${data.aws_ecr_image.this[0].repository_name}."
  }
}

run "where_nothing_is_to_be_promoted_the_builds_repository_counts" {
  command = plan

  assert {
    condition     = data.aws_ecr_image.this[0].repository_name == "shop" && data.aws_ecr_image.this[0].image_tag == var.image_tag && output.tag_repository == "shop"
    error_message = "Staging runs what the build pushed."
  }
}

run "an_image_of_no_known_commit" {
  command = plan

  variables {
    image_tag = "1.0.0-prod"
  }

  override_data {
    target = data.aws_ecr_image.this
    values = {
      image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      image_tags   = ["1.0.0-prod"]
    }
  }

  assert {
    condition = (
      yamldecode(helm_release.this[0].values[1]).podLabels == { "onedigest.dev/environment" = "staging" } &&
      !strcontains(output.prove, "--expect-commit") && helm_release.this[0].description == "terraform: tag 1.0.0-prod, sha256:111111111111"
    )
    error_message = "Without a commit the pods carry no commit, and none is expected."
  }
}

run "no_wait_when_set" {
  command = plan

  variables {
    timeout_seconds = 0
  }

  assert {
    condition     = !helm_release.this[0].wait && helm_release.this[0].timeout > 0
    error_message = "With 0 Helm does not wait."
  }
}

run "other_names_when_asked" {
  command = plan

  variables {
    repository = "onedigest-example/shop"
    release    = "front"
    namespace  = "staging-2"
  }

  assert {
    condition     = helm_release.this[0].name == "front" && helm_release.this[0].namespace == "staging-2" && kubernetes_namespace_v1.this.metadata[0].name == "staging-2" && data.kubernetes_resources.lease[0].field_selector == "metadata.name=onedigest-front"
    error_message = "Release, namespace and Lease go by the names that are given."
  }
}

run "what_promote_tagged_may_run_in_production" {
  command = plan

  variables {
    environment       = "production"
    require_promotion = true
  }

  assert {
    condition     = output.digest == "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    error_message = "The commit's tag names a promoted image, so it may run."
  }
}

# ── Terraform and the actions ───────────────────────────────────────────────────────────────────────────────────────────

run "the_actions_own_the_release_when_set" {
  command = plan

  variables {
    deploy_with = "actions"
    image_tag   = null
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

  assert {
    condition     = length(helm_release.this) == 0 && output.prove == null && length(data.aws_ecr_image.this) == 0 && length(data.kubernetes_resources.lease) == 0
    error_message = "Where the actions deploy, Terraform has no release and asks for no image."
  }

  assert {
    condition     = output.digest == "sha256:3333333333333333333333333333333333333333333333333333333333333333"
    error_message = "Then the digest in the output must be the live one."
  }

  assert {
    condition     = kubernetes_namespace_v1.this.metadata[0].name == "staging" && length(kubernetes_role_binding_v1.deployer) == 1
    error_message = "Namespace and rights stay Terraform's."
  }
}

run "what_terraform_deployed_it_may_replace" {
  command = plan

  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "deployment.kubernetes.io/revision" = "4" } }
        spec     = { template = { metadata = { annotations = { "onedigest.dev/digest" = "sha256:3333333333333333333333333333333333333333333333333333333333333333" } } } }
      }]
    }
  }

  assert {
    condition     = output.digest != output.live_digest && output.live_digest == "sha256:3333333333333333333333333333333333333333333333333333333333333333"
    error_message = "A digest that no run put there makes way without being named."
  }
}

run "what_the_actions_deployed_it_may_take_over" {
  command = plan

  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "onedigest.dev/run" = "https://github.com/onedigest-example/shop/actions/runs/1" } }
        spec     = { template = { metadata = { annotations = { "onedigest.dev/digest" = "sha256:1111111111111111111111111111111111111111111111111111111111111111" } } } }
      }]
    }
  }

  assert {
    condition     = output.digest == output.live_digest
    error_message = "The digest that is live already is no conflict."
  }
}

run "replaces_what_the_actions_deployed_when_set" {
  command = plan

  variables {
    replace_digest = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
  }

  override_data {
    target = data.kubernetes_resources.deployment
    values = {
      objects = [{
        metadata = { annotations = { "onedigest.dev/actor" = "octocat" } }
        spec     = { template = { metadata = { annotations = { "onedigest.dev/digest" = "sha256:3333333333333333333333333333333333333333333333333333333333333333" } } } }
      }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1
    error_message = "Naming the live digest is leave to replace it."
  }
}

run "a_lease_that_was_given_back" {
  command = plan

  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = { annotations = { "onedigest.dev/run" = "https://github.com/onedigest-example/shop/actions/runs/1" } }, spec = { leaseDurationSeconds = 15, renewTime = "2999-01-01T00:00:00.000000Z" } }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1
    error_message = "Nobody holds it."
  }
}

run "a_lease_whose_holder_died" {
  command = plan

  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = {}, spec = { holderIdentity = "run 1", leaseDurationSeconds = 15, renewTime = "2026-01-01T00:00:00.123456Z" } }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1
    error_message = "A heartbeat that is months old is a dead run's."
  }
}

run "a_pin_at_this_commit" {
  command = plan

  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = { annotations = { "onedigest.dev/pin-commit" = "0123456789abcdef0123456789abcdef01234567" } }, spec = {} }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1
    error_message = "The release is pinned at the commit that is to be deployed."
  }
}

run "a_pin_that_is_overruled" {
  command = plan

  variables {
    ignore_pin = true
  }

  override_data {
    target = data.kubernetes_resources.lease
    values = {
      objects = [{ metadata = { annotations = { "onedigest.dev/pin-commit" = "fedcba9876543210fedcba9876543210fedcba98" } }, spec = {} }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1
    error_message = "ignore_pin overrules it."
  }
}

# ── Address ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "before_there_is_an_address" {
  command = plan

  variables {
    deploy_with = "actions"
    image_tag   = null
  }

  assert {
    condition     = output.url == "" && output.address == "" && output.smoke == "go run ./cmd/smoke --release shop --namespace staging"
    error_message = "Without an address the smoke command is the one that waits for it."
  }
}

run "the_load_balancers_address" {
  command = plan

  variables {
    deploy_with = "actions"
    image_tag   = null
  }

  override_data {
    target = data.kubernetes_resources.door
    values = {
      objects = [{ status = { loadBalancer = { ingress = [{ hostname = "k8s-staging-shop-0000.elb.eu-central-1.amazonaws.com" }] } } }]
    }
  }

  assert {
    condition     = output.address == "k8s-staging-shop-0000.elb.eu-central-1.amazonaws.com" && endswith(output.smoke, "--url ${output.url}")
    error_message = "The smoke command must use the address in the output."
  }
}

run "a_port_of_its_own" {
  command = plan

  variables {
    values_file = "tests/values/port.yaml"
    deploy_with = "actions"
    image_tag   = null
  }

  override_data {
    target = data.kubernetes_resources.door
    values = {
      objects = [{ status = { loadBalancer = { ingress = [{ ip = "198.51.100.7" }] } } }]
    }
  }

  assert {
    condition     = output.url == "http://198.51.100.7:8080"
    error_message = "A port that is not the scheme's own is part of the URL, and an address may be a number."
  }
}

run "a_name_with_tls" {
  command = plan

  variables {
    values_file = "tests/values/named.yaml"
    zone_id     = "Z0123456789ABCDEFGHIJ"
    deploy_with = "actions"
    image_tag   = null
  }

  override_data {
    target = data.kubernetes_resources.door
    values = {
      objects = [{ status = { loadBalancer = { ingress = [{ hostname = "k8s-staging-shop-0000.elb.eu-central-1.amazonaws.com" }] } } }]
    }
  }

  assert {
    condition     = output.url == "https://staging.shop.example.com" && data.kubernetes_resources.door.kind == "Service"
    error_message = "TLS ends at the load balancer under the name that the values give it."
  }

  assert {
    condition = (
      aws_route53_record.this[0].name == "staging.shop.example.com" && aws_route53_record.this[0].type == "A" &&
      one(aws_route53_record.this[0].alias).name == "k8s-staging-shop-0000.elb.eu-central-1.amazonaws.com" && one(aws_route53_record.this[0].alias).zone_id == "Z3F0SRJ5LGBH90"
    )
    error_message = "The record leads to the load balancer."
  }
}

run "behind_the_edge" {
  command = plan

  variables {
    values_file = "tests/values/ingress.yaml"
    deploy_with = "actions"
    image_tag   = null
  }

  override_data {
    target = data.kubernetes_resources.door
    values = {
      objects = [{ status = { loadBalancer = { ingress = [{ hostname = "internal-k8s-staging-shop-0000.eu-central-1.elb.amazonaws.com" }] } } }]
    }
  }

  assert {
    condition     = output.url == "https://shop.example.com" && data.kubernetes_resources.door.kind == "Ingress" && output.address == "internal-k8s-staging-shop-0000.eu-central-1.elb.amazonaws.com" && length(aws_route53_record.this) == 0
    error_message = "With an Ingress the URL is its host's; the record to it is terraform/aws_infra's."
  }
}
