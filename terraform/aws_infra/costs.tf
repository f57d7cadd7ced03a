# What a month costs by this plan: quantities from the resources and settings of this directory, prices from terraform/modules/costs. What
# the other directories add has their defaults, and what depends on use is assumed in var.assumed_use.

locals {
  hours = 730 # a month

  node_types = distinct([for group in values(aws_eks_node_group.this) : group.instance_types[0]])

  # An environment's release makes one load balancer; the highest environment's is internet-facing, with an address in each zone, unless the
  # edge stands in front of it.
  internet_facing = setsubtract(setintersection([local.highest], keys(var.environments)), keys(var.edge))

  cost_lines = concat(
    [
      { item = "control planes", price = "cluster-hour", quantity = length(aws_eks_cluster.this) * local.hours },
      { item = "NAT gateways", price = "nat-hour", quantity = length(aws_nat_gateway.this) * local.hours },
      { item = "their public addresses", price = "ipv4-hour", quantity = length(aws_eip.nat) * local.hours },
      { item = "traffic through them (assumed)", price = "nat-gb", quantity = var.assumed_use.nat_gb },
    ],
    [
      for type in local.node_types : {
        item     = "nodes ${type}"
        price    = "instance-hour-${type}"
        quantity = sum([for group in values(aws_eks_node_group.this) : group.scaling_config[0].desired_size if group.instance_types[0] == type]) * local.hours
      }
    ],
    [
      {
        item     = "their disks"
        price    = "gp3-gib"
        quantity = sum([for key, it in local.zonal_groups : it.size.desired * local.node_groups[it.group].disk_gib])
      },
      {
        item     = "keys"
        price    = "kms-key"
        quantity = length(aws_kms_key.evidence) + length(aws_kms_key.build) + length(aws_kms_key.app_secrets) + length(aws_kms_key.cluster) + length(aws_kms_key.database) + 2 # images, logs
      },
      {
        item     = "interface endpoints"
        price    = "endpoint-hour"
        quantity = length(aws_vpc_endpoint.interface) * length(local.subnets) * local.hours
      },
      {
        item     = "logs of the control planes (assumed)"
        price    = "logs-in-gb"
        quantity = length(aws_eks_cluster.this) * var.assumed_use.control_plane_logs_gb
      },
      {
        item     = "flow logs, ${var.flow_log_traffic} (assumed)"
        price    = "logs-in-gb"
        quantity = var.flow_log_traffic == "ALL" ? var.assumed_use.flow_logs_all_gb : var.assumed_use.flow_logs_reject_gb
      },
      {
        item     = "both kept ${var.log_retention_days} days"
        price    = "logs-kept-gb"
        quantity = floor((length(aws_eks_cluster.this) * var.assumed_use.control_plane_logs_gb + (var.flow_log_traffic == "ALL" ? var.assumed_use.flow_logs_all_gb : var.assumed_use.flow_logs_reject_gb)) * var.log_retention_days / 30)
      },
      { item = "images (assumed)", price = "images-gb", quantity = var.assumed_use.images_gb },
      {
        item     = "runners, minutes of jobs (assumed)"
        price    = "runner-minute-${var.runner_size}"
        quantity = var.github_connection_arn == null ? 0 : var.assumed_use.runner_minutes
      },
      { item = "firewalls of the edge", price = "waf-acl", quantity = length(var.edge) },
    ],
    [
      for class in distinct([for database in values(var.databases) : database.instance_class]) : {
        item     = "databases ${class}"
        price    = "database-hour-${class}"
        quantity = sum([for database in values(var.databases) : database.multi_az ? 2 : 1 if database.instance_class == class]) * local.hours
      }
    ],
    [
      {
        item     = "their storage"
        price    = "database-gib"
        quantity = sum(concat([0], [for database in values(var.databases) : (database.multi_az ? 2 : 1) * database.storage_gib]))
      },
      # Of the other directories.
      { item = "terraform/bootstrap: key of the states", price = "kms-key", quantity = 1 },
      { item = "terraform/platform: volumes of metrics and logs", price = "gp3-gib", quantity = length(aws_eks_cluster.this) * 72 },
      { item = "terraform/platform: key of the logs", price = "kms-key", quantity = length(aws_eks_cluster.this) },
      { item = "terraform/platform: logs in S3 (assumed)", price = "s3-gb", quantity = var.assumed_use.platform_logs_gb },
      { item = "load balancers, one for each environment", price = "nlb-hour", quantity = length(setsubtract(keys(var.environments), keys(var.edge))) * local.hours },
      { item = "load balancers behind the edge", price = "alb-hour", quantity = length(var.edge) * local.hours },
      { item = "public addresses of ${local.highest}'s, one in each zone", price = "ipv4-hour", quantity = length(local.internet_facing) * length(local.subnets) * local.hours },
    ],
  )
}

module "costs" {
  source = "../modules/costs"
  lines  = local.cost_lines
}

output "costs" {
  description = "What a month costs by this plan, in USD, with the other directories' defaults: each line, the total, what has no price, and a table in Markdown. Not in it: taxes, requests, traffic between zones and out, nodes that the autoscaler adds, secrets (0.40 each)."
  value       = module.costs
}
