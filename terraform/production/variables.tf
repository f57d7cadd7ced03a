# ── What and where ──────────────────────────────────────────────────────────────────────────────────────────────────────

variable "name" {
  description = "The `name` of terraform/aws_infra."
  type        = string
  default     = "onedigest"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "name must be 3 to 20 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "AWS region of the cluster and the registry."
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

variable "cluster_layout" {
  description = "The `cluster_layout` of terraform/aws_infra: `shared`, cluster NAME, or `per-environment`, cluster NAME-ENVIRONMENT."
  type        = string
  default     = "shared"
  nullable    = false

  validation {
    condition     = contains(["shared", "per-environment"], var.cluster_layout)
    error_message = "cluster_layout must be shared or per-environment."
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

# ── The service. The domains are checked by terraform/modules/service, which also says more about each. ───────────────────

variable "repository" {
  description = "ECR repository of the image, its name without the registry's host."
  type        = string
  default     = "shop"
  nullable    = false
}

variable "image_tag" {
  description = "Tag of the image to run, resolved to its digest: a commit, ENVIRONMENT-COMMIT, or another such as 1.0.0-prod. Required if Terraform deploys."
  type        = string
  default     = null

  # What terraform/modules/service asks too, said here so that nothing is read before.
  validation {
    condition     = var.image_tag == null ? true : can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag ${coalesce(var.image_tag, "null")} is not a tag (at most 128 letters, digits, . _ and -), or is latest, which says nothing about the image and moves."
  }

  validation {
    condition     = var.image_tag == null || !var.require_commit_tag ? true : can(regex("^(${local.environment}-)?[0-9a-f]{40}$", var.image_tag))
    error_message = "image_tag ${coalesce(var.image_tag, "null")} is neither a commit (40 lower-case hex digits) nor ${local.environment}-COMMIT, which require_commit_tag asks for."
  }

  validation {
    condition     = (var.image_tag != null) == (var.deploy_with == "terraform")
    error_message = "image_tag must be given when deploy_with is terraform, and must not otherwise: then the actions choose the image."
  }
}

variable "require_commit_tag" {
  description = "Whether image_tag must be a commit or ENVIRONMENT-COMMIT."
  type        = bool
  default     = false
  nullable    = false
}

variable "release" {
  description = "Helm release. Empty: the last part of the repository's name, which is also the actions' default."
  type        = string
  default     = ""
  nullable    = false
}

variable "namespace" {
  description = "Namespace, the one that `environments` of terraform/aws_infra gives this environment. Empty: the environment's name."
  type        = string
  default     = ""
  nullable    = false
}

variable "deploy_with" {
  description = "Who owns the release: `terraform`, `actions`, or `argo-cd` for `deploy --via argo-cd`. Nobody else has the permissions. Read docs/aws.md, \"One release, one owner\", before changing it."
  type        = string
  default     = "terraform"
  nullable    = false

  validation {
    condition     = contains(["terraform", "actions", "argo-cd"], var.deploy_with)
    error_message = "deploy_with must be terraform, actions or argo-cd."
  }
}

variable "application" {
  description = "Argo CD's Application of the release, if argo-cd owns it. Empty: RELEASE-ENVIRONMENT."
  type        = string
  default     = ""
  nullable    = false
}

variable "replace_digest" {
  description = "The live digest, deployed by the actions, that image_tag may replace; without it Terraform does not replace it."
  type        = string
  default     = null
}

variable "ignore_pin" {
  description = "Deploy although a deliberate rollback has pinned the release at another commit."
  type        = bool
  default     = false
  nullable    = false
}

variable "timeout_seconds" {
  description = "How long Helm waits for the pods and the load balancer's address, in seconds, below five minutes; 0: it does not wait."
  type        = number
  default     = 280
  nullable    = false
}

variable "deployer_rules" {
  description = "Further rules of the deployer's Role, for a chart with other kinds than charts/service."
  type        = list(object({ apiGroups = list(string), resources = list(string), verbs = list(string) }))
  default     = []
  nullable    = false
}

variable "reader_groups" {
  description = "Kubernetes groups that may read the namespace, but not its Secrets."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "secrets" {
  description = "How often the cluster reads the application's secrets in Secrets Manager, which are set up if the values file names Secret RELEASE-ENVIRONMENT."
  type = object({
    refresh_interval = optional(string, "1h")
  })
  default  = {}
  nullable = false
}

variable "default_deny" {
  description = "Whether the namespace denies connections that no NetworkPolicy allows. Where pods run already: false until a deploy with `networkPolicy` has passed smoke, and before a rollback to a revision without it."
  type        = bool
  default     = true
  nullable    = false
}

variable "zone_id" {
  description = "Public Route 53 zone in which the values file's `service.hostname` gets its record: the `zone_id` of terraform/aws_infra. null: none is created."
  type        = string
  default     = null
}

variable "services" {
  description = "Further services by name, those of terraform/aws_infra's `services`: the repository in ECR (by default of the service's name), the tag to run if Terraform deploys, the Helm release and the namespace if they are not the default ones. The values are in values-SERVICE.yaml of this directory."
  type = map(object({
    repository = optional(string)
    image_tag  = optional(string)
    release    = optional(string, "")
    namespace  = optional(string, "")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for service in keys(var.services) : fileexists("${path.module}/values-${service}.yaml")])
    error_message = "services: ${join(", ", [for service in keys(var.services) : "values-${service}.yaml" if !fileexists("${path.module}/values-${service}.yaml")])} is missing in this directory."
  }
}
