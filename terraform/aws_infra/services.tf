# What each service has for itself in each environment. The first service is that of github_repository and ecr_repositories, and what is
# made for it has the environment's name; further ones (var.services) have their own name in front of it. No service's jobs can push
# to another's repositories, sign for it, deploy to its namespace or read its secrets.

locals {
  deployments = merge(
    {
      for environment, settings in var.environments : environment => {
        service     = "" # the first
        environment = environment
        namespace   = settings.namespace
        name        = environment
        role        = "deploy-${environment}"
        plan        = "plan-${environment}"
        reader      = "${environment}-${local.secrets_reader}"
        secrets     = environment
      }
    },
    merge([
      for service, settings in var.services : {
        for environment in keys(var.environments) : "${service}/${environment}" => {
          service     = service
          environment = environment
          namespace   = lookup(settings.namespaces, environment, "${service}-${environment}")
          name        = "${service}-${environment}"
          role        = "${service}-deploy-${environment}"
          plan        = "${service}-plan-${environment}"
          reader      = "${service}-${environment}-secrets"
          secrets     = "${service}/${environment}"
        }
      }
    ]...),
  )

  # By service and environment: the key in local.deployments.
  keys = {
    for service in concat([""], keys(var.services)) : service => {
      for environment in keys(var.environments) : environment => service == "" ? environment : "${service}/${environment}"
    }
  }

  # By service: its repositories in ECR.
  service_repositories = merge(
    { "" = var.ecr_repositories },
    { for service, settings in var.services : service => coalescelist(settings.ecr_repositories, [service]) },
  )

  # By service: how GitHub's tokens begin that belong to its repository.
  github_heads = {
    for service, it in merge(
      { "" = { repository = var.github_repository, forms = var.github_subject_forms, owner_id = var.github_owner_id, repository_id = var.github_repository_id } },
      {
        for service, settings in var.services : service => {
          repository    = settings.github_repository
          forms         = settings.github_repository_id == null ? toset(["name"]) : toset(["id"])
          owner_id      = settings.github_owner_id
          repository_id = settings.github_repository_id
        }
      },
      ) : service => concat(
      contains(it.forms, "name") ? ["repo:${it.repository}"] : [],
      contains(it.forms, "id") ? [
        "repo:${split("/", it.repository)[0]}@${coalesce(it.owner_id, "none")}/${split("/", it.repository)[1]}@${coalesce(it.repository_id, "none")}"
      ] : [],
    )
  }
}

# ── A further service's builds ──────────────────────────────────────────────────────────────────────────────────────────

resource "aws_iam_role" "build_service" {
  for_each = local.makes_builds ? var.services : {}

  name                 = "${var.name}-${each.key}-build"
  description          = "GitHub jobs of service ${each.key} for ${var.github_branch}: push images"
  max_session_duration = 3600
  assume_role_policy   = local.github_trust[each.key]
}

resource "aws_iam_role_policy" "build_service" {
  for_each = local.makes_builds ? var.services : {}

  name   = "push"
  role   = aws_iam_role.build_service[each.key].id
  policy = local.build_policy[each.key]
}
