variable "kubernetes_version" {
  description = "Kubernetes minor version of the clusters and their nodes, such as 1.36. EKS upgrades one minor version at a time and cannot downgrade."
  type        = string
  default     = "1.36"
  nullable    = false

  validation {
    condition     = can(regex("^1\\.[1-9][0-9]$", var.kubernetes_version))
    error_message = "kubernetes_version must be a minor version in quotes, such as \"1.36\": no patch level and no v."
  }
}

variable "kubernetes_support" {
  description = <<-EOT
    `STANDARD`: EKS upgrades the cluster when the version's standard support ends. `EXTENDED`: the version stays, and the control
    plane costs six times as much from that day.
  EOT
  type        = string
  default     = "STANDARD"
  nullable    = false

  validation {
    condition     = contains(["STANDARD", "EXTENDED"], var.kubernetes_support)
    error_message = "kubernetes_support must be STANDARD or EXTENDED."
  }
}

variable "node_release" {
  description = <<-EOT
    Release of the nodes' AMI, such as 1.36.0-20260801, for all groups. null: the one that AWS recommends at the time of the plan, so
    that a plan shows a new one and an apply replaces the nodes with it, one at a time: apply once a week, or at least once a month.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.node_release == null || can(regex("^1\\.[1-9][0-9]\\.[0-9]+-20[0-9]{6}$", var.node_release)) && startswith(coalesce(var.node_release, "null"), "${var.kubernetes_version}.")
    error_message = "node_release must be a release of kubernetes_version's AMI, such as ${var.kubernetes_version}.0-20260801."
  }
}

variable "cluster_admin_arns" {
  description = <<-EOT
    IAM roles that administer the clusters: at least the one that applies terraform/platform and the environments' directories.
    The role that creates a cluster does not become its administrator implicitly.
  EOT
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.cluster_admin_arns) > 0
    error_message = "cluster_admin_arns must name at least one role: without it nobody could use the cluster's API."
  }

  validation {
    condition     = alltrue([for arn in var.cluster_admin_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "cluster_admin_arns must be ARNs of IAM roles (arn:aws:iam::123456789012:role/…): no users, no sessions (sts), no accounts, no wildcards."
  }
}

variable "viewer_arns" {
  description = "By environment: IAM roles that may read its namespace, except Secrets."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.viewer_arns), keys(var.environments))) == 0
    error_message = "viewer_arns names an environment that var.environments does not have."
  }

  validation {
    condition = alltrue([
      for arn in flatten([for arns in values(var.viewer_arns) : tolist(arns)]) :
      can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))
    ])
    error_message = "viewer_arns must be ARNs of IAM roles (arn:aws:iam::123456789012:role/…)."
  }

  validation {
    condition     = length(setintersection(flatten([for arns in values(var.viewer_arns) : tolist(arns)]), var.cluster_admin_arns)) == 0
    error_message = "viewer_arns: a role of cluster_admin_arns sees everything already; EKS takes one entry for each role."
  }
}

variable "endpoint_public_cidrs" {
  description = <<-EOT
    Networks that may reach the clusters' API over the internet, such as an office's or a runner's fixed address. Empty: the API
    has no public endpoint. Authentication is required in any case; this limits which networks can connect.
  EOT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.endpoint_public_cidrs : try(cidrsubnet(cidr, 0, 0) == cidr && !strcontains(cidr, ":"), false)])
    error_message = "endpoint_public_cidrs must be IPv4 networks in CIDR form with no host bits set; a single address ends in /32."
  }

  validation {
    condition     = alltrue([for cidr in var.endpoint_public_cidrs : try(tonumber(split("/", cidr)[1]) >= 16, true)])
    error_message = "endpoint_public_cidrs: a network wider than /16 is refused, 0.0.0.0/0 first of all. Name the networks that need the API."
  }

  validation {
    condition     = length(var.endpoint_public_cidrs) <= 40
    error_message = "endpoint_public_cidrs: EKS takes at most 40 networks."
  }
}

variable "endpoint_private_cidrs" {
  description = <<-EOT
    Networks that may reach the clusters' private API endpoint, in addition to the nodes: runners and bastions in the VPC, networks
    connected by VPN or peering. null: the whole VPC.
  EOT
  type        = set(string)
  default     = null

  validation {
    condition = alltrue([
      for cidr in coalesce(var.endpoint_private_cidrs, []) : try(cidrsubnet(cidr, 0, 0) == cidr && !strcontains(cidr, ":"), false)
    ])
    error_message = "endpoint_private_cidrs must be IPv4 networks in CIDR form with no host bits set."
  }

  validation {
    condition     = alltrue([for cidr in coalesce(var.endpoint_private_cidrs, []) : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "endpoint_private_cidrs: a network wider than /8 is refused, 0.0.0.0/0 first of all."
  }
}

variable "service_cidr" {
  description = "The range of the clusters' Service addresses, which exist inside a cluster only. It cannot be changed later."
  type        = string
  default     = "172.20.0.0/16"
  nullable    = false

  validation {
    condition = try(
      cidrsubnet(var.service_cidr, 0, 0) == var.service_cidr &&
      tonumber(split("/", var.service_cidr)[1]) >= 12 &&
      tonumber(split("/", var.service_cidr)[1]) <= 24,
      false
    )
    error_message = "service_cidr must be an IPv4 network from /12 to /24 with no host bits set."
  }

  validation {
    condition = anytrue([
      for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] :
      try(cidrsubnet("${split("/", var.service_cidr)[0]}/${split("/", range)[1]}", 0, 0) == range, true)
    ])
    error_message = "service_cidr must lie in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16; EKS takes no other."
  }

  validation {
    condition = try(
      cidrsubnet("${split("/", var.service_cidr)[0]}/${min(split("/", var.service_cidr)[1], split("/", var.vpc_cidr)[1])}", 0, 0) !=
      cidrsubnet("${split("/", var.vpc_cidr)[0]}/${min(split("/", var.service_cidr)[1], split("/", var.vpc_cidr)[1])}", 0, 0),
      true
    )
    error_message = "service_cidr overlaps vpc_cidr: a Service and a machine could have the same address."
  }
}

variable "addon_versions" {
  description = <<-EOT
    Versions of EKS add-ons by name, such as v1.21.1-eksbuild.1. Other add-ons get EKS's default for the Kubernetes
    version, which changes with an upgrade.
  EOT
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = length(setsubtract(keys(var.addon_versions), [
      "vpc-cni", "kube-proxy", "coredns", "metrics-server", "aws-ebs-csi-driver",
    ])) == 0
    error_message = "addon_versions: known are vpc-cni, kube-proxy, coredns, metrics-server, aws-ebs-csi-driver."
  }

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version))])
    error_message = "addon_versions must look like v1.21.1-eksbuild.1 (aws eks describe-addon-versions lists them)."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete clusters and databases. For a trial set it to false before `terraform destroy`."
  type        = bool
  default     = true
  nullable    = false
}
