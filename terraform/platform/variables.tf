# ── Which cluster ───────────────────────────────────────────────────────────────────────────────────────────────────────

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
  description = "AWS region of the cluster."
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

variable "cluster_name" {
  description = <<-EOT
    The EKS cluster: NAME with the shared layout of terraform/aws_infra, NAME-ENVIRONMENT with a cluster for each environment. In that
    case this directory is applied once per cluster, with its own backend key.
  EOT
  type        = string
  nullable    = false

  validation {
    condition     = var.cluster_name == var.name || startswith(var.cluster_name, "${var.name}-")
    error_message = "cluster_name must be name itself (${var.name}) or begin with it and a hyphen (${var.name}-staging): terraform/aws_infra makes no other."
  }

  validation {
    condition     = length("${var.cluster_name}-logs-123456789012-${var.region}") <= 63
    error_message = "cluster_name is too long: the bucket of its logs, CLUSTER-logs-ACCOUNT-REGION, may have 63 characters."
  }
}

variable "environments" {
  description = "The environments of this cluster, by name, each with its namespace: the `environments` of terraform/aws_infra, or only the one that the cluster belongs to. A further service is one too, called SERVICE-ENVIRONMENT."
  type        = map(object({ namespace = string }))
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
    condition     = alltrue([for name in keys(var.environments) : can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", name)) && length(name) <= 33])
    error_message = "environments: a name is at most 33 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }

  validation {
    condition     = var.cluster_name == var.name || alltrue([for name in keys(var.environments) : endswith("-${name}", trimprefix(var.cluster_name, var.name))])
    error_message = "environments: cluster ${var.cluster_name} is one environment's own, so that environment and its services (SERVICE-ENVIRONMENT) alone live on it."
  }

  validation {
    condition = alltrue([
      for environment in values(var.environments) :
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", environment.namespace)) &&
      !startswith(environment.namespace, "kube-") && !contains(["default", "monitoring", "external-secrets", "argocd"], environment.namespace)
    ])
    error_message = "environments: a namespace is a DNS label, and none that belongs to Kubernetes or to an add-on."
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

# ── What is installed ───────────────────────────────────────────────────────────────────────────────────────────────────

variable "load_balancer_controller_replicas" {
  description = "Number of pods of the AWS Load Balancer Controller; one of them is active."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = contains([1, 2, 3], var.load_balancer_controller_replicas)
    error_message = "load_balancer_controller_replicas must be 1, 2 or 3."
  }
}

variable "cluster_autoscaler_image_tag" {
  description = "Version of the Cluster Autoscaler; its minor version must be the cluster's, because it predicts what that version's scheduler would do."
  type        = string
  default     = "v1.36.1"
  nullable    = false

  validation {
    condition     = can(regex("^v1\\.[0-9]{2}\\.[0-9]+$", var.cluster_autoscaler_image_tag))
    error_message = "cluster_autoscaler_image_tag must be a version such as v1.36.1."
  }
}

variable "argo_cd" {
  description = <<-EOT
    Argo CD; null, the default: it is not installed. `applications` are the releases that it applies, by the name of the Application: the environment, the
    Helm release, the configuration repository and its branch, the chart's directory there with its values files in their order, or, without values files,
    the directory of rendered manifests. `oidc` is how people sign in: `secret` names a Secret in namespace argocd with the key clientSecret and the label
    app.kubernetes.io/part-of=argocd, empty for a public client (PKCE). `viewers` and `operators` are groups of that issuer: operators may also sync. Nobody
    is an administrator. `kinds` are further kinds that the releases consist of, beside those of charts/service.
  EOT
  type = object({
    address = optional(string, "https://127.0.0.1:8443")
    oidc = optional(object({
      name      = optional(string, "SSO")
      issuer    = string
      client_id = string
      secret    = optional(string, "")
      scopes    = optional(list(string), ["openid", "profile", "email", "groups"])
    }))
    viewers   = optional(set(string), [])
    operators = optional(set(string), [])
    kinds     = optional(list(object({ group = string, kind = string })), [])
    applications = optional(map(object({
      environment = string
      release     = string
      repository  = string
      branch      = optional(string, "main")
      path        = string
      values      = optional(list(string), [])
    })), {})
  })
  default = null

  validation {
    condition     = var.argo_cd == null || !contains(keys(var.environments), "default")
    error_message = "argo_cd: no environment can be called default: an environment's project has its name, and Argo CD's project default is closed."
  }

  validation {
    condition     = alltrue([for name in keys(try(var.argo_cd.applications, {})) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "argo_cd.applications: a name is a DNS label."
  }

  validation {
    condition     = alltrue([for application in values(try(var.argo_cd.applications, {})) : contains(keys(var.environments), application.environment)])
    error_message = "argo_cd.applications: an Application's environment is one of environments."
  }

  validation {
    condition = length(distinct([
      for application in values(try(var.argo_cd.applications, {})) : "${application.environment}/${application.release}"
    ])) == length(try(var.argo_cd.applications, {}))
    error_message = "argo_cd.applications: two Applications apply the same release; one release has one owner."
  }

  validation {
    condition     = alltrue([for application in values(try(var.argo_cd.applications, {})) : can(regex("^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$", application.release))])
    error_message = "argo_cd.applications: release is a DNS label of at most 53 characters."
  }

  # A user in an https address could be a token, and this is no place for one.
  validation {
    condition = alltrue([
      for application in values(try(var.argo_cd.applications, {})) : can(regex("^(https://[A-Za-z0-9.-]+(:[0-9]+)?/[^@\\s*]+|ssh://([A-Za-z0-9_.-]+@)?[A-Za-z0-9.-]+(:[0-9]+)?/[^@\\s*]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^:@\\s*]+)$", application.repository))
    ])
    error_message = "argo_cd.applications: repository is https://…, ssh://… or git@host:path, without a password and without a pattern."
  }

  validation {
    condition = alltrue(flatten([
      for application in values(try(var.argo_cd.applications, {})) : [
        for path in concat([application.path], application.values) : can(regex("^[A-Za-z0-9_][A-Za-z0-9_./-]*$", path)) && !strcontains(path, "..") && !strcontains(path, "//")
      ]
    ]))
    error_message = "argo_cd.applications: path and values are paths from the repository's top, without a slash at the front and without \"..\"."
  }

  validation {
    condition     = alltrue([for application in values(try(var.argo_cd.applications, {})) : can(regex("^[A-Za-z0-9_][A-Za-z0-9_./-]*$", application.branch)) && application.branch != "HEAD"])
    error_message = "argo_cd.applications: branch names a branch."
  }

  validation {
    condition = alltrue([
      for each in try(var.argo_cd.kinds, []) : can(regex("^[A-Z][A-Za-z0-9]*$", each.kind)) && can(regex("^[a-z0-9.-]*$", each.group)) &&
      !(each.group == "" && each.kind == "Secret") && each.group != "rbac.authorization.k8s.io" && each.group != "argoproj.io"
    ])
    error_message = "argo_cd.kinds: a group and a kind, without patterns; Secrets, Roles and Argo CD's own objects do not come from a configuration repository."
  }

  validation {
    condition     = try(var.argo_cd.oidc, null) != null || length(setunion(try(var.argo_cd.viewers, []), try(var.argo_cd.operators, []))) == 0
    error_message = "argo_cd: viewers and operators are groups of an issuer, so oidc has to be given too."
  }

  validation {
    condition     = alltrue([for group in setunion(try(var.argo_cd.viewers, []), try(var.argo_cd.operators, [])) : can(regex("^[^\",*\\s][^\",*\n\r]*$", group))])
    error_message = "argo_cd: a group is written without quotes, commas and patterns."
  }

  validation {
    condition = (
      can(regex("^https://[^\\s]+$", try(var.argo_cd.address, "https://none"))) && (try(var.argo_cd.oidc, null) == null ? true : (
        can(regex("^https://[^\\s]+$", var.argo_cd.oidc.issuer)) && var.argo_cd.oidc.client_id != "" && can(regex("^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$", var.argo_cd.oidc.secret))
      ))
    )
    error_message = "argo_cd: address and oidc.issuer are https addresses, oidc.client_id is not empty, oidc.secret is the name of a Secret."
  }
}

# ── Metrics, alerts and logs ────────────────────────────────────────────────────────────────────────────────────────────

variable "metrics" {
  description = "Prometheus: the number of independent replicas, the days for which each keeps its metrics, and the size of its volume."
  type = object({
    replicas     = optional(number, 1)
    days         = optional(number, 15)
    volume_gib   = optional(number, 50)
    alertmanager = optional(number, 1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for n in [var.metrics.replicas, var.metrics.alertmanager] : n >= 1 && n <= 3 && floor(n) == n])
    error_message = "metrics: replicas and alertmanager must be 1, 2 or 3."
  }

  validation {
    condition     = var.metrics.days >= 1 && var.metrics.days <= 90 && floor(var.metrics.days) == var.metrics.days
    error_message = "metrics: days must be a whole number from 1 to 90."
  }

  validation {
    condition     = var.metrics.volume_gib >= 10 && var.metrics.volume_gib <= 1000 && floor(var.metrics.volume_gib) == var.metrics.volume_gib
    error_message = "metrics: volume_gib must be a whole number from 10 to 1000."
  }
}

variable "scrape_services" {
  description = "Whether every release of charts/service is scraped by default. Set it to false if the values files switch on `monitoring.podMonitor`."
  type        = bool
  default     = true
  nullable    = false
}

variable "logs" {
  description = "Loki: the days for which logs are kept in S3, and the size of the volume for logs that are not in S3 yet."
  type = object({
    days       = optional(number, 30)
    volume_gib = optional(number, 20)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.logs.days >= 1 && var.logs.days <= 730 && floor(var.logs.days) == var.logs.days
    error_message = "logs: days must be a whole number from 1 to 730."
  }

  validation {
    condition     = var.logs.volume_gib >= 5 && var.logs.volume_gib <= 500 && floor(var.logs.volume_gib) == var.logs.volume_gib
    error_message = "logs: volume_gib must be a whole number from 5 to 500."
  }
}

variable "alert_topic_arn" {
  description = "SNS topic that Alertmanager publishes to, in this region, and that is told when Alertmanager itself is silent. Required, unless without_alerts."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.alert_topic_arn == "" || can(regex("^arn:aws[a-z-]*:sns:${var.region}:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.alert_topic_arn))
    error_message = "alert_topic_arn must be the ARN of a standard SNS topic in ${var.region} (arn:aws:sns:${var.region}:123456789012:alerts)."
  }

  validation {
    condition     = (var.alert_topic_arn == "") == var.without_alerts
    error_message = "alert_topic_arn: give the topic that alerts go to, or without_alerts = true if nobody is to be told, as in a trial; not both."
  }
}

variable "without_alerts" {
  description = "Whether alerts reach nobody: they are shown in Alertmanager and in Grafana only."
  type        = bool
  default     = false
  nullable    = false
}
