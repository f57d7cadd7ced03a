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
      can(regex("^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", name)) && length(name) >= 2 && length(name) <= 256
    ])
    error_message = "ecr_repositories: a name is 2 to 256 characters: lower-case letters, digits and single . _ - / between them, without the registry's host and without a tag."
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
