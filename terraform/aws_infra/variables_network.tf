variable "vpc_cidr" {
  description = "The VPC's IPv4 range: a private network of /16 to /20. Every pod has an address in it, so a small range limits the number of pods."
  type        = string
  default     = "10.20.0.0/16"
  nullable    = false

  validation {
    condition     = try(cidrsubnet(var.vpc_cidr, 0, 0) == var.vpc_cidr, false)
    error_message = "vpc_cidr must be an IPv4 network in CIDR form with no host bits set, such as 10.20.0.0/16."
  }

  validation {
    condition     = try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 20, true)
    error_message = "vpc_cidr must be from /16 (the largest that AWS allows) to /20; in less a zone would have fewer than 500 addresses for pods."
  }

  validation {
    condition = anytrue([
      for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] :
      try(cidrsubnet("${split("/", var.vpc_cidr)[0]}/${split("/", range)[1]}", 0, 0) == range, true)
    ])
    error_message = "vpc_cidr must lie in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10: other ranges belong to somebody."
  }
}

variable "zones" {
  description = <<-EOT
    Letters of the availability zones, at least two; each gets a public and a private subnet. Their order determines the
    subnets' ranges: add new ones at the end. Not every region has every letter (`aws ec2 describe-availability-zones`).
  EOT
  type        = list(string)
  default     = ["a", "b", "c"]
  nullable    = false

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 6
    error_message = "zones must name 2 to 6 availability zones: with one, a failure of that zone takes everything with it, and EKS refuses it."
  }

  validation {
    condition     = alltrue([for zone in var.zones : can(regex("^[a-f]$", zone))]) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones must be different letters from a to f: eu-central-1a is \"a\"."
  }
}

variable "subnets" {
  description = <<-EOT
    The subnets' ranges by zone letter, if an address plan requires them. Empty: computed from vpc_cidr, an eighth of it for
    each private subnet (8,187 addresses of a /16) and a sixty-fourth for each public one.
  EOT
  type = map(object({
    public  = string
    private = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(var.subnets) == 0 || toset(keys(var.subnets)) == toset(var.zones)
    error_message = "subnets must give ranges for exactly the zones in var.zones, or for none."
  }

  validation {
    condition = alltrue([
      for range in flatten([for s in values(var.subnets) : [s.public, s.private]]) : try(cidrsubnet(range, 0, 0) == range, false)
    ])
    error_message = "subnets: each range must be an IPv4 network in CIDR form with no host bits set."
  }

  validation {
    condition = alltrue([
      for range in flatten([for s in values(var.subnets) : [s.public, s.private]]) :
      try(
        tonumber(split("/", range)[1]) > tonumber(split("/", var.vpc_cidr)[1]) &&
        cidrsubnet("${split("/", range)[0]}/${split("/", var.vpc_cidr)[1]}", 0, 0) == var.vpc_cidr,
        true
      )
    ])
    error_message = "subnets: each range must lie in vpc_cidr."
  }

  validation {
    condition = alltrue([
      for s in values(var.subnets) :
      try(tonumber(split("/", s.private)[1]) <= 24 && tonumber(split("/", s.public)[1]) <= 27, true)
    ])
    error_message = "subnets: a private one must be /24 or larger (each pod takes an address), a public one /27 or larger (a load balancer takes 8)."
  }

  # Two ranges overlap if they are the same network once both are cut to the shorter of their prefixes.
  validation {
    condition = alltrue(flatten([
      for i, one in flatten([for s in values(var.subnets) : [s.public, s.private]]) : [
        for j, other in flatten([for s in values(var.subnets) : [s.public, s.private]]) :
        i >= j || try(
          cidrsubnet("${split("/", one)[0]}/${min(split("/", one)[1], split("/", other)[1])}", 0, 0) !=
          cidrsubnet("${split("/", other)[0]}/${min(split("/", one)[1], split("/", other)[1])}", 0, 0),
          true
        )
      ]
    ]))
    error_message = "subnets: the ranges overlap."
  }
}

variable "nat_gateways" {
  description = <<-EOT
    `per-zone`: one NAT gateway in each zone, so that an outage of one zone does not affect the others (about 38 USD a month
    each in eu-central-1, before traffic). `single`: one for all zones, for trials: a third of the price with three zones, but its
    outage cuts off every zone, and traffic between zones is charged.
  EOT
  type        = string
  default     = "per-zone"
  nullable    = false

  validation {
    condition     = contains(["per-zone", "single"], var.nat_gateways)
    error_message = "nat_gateways must be per-zone or single."
  }
}

variable "interface_endpoints" {
  description = <<-EOT
    AWS services that are reached inside the VPC instead of through the NAT gateways, such as ecr.api, ecr.dkr and sts. Each costs
    about 9 USD a month and zone in eu-central-1. S3, which serves ECR's layers, always has its gateway endpoint, at no cost.
  EOT
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.interface_endpoints, local.known_endpoints)) == 0
    error_message = "interface_endpoints: known are ${join(", ", local.known_endpoints)}."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps flow logs, control-plane logs and database logs."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains(local.known_retentions, var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch Logs knows (without end is not offered): ${join(", ", local.known_retentions)}."
  }
}

variable "flow_log_traffic" {
  description = "Which connections the VPC's flow logs record: `REJECT`, the refused ones, which show who tried what and are few; or `ALL`, which costs as much as the traffic is."
  type        = string
  default     = "REJECT"
  nullable    = false

  validation {
    condition     = contains(["REJECT", "ALL"], var.flow_log_traffic)
    error_message = "flow_log_traffic must be REJECT or ALL."
  }
}

variable "assumed_use" {
  description = "What the output `costs` assumes of a month's use: gigabytes through the NAT gateways, of each control plane's logs, of flow logs by kind, of images and of logs in S3, and minutes of deploy jobs. It changes nothing else."
  type = object({
    nat_gb                = optional(number, 100)
    control_plane_logs_gb = optional(number, 10)
    flow_logs_reject_gb   = optional(number, 1)
    flow_logs_all_gb      = optional(number, 50)
    images_gb             = optional(number, 10)
    platform_logs_gb      = optional(number, 30)
    runner_minutes        = optional(number, 1000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for amount in values(var.assumed_use) : amount >= 0])
    error_message = "assumed_use: no amount is below zero."
  }
}
