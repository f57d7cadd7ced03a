variable "node_groups" {
  description = <<-EOT
    Managed node groups of every cluster, in addition to the one for observability. A group is created once per zone, so that the
    autoscaler can add a node in the zone where a pod's volume is: `min`, `desired` and `max` count nodes of one zone. `desired`
    is used for the first apply only; then the autoscaler owns it. Types of one group must have the same CPU and memory.
  EOT
  type = map(object({
    instance_types = list(string)
    min            = number
    desired        = number
    max            = number
    capacity_type  = optional(string, "ON_DEMAND")
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    disk_gib       = optional(number, 50)
    labels         = optional(map(string), {})
    taints         = optional(list(object({ key = string, value = string, effect = string })), [])
  }))
  default = {
    general = {
      instance_types = ["m7i.large", "m6i.large", "m7a.large", "m6a.large"]
      min            = 1
      desired        = 1
      max            = 4
    }
  }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.node_groups) : can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", name)) && length(name) <= 20])
    error_message = "node_groups: a name is at most 20 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }

  validation {
    condition     = !contains(keys(var.node_groups), "observability")
    error_message = "node_groups: the group \"observability\" is made by var.observability_nodes."
  }

  validation {
    condition     = anytrue([for group in values(var.node_groups) : length(group.taints) == 0 && group.desired > 0])
    error_message = "node_groups needs a group without taints and with desired > 0: cluster add-ons run there, and the autoscaler comes after them."
  }

  validation {
    condition = alltrue([
      for group in values(var.node_groups) :
      group.min >= 0 && floor(group.min) == group.min && floor(group.desired) == group.desired && floor(group.max) == group.max
    ])
    error_message = "node_groups: sizes are whole numbers, none below zero."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.min <= group.desired && group.desired <= group.max && group.max >= 1])
    error_message = "node_groups: sizes must be min <= desired <= max, and max at least 1."
  }

  validation {
    condition = (
      alltrue(
        flatten([
          for group in values(var.node_groups) : [for type in group.instance_types : can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", type))]
        ])
      ) &&
      alltrue([for group in values(var.node_groups) : length(group.instance_types) > 0])
    )
    error_message = "node_groups: instance_types needs at least one type, such as m7i.large."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "node_groups: capacity_type must be ON_DEMAND or SPOT."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : contains(["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"], group.ami_type)])
    error_message = "node_groups: ami_type must be AL2023_x86_64_STANDARD or AL2023_ARM_64_STANDARD; the launch template's disk is theirs."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.disk_gib >= 20 && group.disk_gib <= 1000])
    error_message = "node_groups: disk_gib must be 20 to 1000; with less, images and logs evict pods."
  }

  validation {
    condition = alltrue(
      flatten([
        for group in values(var.node_groups) :
        [for taint in group.taints : contains(["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"], taint.effect)]
      ])
    )
    error_message = "node_groups: a taint's effect must be NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE (EKS's spelling)."
  }
}

variable "observability_nodes" {
  description = <<-EOT
    The nodes for monitoring and logs, separate from the workloads so that neither takes the other's resources. Label and taint are fixed:
    dedicated=observability, NoSchedule. Sizes count nodes of one zone, in the first `zone_count` zones.
  EOT
  type = object({
    instance_types = optional(list(string), ["r7i.large", "r6i.large", "r7a.large", "r6a.large"])
    min            = optional(number, 1)
    desired        = optional(number, 1)
    max            = optional(number, 2)
    zone_count     = optional(number, 2)
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    disk_gib       = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition = (
      var.observability_nodes.min >= 0 &&
      alltrue([
        for size in [var.observability_nodes.min, var.observability_nodes.desired, var.observability_nodes.max, var.observability_nodes.zone_count] :
        floor(size) == size
      ])
    )
    error_message = "observability_nodes: sizes are whole numbers, none below zero."
  }

  validation {
    condition = (
      var.observability_nodes.min <= var.observability_nodes.desired &&
      var.observability_nodes.desired <= var.observability_nodes.max &&
      var.observability_nodes.max >= 1
    )
    error_message = "observability_nodes: sizes must be min <= desired <= max, and max at least 1."
  }

  validation {
    condition     = var.observability_nodes.zone_count >= 1 && var.observability_nodes.zone_count <= length(var.zones)
    error_message = "observability_nodes: zone_count must be from 1 to the number of zones in var.zones."
  }

  validation {
    condition = (
      length(var.observability_nodes.instance_types) > 0 &&
      alltrue([for type in var.observability_nodes.instance_types : can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", type))])
    )
    error_message = "observability_nodes: instance_types needs at least one type, such as r7i.large."
  }

  validation {
    condition = (
      contains(["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"], var.observability_nodes.ami_type) &&
      var.observability_nodes.disk_gib >= 20 &&
      var.observability_nodes.disk_gib <= 1000
    )
    error_message = "observability_nodes: ami_type must be AL2023_x86_64_STANDARD or AL2023_ARM_64_STANDARD, disk_gib 20 to 1000."
  }
}

variable "cluster_node_sizes" {
  description = <<-EOT
    Other sizes for one cluster's node groups: by cluster key (the environment's name, or `shared`), then by group. For
    example a staging cluster with fewer nodes than production's.
  EOT
  type = map(map(object({
    min     = number
    desired = number
    max     = number
  })))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.cluster_node_sizes), var.cluster_layout == "shared" ? ["shared"] : keys(var.environments))) == 0
    error_message = "cluster_node_sizes names an unknown cluster: the only key of the shared layout is shared; otherwise the keys are the environments."
  }

  validation {
    condition = alltrue([
      for groups in values(var.cluster_node_sizes) :
      length(setsubtract(keys(groups), concat(keys(var.node_groups), ["observability"]))) == 0
    ])
    error_message = "cluster_node_sizes names a node group that there is not."
  }

  validation {
    condition = alltrue(flatten([
      for groups in values(var.cluster_node_sizes) : [
        for size in values(groups) : size.min >= 0 && size.min <= size.desired && size.desired <= size.max && size.max >= 1 &&
        floor(size.min) == size.min && floor(size.desired) == size.desired && floor(size.max) == size.max
      ]
    ]))
    error_message = "cluster_node_sizes: sizes must be whole numbers with 0 <= min <= desired <= max, and max at least 1."
  }
}
