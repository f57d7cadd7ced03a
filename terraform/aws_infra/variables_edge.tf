variable "zone_id" {
  description = "The public Route 53 zone that contains `domain` (aws route53 list-hosted-zones). Required with `domain`, null without it."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null || can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "zone_id must be a hosted zone's id, such as Z0123456789ABCDEFGHIJ, without /hostedzone/."
  }

  validation {
    condition     = var.domain == "" || var.zone_id != null
    error_message = "domain without zone: a certificate is proved by a record in the domain's Route 53 zone. Give zone_id."
  }

  validation {
    condition     = var.domain != "" || var.zone_id == null
    error_message = "zone_id without domain: nothing would be made in the zone. Give domain, or leave zone_id out."
  }
}

variable "tls_policy" {
  description = "Security policy of the load balancers' TLS listeners. The default speaks TLS 1.3 and 1.2, with forward secrecy and post-quantum key exchange."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
  nullable    = false

  validation {
    condition     = can(regex("^ELBSecurityPolicy-TLS13-1-[23]-([A-Za-z]+-)*20[0-9]{2}-[0-9]{2}$", var.tls_policy)) && !strcontains(var.tls_policy, "-Ext")
    error_message = "tls_policy must be one of Elastic Load Balancing's TLS13-1-2 or TLS13-1-3 policies; those that speak TLS 1.1 or less, or with the ciphers of -Ext, are refused."
  }
}

variable "edge" {
  description = <<-EOT
    By environment, an API Gateway with a web application firewall in front of the service instead of a load balancer that faces the
    internet. Needs `domain`. Needs two applies: the first, with neither `ingress` nor `listener_arn`, creates what the chart needs (output
    chart_values); when the chart is deployed and its internal load balancer exists, the second connects to it.

    - `ingress`: the Ingress in the environment's namespace whose load balancer gets the requests (the release's name). It is found by the
      tags of the AWS Load Balancer Controller. Or `listener_arn`: an HTTPS listener of another internal load balancer.
    - `requests_per_second`, `burst`: limits of the API as a whole; further requests are answered with 429.
    - `address_limit` in `address_seconds`: requests that one address may send in that time; further ones are answered with 429.
    - `managed_rules`: AWS's rule groups, in order. `count_rules`: rules by group that only count matches, until it is
      clear that they do not block legitimate requests.
    - `timeout_ms`: how long the service may take to answer.

    Costs some 9 USD a month for the firewall, 1 USD for a million requests of the API and 0.60 USD of the firewall, and the internal
    load balancer's 20 USD.
  EOT
  type = map(object({
    ingress             = optional(string)
    listener_arn        = optional(string)
    requests_per_second = optional(number, 500)
    burst               = optional(number, 1000)
    address_limit       = optional(number, 2000)
    address_seconds     = optional(number, 300)
    managed_rules       = optional(list(string), ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"])
    count_rules         = optional(map(set(string)), {})
    timeout_ms          = optional(number, 29000)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.edge), keys(var.environments))) == 0
    error_message = "edge names an environment that var.environments does not have."
  }

  validation {
    condition     = length(var.edge) == 0 || var.domain != ""
    error_message = "edge needs domain: its certificate is for the way to the load balancer too."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.ingress == null || edge.listener_arn == null])
    error_message = "edge: give ingress or listener_arn, not both."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.ingress == null || can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", edge.ingress))])
    error_message = "edge: ingress must be an Ingress's name, without its namespace."
  }

  validation {
    condition = alltrue([
      for edge in values(var.edge) : edge.listener_arn == null ||
      can(regex("^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener/app/[A-Za-z0-9-]+/[0-9a-f]+/[0-9a-f]+$", edge.listener_arn))
    ])
    error_message = "edge: listener_arn must be the ARN of an Application Load Balancer's listener; a firewall cannot be put on a Network Load Balancer."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.requests_per_second >= 1 && edge.requests_per_second <= 10000])
    error_message = "edge: requests_per_second must be 1 to 10000, a region's quota."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.burst >= 1 && edge.burst <= 5000 && floor(edge.burst) == edge.burst])
    error_message = "edge: burst must be a whole number from 1 to 5000, a region's quota."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.address_limit >= 10 && edge.address_limit <= 2000000000 && floor(edge.address_limit) == edge.address_limit])
    error_message = "edge: address_limit must be a whole number from 10 to 2000000000."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : contains([60, 120, 300, 600], edge.address_seconds)])
    error_message = "edge: address_seconds must be 60, 120, 300 or 600."
  }

  validation {
    condition = alltrue([
      for edge in values(var.edge) : length(edge.managed_rules) > 0 && length(distinct(edge.managed_rules)) == length(edge.managed_rules) &&
      length(setsubtract(edge.managed_rules, [
        "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesSQLiRuleSet",
        "AWSManagedRulesLinuxRuleSet", "AWSManagedRulesUnixRuleSet",
      ])) == 0
    ])
    error_message = "edge: managed_rules must name at least one of AWSManagedRules CommonRuleSet, KnownBadInputsRuleSet, SQLiRuleSet, LinuxRuleSet, UnixRuleSet, each once. Lists of addresses are of no use here: they look at the address of API Gateway."
  }

  validation {
    condition = alltrue(flatten([
      for edge in values(var.edge) : [
        for group, rules in edge.count_rules : contains(edge.managed_rules, group) && alltrue([for rule in rules : can(regex("^[A-Za-z0-9_]{1,128}$", rule))])
      ]
    ]))
    error_message = "edge: count_rules names a group that managed_rules does not have, or something that is no rule's name."
  }

  validation {
    condition     = alltrue([for edge in values(var.edge) : edge.timeout_ms >= 50 && edge.timeout_ms <= 30000 && floor(edge.timeout_ms) == edge.timeout_ms])
    error_message = "edge: timeout_ms must be a whole number from 50 to 30000, API Gateway's limits."
  }
}
