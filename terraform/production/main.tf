# Production: charts/service with values-production.yaml, by the digest of image_tag. Everything that is set here and not in
# terraform/staging/main.tf is what makes production different; the rest of the two directories is the same, file by file.

locals {
  environment  = "production"
  cluster_name = var.cluster_layout == "shared" ? var.name : "${var.name}-${local.environment}"
}

module "service" {
  source = "../modules/service"

  environment       = local.environment
  require_promotion = true # only what promote has tagged: staging has proved that digest

  name               = var.name
  cluster_name       = data.aws_eks_cluster.this.name
  repository         = var.repository
  image_tag          = var.image_tag
  require_commit_tag = var.require_commit_tag
  release            = var.release
  namespace          = var.namespace
  deploy_with        = var.deploy_with
  application        = var.application
  replace_digest     = var.replace_digest
  ignore_pin         = var.ignore_pin
  timeout_seconds    = var.timeout_seconds
  deployer_rules     = var.deployer_rules
  reader_groups      = var.reader_groups
  secrets            = var.secrets
  default_deny       = var.default_deny
  zone_id            = var.zone_id
}

# Further services, as terraform/aws_infra has them: each with its namespace, rights, secrets and, if Terraform deploys, release.
module "services" {
  source   = "../modules/service"
  for_each = var.services

  environment       = local.environment
  require_promotion = true

  name               = var.name
  service            = each.key
  cluster_name       = data.aws_eks_cluster.this.name
  repository         = coalesce(each.value.repository, each.key)
  image_tag          = each.value.image_tag
  require_commit_tag = var.require_commit_tag
  release            = each.value.release
  namespace          = each.value.namespace
  values_file        = "${path.module}/values-${each.key}.yaml"
  deploy_with        = var.deploy_with
  timeout_seconds    = var.timeout_seconds
  deployer_rules     = var.deployer_rules
  reader_groups      = var.reader_groups
  secrets            = var.secrets
  default_deny       = var.default_deny
}
