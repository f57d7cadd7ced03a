variable "name" {
  description = "Prefix of all names in this directory: clusters, roles, keys, repositories. Two installations in one account need two names."
  type        = string
  default     = "onedigest"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "name must be 3 to 20 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "AWS region of all resources, for example eu-central-1."
  type        = string
  default     = "eu-central-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2,4}(-[a-z]+)+-[1-9]$", var.region))
    error_message = "region must be the code of an AWS region, such as eu-central-1."
  }
}

variable "allowed_account_ids" {
  description = "Accounts that this may be applied to; with other credentials Terraform stops before it reads anything. null: any."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for id in coalesce(var.allowed_account_ids, []) : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be account ids of 12 digits."
  }
}

variable "environments" {
  description = <<-EOT
    The environments, by name, each with its Kubernetes namespace. The names are those of the GitHub environments and of the
    actions' `environment` input.
  EOT
  type = map(object({
    namespace = string
  }))
  default = {
    staging    = { namespace = "staging" }
    production = { namespace = "production" }
  }
  nullable = false

  validation {
    condition     = length(var.environments) > 0
    error_message = "environments must name at least one environment."
  }

  validation {
    condition = alltrue([
      for name in keys(var.environments) : can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", name)) && length(name) <= 16
    ])
    error_message = "environments: a name is at most 16 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }

  # AWS_ROLE_BUILD and the role NAME-build are the builds', AWS_ROLE_PLAN is the plan's, and jobs in the GitHub environment ENVIRONMENT-plan
  # assume NAME-plan-ENVIRONMENT; NAME-deploy-… and NAME-runner-… are other roles'.
  validation {
    condition     = alltrue([for name in keys(var.environments) : !contains(["build", "plan", "deploy", "runner"], name) && !endswith(name, "-plan")])
    error_message = "environments: ${join(", ", [for name in keys(var.environments) : name if contains(["build", "plan", "deploy", "runner"], name) || endswith(name, "-plan")])} would have a name of the roles that build, plan, deploy or run jobs: none is called build, plan, deploy or runner, or ends in -plan."
  }

  validation {
    condition = alltrue([
      for environment in values(var.environments) :
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", environment.namespace)) &&
      !startswith(environment.namespace, "kube-") && environment.namespace != "default"
    ])
    error_message = "environments: a namespace is a DNS label (lower case, digits, hyphens, at most 63 characters), and neither default nor kube-*."
  }

  validation {
    condition     = length(distinct(values(var.environments)[*].namespace)) == length(var.environments)
    error_message = "environments: each needs a namespace of its own; what may deploy to one would otherwise deploy to the other."
  }
}

variable "environments_above" {
  description = <<-EOT
    Where each environment has a state of its own: the environments above these, lowest first. The highest of them has what the highest has
    otherwise: the role that plans, the repositories for what is promoted, and `domain` itself.
  EOT
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = length(setintersection(var.environments_above, keys(var.environments))) == 0 && length(distinct(var.environments_above)) == length(var.environments_above) && alltrue([
      for name in var.environments_above : can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", name)) && length(name) <= 16
    ])
    error_message = "environments_above names other environments than environments does, each once, by names that environments would take."
  }
}

variable "below" {
  description = <<-EOT
    Where each environment has a state of its own in this account: the output `below` of the state below. The repositories, the roles and keys of
    the builds and GitHub's identity provider are then that state's, and the jobs here may use its repositories and check with its keys. It needs a
    `name` of its own. null: all of this is made here.
  EOT
  type = object({
    repositories             = map(object({ arn = string, url = string }))
    build_keys               = map(string)
    evidence_keys            = map(string)
    github_oidc_provider_arn = string
  })
  default = null

  validation {
    condition = var.below == null ? true : alltrue([
      for name in concat(var.ecr_repositories, flatten([for service, settings in var.services : coalescelist(settings.ecr_repositories, [service])])) : contains(keys(var.below.repositories), name)
      ]) && alltrue([
      for service in concat(["build"], [for service in keys(var.services) : "${service}/build"]) : contains(keys(var.below.build_keys), service)
    ])
    error_message = "below lacks a repository or a service that this state names: ecr_repositories and services are those of the state below, so add them there first."
  }

  # Of another account, a key's policy lets nobody here check with it, and a repository's lets nobody push.
  validation {
    condition = var.below == null ? true : length(distinct([
      for arn in concat(values(var.below.repositories)[*].arn, values(var.below.build_keys), values(var.below.evidence_keys), [var.below.github_oidc_provider_arn]) : split(":", arn)[4]
    ])) == 1 && (var.allowed_account_ids == null ? true : contains(var.allowed_account_ids, split(":", var.below.github_oidc_provider_arn)[4]))
    error_message = "below is of another account: there, promote copies into a repository of its own (docs/aws.md)."
  }

  validation {
    condition     = var.below == null ? true : !anytrue([for key in keys(var.below.evidence_keys) : contains(keys(var.environments), reverse(split("/", key))[0])])
    error_message = "below has an environment of environments already: each has one state."
  }
}

variable "cluster_layout" {
  description = <<-EOT
    `shared`: one cluster, environments separated by namespace and access scope (a control plane costs about
    73 USD a month). `per-environment`: one cluster each, so that an upgrade or an outage of one does not affect the others.
    Changing it creates new clusters and destroys the old ones.
  EOT
  type        = string
  default     = "shared"
  nullable    = false

  validation {
    condition     = contains(["shared", "per-environment"], var.cluster_layout)
    error_message = "cluster_layout must be shared or per-environment."
  }
}

variable "github_repository" {
  description = "The repository whose workflows build and deploy, as owner/name."
  type        = string
  nullable    = false

  validation {
    condition = (
      can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$", var.github_repository)) &&
      !can(regex("/\\.{1,2}$", var.github_repository))
    )
    error_message = "github_repository must be owner/name, without a host, a wildcard or a trailing part."
  }
}

variable "domain" {
  description = "The DNS name under which the service is reached, for example shop.example.com. Empty: no certificate and no HTTPS."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.domain == "" || (can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.domain)) && length(var.domain) <= 253)
    error_message = "domain must be a DNS name in lower case without scheme, port, wildcard or final dot, such as shop.example.com."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that is told when a certificate is about to expire, in this region. Required with `domain`."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:${var.region}:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of a standard SNS topic in ${var.region} (arn:aws:sns:${var.region}:123456789012:alerts)."
  }

  validation {
    condition     = var.domain == "" || var.alarm_topic_arn != null
    error_message = "alarm_topic_arn is missing: with a domain there are certificates, and somebody has to be told if one is not renewed."
  }
}

variable "local_state" {
  description = "Whether a state in this directory is meant, as for a trial. Otherwise every plan warns of it until backend.tf exists (backend.tf.example)."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags for all resources that support tags, in addition to those that name their origin."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for key, value in var.tags :
      length(key) >= 1 && length(key) <= 128 && length(value) <= 256 && !startswith(lower(key), "aws:")
    ])
    error_message = "tags: a key has 1 to 128 characters and does not begin with aws:, a value has at most 256."
  }

  # Tag Editor, "Tag naming limits and requirements": what every service accepts.
  validation {
    condition     = alltrue([for text in concat(keys(var.tags), values(var.tags)) : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$", text))])
    error_message = "tags: keys and values are of letters, digits, spaces and _ . : / = + - @."
  }
}
