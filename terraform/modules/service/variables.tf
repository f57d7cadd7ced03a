# ── What runs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "environment" {
  description = "The environment. Its values file must exist: terraform/ENVIRONMENT/values-ENVIRONMENT.yaml."
  type        = string
  nullable    = false

  validation {
    condition = (
      can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.environment)) &&
      fileexists("${path.module}/../../${var.environment}/values-${var.environment}.yaml")
    )
    error_message = "environment ${jsonencode(var.environment)} is unknown: there is no terraform/ENVIRONMENT/values-ENVIRONMENT.yaml for it."
  }
}

variable "values_file" {
  description = "Values file. null: terraform/ENVIRONMENT/values-ENVIRONMENT.yaml, the file that the workflows pass to the deploy action; with another file, Terraform and the actions would deploy different releases."
  type        = string
  default     = null

  validation {
    condition     = var.values_file == null || try(fileexists(var.values_file), false)
    error_message = "values_file ${coalesce(var.values_file, "null")} is not there."
  }
}

variable "repository" {
  description = "ECR repository of the image, its name without the registry's host, for example onedigest/shop."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.repository)) && length(var.repository) >= 2 && length(var.repository) <= 256
    error_message = "repository must be the name of an ECR repository (lower case, without the registry's host and without a tag), such as onedigest/shop."
  }
}

variable "image_tag" {
  description = <<-EOT
    Tag of the image to run, of any form: a commit, ENVIRONMENT-COMMIT, 1.0.0-prod. The tag is resolved to a digest, and the release is pinned
    to that digest. The commit is the tag's, or else read from the image's other tags. Must be null unless `deploy_with` is `terraform`.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.image_tag != "latest"
    error_message = "image_tag latest says nothing about the image and moves: give a commit, ${var.environment}-COMMIT or a version."
  }

  # OCI distribution specification, "Pulling manifests": the form of a tag.
  validation {
    condition     = var.image_tag == null ? true : can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag))
    error_message = "image_tag ${coalesce(var.image_tag, "null")} is not a tag: at most 128 letters, digits, . _ and -, not beginning with . or -."
  }

  validation {
    condition = (
      var.image_tag == null || !var.require_commit_tag ? true :
      var.image_tag == "latest" || can(regex("^(${var.environment}-)?[0-9a-f]{40}$", var.image_tag))
    )
    error_message = "image_tag ${coalesce(var.image_tag, "null")} is neither a commit (40 lower-case hex digits) nor ${var.environment}-COMMIT, which require_commit_tag asks for."
  }

  validation {
    condition     = (var.image_tag != null) == (var.deploy_with == "terraform")
    error_message = "image_tag must be given when deploy_with is terraform, and must not otherwise: then the actions choose the image."
  }
}

variable "require_commit_tag" {
  description = "Whether image_tag must be a commit or ENVIRONMENT-COMMIT, so that the command line shows which commit is deployed."
  type        = bool
  default     = false
  nullable    = false
}

variable "require_promotion" {
  description = "Whether to look the tag up in ECR repository ENVIRONMENT/`repository`, to which only those who promote may write, and to refuse an image that `promote` has not tagged ENVIRONMENT-COMMIT there. `promote --target-repository` copies it there and sets the tag after it has checked the evidence."
  type        = bool
  default     = false
  nullable    = false
}

# ── Where ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "name" {
  description = "The `name` of terraform/aws_infra: the prefix of all names that are looked up or created here."
  type        = string
  nullable    = false
}

variable "service" {
  description = "The service's name in `services` of terraform/aws_infra; empty for the first, which has none."
  type        = string
  default     = ""
  nullable    = false
}

variable "cluster_name" {
  description = "EKS cluster that this runs on, for the outputs' commands."
  type        = string
  nullable    = false
}

variable "namespace" {
  description = "Namespace of the release. Empty: the environment's name, which is also the actions' default."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = var.namespace == "" || (
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace)) && !startswith(var.namespace, "kube-") && var.namespace != "default"
    )
    error_message = "namespace must be a DNS label (lower case, digits, hyphens, at most 63 characters), and neither default nor kube-*."
  }
}

variable "release" {
  description = "Helm release. Empty: the last part of the repository's name, which is also the actions' default."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.release == "" || can(regex("^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$", var.release))
    error_message = "release must be a DNS label of at most 53 characters, which is Helm's limit."
  }

  validation {
    condition     = var.release != "" || can(regex("^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$", basename(var.repository)))
    error_message = "the last part of repository is not a valid name for a Helm release (a DNS label of at most 53 characters): give release."
  }
}

# ── Who deploys ─────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "deploy_with" {
  description = <<-EOT
    Who owns the release. `terraform`: this module installs and upgrades it. `actions`: GitHub Actions do, by Helm. `argo-cd`: Argo CD does
    (terraform/platform), and the actions commit the digest (docs/gitops.md). Terraform keeps the namespace, the rights and the secrets' source
    in any case, and gives only the owner what a deploy needs. Read docs/aws.md, "One release, one owner", before changing it.
  EOT
  type        = string
  default     = "terraform"
  nullable    = false

  validation {
    condition     = contains(["terraform", "actions", "argo-cd"], var.deploy_with)
    error_message = "deploy_with must be terraform, actions or argo-cd."
  }
}

variable "application" {
  description = "Argo CD's Application of the release, if argo-cd owns it; a deploy may read it and not change it, so Argo CD reads the repository at its next poll or by a webhook. Empty: RELEASE-ENVIRONMENT."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.application == "" || can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.application))
    error_message = "application must be a DNS label."
  }
}

variable "replace_digest" {
  description = <<-EOT
    The live digest, deployed by the actions, that `image_tag` may replace. Without it Terraform does not replace what the actions
    deployed. It refuses a digest that is not the live one, because something was deployed since you looked.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.replace_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.replace_digest))
    error_message = "replace_digest must be sha256: and 64 lower-case hex digits."
  }
}

variable "ignore_pin" {
  description = "Deploy although a deliberate rollback has pinned the release at another commit. The pin stays; `deploy --unpin` removes it."
  type        = bool
  default     = false
  nullable    = false
}

variable "timeout_seconds" {
  description = <<-EOT
    How long Helm waits for the pods and the load balancer's address, in seconds. 0: it does not wait, and smoke checks readiness. Must be less
    than five minutes: after that time the actions treat a release that another Helm has left pending as abandoned, and deploy over it.
  EOT
  type        = number
  default     = 280
  nullable    = false

  validation {
    condition     = var.timeout_seconds == 0 || (var.timeout_seconds >= 30 && var.timeout_seconds <= 290 && floor(var.timeout_seconds) == var.timeout_seconds)
    error_message = "timeout_seconds must be 0 or a whole number from 30 to 290: after 300 the actions would treat a running rollout as abandoned."
  }
}

# ── Rights ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "deployer_groups" {
  description = "Kubernetes groups that may deploy to the namespace. null: NAME-deploy-ENVIRONMENT, the group of the deploy role that terraform/aws_infra makes, and none if Terraform owns the release."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for group in coalesce(var.deployer_groups, []) : group != "" && !startswith(group, "system:")])
    error_message = "deployer_groups: a group has a name, and system:* belongs to Kubernetes (system:authenticated would be everybody)."
  }
}

variable "planner_groups" {
  description = "Kubernetes groups that may do what a deployer does as a dry run only. null: NAME-plan-ENVIRONMENT where a promotion is required and Terraform does not own the release, the group of the plan role that terraform/aws_infra makes."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for group in coalesce(var.planner_groups, []) : group != "" && !startswith(group, "system:")])
    error_message = "planner_groups: a group has a name, and system:* belongs to Kubernetes (system:authenticated would be everybody)."
  }
}

variable "deployer_rules" {
  description = "Further rules of the deployer's Role, for a chart with other kinds than charts/service: see docs/rbac/role.yaml."
  type        = list(object({ apiGroups = list(string), resources = list(string), verbs = list(string) }))
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for rule in var.deployer_rules : !contains(rule.verbs, "*") && !contains(rule.resources, "*") && !contains(rule.apiGroups, "*") &&
      length(setintersection(rule.resources, ["pods/exec", "pods/attach", "pods/ephemeralcontainers", "serviceaccounts/token"])) == 0 &&
      length(setintersection(rule.verbs, ["impersonate", "escalate", "bind"])) == 0
    ])
    error_message = "deployer_rules: no wildcards, and no way into a container or to more permissions: name the chart's kinds."
  }
}

variable "reader_groups" {
  description = "Kubernetes groups that may read the namespace, its logs and its configuration, but not its Secrets."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for group in var.reader_groups : group != "" && !startswith(group, "system:")])
    error_message = "reader_groups: a group has a name, and system:* belongs to Kubernetes (system:authenticated would be everybody)."
  }
}

# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "secrets" {
  description = <<-EOT
    How often the cluster reads the application's secrets. If the values file names Secret RELEASE-ENVIRONMENT under `existingSecrets`, there is a
    secret NAME/ENVIRONMENT/RELEASE in Secrets Manager, empty until somebody puts a JSON object of strings there, and an ExternalSecret
    that copies it into that Secret.
  EOT
  type = object({
    refresh_interval = optional(string, "1h")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[1-9][0-9]{0,3}[mh]$", var.secrets.refresh_interval))
    error_message = "secrets.refresh_interval must be a number of minutes or hours above 0, such as 15m or 1h."
  }
}

# ── Network ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "default_deny" {
  description = <<-EOT
    Whether the namespace denies connections that no NetworkPolicy allows. Right for a new environment. Where pods run already, false until a
    deploy with `networkPolicy` in its values has passed smoke: before that nothing would allow connections to them. It outlives a rollback:
    to a revision without `networkPolicy`, set it to false first.
  EOT
  type        = bool
  default     = true
  nullable    = false
}

# ── Address ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

variable "zone_id" {
  description = <<-EOT
    Public Route 53 zone in which the values file's `service.hostname` gets a record for the load balancer: the `zone_id` of
    terraform/aws_infra. null: no record is created here. With the edge, terraform/aws_infra creates the record.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null || can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "zone_id must be a hosted zone's id, such as Z0123456789ABCDEFGHIJ, without /hostedzone/."
  }

  validation {
    condition     = var.zone_id == null || local.service.hostname != ""
    error_message = "zone_id is given, but the values file has no service.hostname to create a record for."
  }
}
