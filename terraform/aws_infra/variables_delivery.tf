# ── Images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "ecr_repositories" {
  description = "ECR repositories for the services' images, one for each service. By default, the last part of the name is the name of the Helm release."
  type        = list(string)
  default     = ["shop"]
  nullable    = false

  validation {
    condition     = length(var.ecr_repositories) > 0 && length(distinct(var.ecr_repositories)) == length(var.ecr_repositories)
    error_message = "ecr_repositories must name at least one repository, each once."
  }

  # ECR, CreateRepository, repositoryName.
  validation {
    condition = alltrue([
      for name in var.ecr_repositories :
      can(regex("^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", name)) && length(name) >= 2 && length(name) <= 239
    ])
    error_message = "ecr_repositories: a name is 2 to 239 characters: lower-case letters, digits and single . _ - / between them, without the registry's host and without a tag."
  }

  # Where a repository's name begins so, its tags count in that environment (ecr_promoted.tf).
  validation {
    condition     = alltrue([for name in var.ecr_repositories : !contains(concat(keys(var.environments), var.environments_above), split("/", name)[0]) || !strcontains(name, "/")])
    error_message = "ecr_repositories: ENVIRONMENT/… is where the promoted images of that environment are, and the jobs that build write to these."
  }
}

variable "ecr_moving_tags" {
  description = <<-EOT
    Tags that may move from one image to another (promote's `moving-tag`). Every other tag is immutable.
    Empty: none may move. Only full names: a wildcard could let the tag of a commit or of a release move.
  EOT
  type        = list(string)
  default     = ["staging", "production"]
  nullable    = false

  validation {
    condition     = length(var.ecr_moving_tags) <= 5 && length(distinct(var.ecr_moving_tags)) == length(var.ecr_moving_tags)
    error_message = "ecr_moving_tags: ECR takes at most 5, each once."
  }

  validation {
    condition     = alltrue([for tag in var.ecr_moving_tags : can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", tag))])
    error_message = "ecr_moving_tags must be tags as they are, of at most 128 letters, digits, . _ -; a wildcard (*) is refused."
  }

  validation {
    condition = alltrue([
      for tag in var.ecr_moving_tags : !can(regex("^([a-z0-9-]+-)?[0-9a-f]{40}$", tag)) && !strcontains(tag, "-dirty-")
    ])
    error_message = "ecr_moving_tags: the tag of a commit (40 hexadecimal digits) or of a release (environment-commit) never moves."
  }
}

variable "ecr_dirty_days" {
  description = <<-EOT
    Days after which an image that was built from uncommitted changes (tag <commit>-dirty-<time>) expires, even while it is in use: such
    images are for manual trials. No other image ever expires. null: these images do not expire either.
  EOT
  type        = number
  default     = 30

  validation {
    condition     = var.ecr_dirty_days == null || try(var.ecr_dirty_days >= 1 && var.ecr_dirty_days <= 3650 && floor(var.ecr_dirty_days) == var.ecr_dirty_days, false)
    error_message = "ecr_dirty_days must be a whole number from 1 to 3650, or null."
  }
}

variable "ecr_pull_account_ids" {
  description = "Other accounts that may pull from the repositories, such as that of a production cluster elsewhere. Their roles need ECR's read actions as well."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.ecr_pull_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "ecr_pull_account_ids must be account ids of 12 digits; a wildcard would let everybody pull."
  }
}

# ── GitHub ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "github_oidc_provider_arn" {
  description = "The account's OIDC provider for GitHub, if it exists already: an account can have one per issuer. null: it is created here."
  type        = string
  default     = null

  validation {
    condition     = var.github_oidc_provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.github_oidc_provider_arn))
    error_message = "github_oidc_provider_arn must be the ARN of the provider token.actions.githubusercontent.com: tokens of another provider are not issued by GitHub."
  }
}

variable "github_branch" {
  description = "The branch whose jobs build: only they may push images that environments run."
  type        = string
  default     = "main"
  nullable    = false

  # Stricter than git check-ref-format: the name is part of a token's subject, where `:` parts and `*` `?` could match more.
  validation {
    condition = (
      can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$", var.github_branch)) && !can(regex("\\.\\.|//|/\\.|\\.lock(/|$)|[./]$", var.github_branch)) &&
      !startswith(var.github_branch, "refs/")
    )
    error_message = "github_branch must be a branch's name without refs/heads/, of letters, digits and . _ - /; a wildcard or a colon is refused."
  }
}

variable "github_subject_forms" {
  description = <<-EOT
    How GitHub names the repository in the tokens' subject. `name`: repo:OWNER/REPOSITORY:…, for repositories created before mid-July 2026
    and not renamed since. `id`: repo:OWNER@ID/REPOSITORY@ID:…, for newer ones and those that opted in; needs github_owner_id and
    github_repository_id. Both: only while a repository changes from one to the other.
  EOT
  type        = set(string)
  default     = ["name"]
  nullable    = false

  validation {
    condition     = length(var.github_subject_forms) > 0 && length(setsubtract(var.github_subject_forms, ["name", "id"])) == 0
    error_message = "github_subject_forms must be name, id or both."
  }

  validation {
    condition     = !contains(var.github_subject_forms, "id") || (var.github_owner_id != null && var.github_repository_id != null)
    error_message = "github_subject_forms: the form id needs github_owner_id and github_repository_id."
  }

  validation {
    condition     = contains(var.github_subject_forms, "id") || (var.github_owner_id == null && var.github_repository_id == null)
    error_message = "github_subject_forms: github_owner_id and github_repository_id are of no use without the form id."
  }
}

variable "github_owner_id" {
  description = "GitHub's number for the repository's owner (gh api repos/OWNER/REPOSITORY --jq .owner.id), for github_subject_forms = id."
  type        = string
  default     = null

  validation {
    condition     = var.github_owner_id == null || can(regex("^[1-9][0-9]{0,18}$", var.github_owner_id))
    error_message = "github_owner_id must be a number without sign, wildcard or leading zero."
  }
}

variable "github_repository_id" {
  description = "GitHub's number for the repository (gh api repos/OWNER/REPOSITORY --jq .id), for github_subject_forms = id."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository_id == null || can(regex("^[1-9][0-9]{0,18}$", var.github_repository_id))
    error_message = "github_repository_id must be a number without sign, wildcard or leading zero."
  }
}

variable "github_connection_arn" {
  description = <<-EOT
    The connection to GitHub (AWS CodeConnections) by which CodeBuild runs the deploy jobs in the private subnets: the output
    `github_connection` of terraform/bootstrap, after it was authorised. null: no runners are made.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.github_connection_arn == null || can(regex("^arn:aws[a-z-]*:codeconnections:[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]{36}$", var.github_connection_arn))
    error_message = "github_connection_arn must be the ARN of a connection, such as arn:aws:codeconnections:eu-central-1:123456789012:connection/11111111-2222-3333-4444-555555555555."
  }
}

variable "runner_size" {
  description = "CodeBuild's name for the size of a runner: BUILD_GENERAL1_SMALL (2 vCPU, 4 GiB), BUILD_GENERAL1_MEDIUM (4 vCPU, 8 GiB) or BUILD_GENERAL1_LARGE (8 vCPU, 16 GiB)."
  type        = string
  default     = "BUILD_GENERAL1_MEDIUM"
  nullable    = false

  validation {
    condition     = contains(["BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE"], var.runner_size)
    error_message = "runner_size must be BUILD_GENERAL1_SMALL, BUILD_GENERAL1_MEDIUM or BUILD_GENERAL1_LARGE."
  }
}

variable "runner_workflows" {
  description = "Names of the workflows whose jobs get a runner."
  type        = list(string)
  default     = ["deployment", "promote"]
  nullable    = false

  validation {
    condition     = length(var.runner_workflows) > 0 && alltrue([for name in var.runner_workflows : can(regex("^[A-Za-z0-9 _-]+$", name))])
    error_message = "runner_workflows must name at least one workflow, with letters, digits, spaces, _ and -."
  }
}

variable "ladder" {
  description = <<-EOT
    The environments in the order of promotion, lowest first: the role of each may check the evidence of those below, and the
    highest uses `domain` itself. null: all others by name, then staging, then production.
  EOT
  type        = list(string)
  default     = null

  validation {
    condition = var.ladder == null || try(
      length(var.ladder) == length(var.environments) && length(setsubtract(keys(var.environments), var.ladder)) == 0, false
    )
    error_message = "ladder must name every environment of var.environments, each once."
  }
}

variable "evidence_signer_arns" {
  description = <<-EOT
    By environment, roles besides that of its jobs that may sign its evidence: of the people who deploy there with Terraform and prove it by
    hand (output `prove` of terraform/ENVIRONMENT). Empty: the jobs alone.
  EOT
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.evidence_signer_arns), keys(var.environments))) == 0
    error_message = "evidence_signer_arns names an environment that var.environments does not have."
  }

  validation {
    condition     = alltrue([for arn in flatten([for arns in values(var.evidence_signer_arns) : tolist(arns)]) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "evidence_signer_arns must be ARNs of IAM roles, without a wildcard."
  }
}

# ── Further services ────────────────────────────────────────────────────────────────────────────────────────────────────

variable "services" {
  description = <<-EOT
    Services besides the one of github_repository, by name: the GitHub repository (which may be the same one) whose jobs build and deploy it,
    with its numbers if its tokens carry them (github_subject_forms), its repositories in ECR (by default one of the service's name), and its
    namespaces by environment (by default SERVICE-ENVIRONMENT). Each gets roles, keys and secrets of its own.
  EOT
  type = map(object({
    github_repository    = string
    github_owner_id      = optional(string)
    github_repository_id = optional(string)
    ecr_repositories     = optional(list(string), [])
    namespaces           = optional(map(string), {})
  }))
  default  = {}
  nullable = false

  # The names of roles, which have at most 64 characters, begin with `name` and this. Without a hyphen, SERVICE-ENVIRONMENT is one pair only.
  validation {
    condition     = alltrue([for service in keys(var.services) : can(regex("^[a-z][a-z0-9]{1,15}$", service)) && !contains(["build", "plan", "deploy", "runner"], service)])
    error_message = "services: a name is 2 to 16 lower-case letters and digits, beginning with a letter, and none of build, plan, deploy and runner, which are in the names of other roles."
  }

  validation {
    condition     = alltrue([for service in keys(var.services) : alltrue([for environment in keys(var.environments) : environment != service && !startswith(environment, "${service}-")])])
    error_message = "services: an environment has the name of a service, or begins with it and a hyphen."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) :
      can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$", service.github_repository)) && !can(regex("/\\.{1,2}$", service.github_repository))
    ])
    error_message = "services: github_repository must be owner/name, without a host, a wildcard or a trailing part."
  }

  validation {
    condition = alltrue(flatten([
      for service in values(var.services) : [
        (service.github_owner_id == null) == (service.github_repository_id == null),
        [for id in compact([service.github_owner_id, service.github_repository_id]) : can(regex("^[1-9][0-9]{0,18}$", id))],
      ]
    ]))
    error_message = "services: github_owner_id and github_repository_id are numbers, given together or not at all."
  }

  validation {
    condition = alltrue([
      for name in flatten([for service in values(var.services) : service.ecr_repositories]) :
      can(regex("^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", name)) && length(name) >= 2 && length(name) <= 239
    ])
    error_message = "services: an ECR repository's name is 2 to 239 characters: lower-case letters, digits and single . _ - / between them."
  }

  validation {
    condition = alltrue([
      for name in flatten([for service in values(var.services) : service.ecr_repositories]) : !contains(concat(keys(var.environments), var.environments_above), split("/", name)[0]) || !strcontains(name, "/")
    ])
    error_message = "services: an ECR repository ENVIRONMENT/… is where the promoted images of that environment are, and the jobs that build write to these."
  }

  validation {
    condition = (
      length(distinct(concat(var.ecr_repositories, flatten([for service, settings in var.services : coalescelist(settings.ecr_repositories, [service])])))) ==
      length(concat(var.ecr_repositories, flatten([for service, settings in var.services : coalescelist(settings.ecr_repositories, [service])])))
    )
    error_message = "services: an ECR repository belongs to one service: with two, the jobs of one could push what the other runs."
  }

  validation {
    condition = alltrue(flatten([
      for service in values(var.services) : [
        for environment, namespace in service.namespaces : contains(keys(var.environments), environment) &&
        can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", namespace)) && !startswith(namespace, "kube-") && namespace != "default"
      ]
    ]))
    error_message = "services: namespaces are by environment, each a DNS label (lower case, digits, hyphens, at most 63 characters), and neither default nor kube-*."
  }

  validation {
    condition = length(distinct(concat(
      values(var.environments)[*].namespace,
      flatten([for service, settings in var.services : [for environment in keys(var.environments) : lookup(settings.namespaces, environment, "${service}-${environment}")]]),
    ))) == length(var.environments) * (1 + length(var.services))
    error_message = "services: each service needs a namespace of its own in each environment; what may deploy to one would otherwise deploy to the other."
  }
}
