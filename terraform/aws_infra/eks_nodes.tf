locals {
  observability = { key = "dedicated", value = "observability" }

  node_groups = merge(
    { for name, group in var.node_groups : name => merge(group, { zones = keys(local.subnets) }) },
    {
      observability = merge(var.observability_nodes, {
        capacity_type = "ON_DEMAND" # the handler of interruptions must not itself be interrupted
        labels        = { (local.observability.key) = local.observability.value }
        taints        = [merge(local.observability, { effect = "NO_SCHEDULE" })]
        zones         = slice([for zone in var.zones : "${var.region}${zone}"], 0, var.observability_nodes.zone_count)
      })
    },
  )

  # By cluster and group: one launch template.
  cluster_groups = {
    for pair in setproduct(keys(local.clusters), keys(local.node_groups)) : "${pair[0]}/${pair[1]}" => { cluster = pair[0], group = pair[1] }
  }

  # By cluster, group and zone: one node group. A volume belongs to a zone; a group over several zones could only hope that its
  # next node comes up in the right one.
  zonal_groups = merge([
    for key, it in local.cluster_groups : {
      for zone in local.node_groups[it.group].zones : "${key}/${zone}" => merge(it, {
        zone = zone
        size = try(var.cluster_node_sizes[it.cluster][it.group], {
          min     = local.node_groups[it.group].min
          desired = local.node_groups[it.group].desired
          max     = local.node_groups[it.group].max
        })
      })
    }
  ]...)
}

resource "aws_iam_role" "node" {
  for_each = local.clusters

  name = "${each.value.name}-node"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.${data.aws_partition.current.dns_suffix}" }
    }]
  })
}

# What a kubelet needs, and a shell through Session Manager instead of SSH. The CNI's permissions are the CNI's own.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = {
    for pair in setproduct(keys(local.clusters), [
      "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore",
    ]) : "${pair[0]}/${pair[1]}" => { cluster = pair[0], policy = pair[1] }
  }

  role       = aws_iam_role.node[each.value.cluster].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value.policy}"
}

# Has no rules: it is what nodes are known by, so that a database can admit one cluster's nodes. What nodes, pods and the control
# plane say to each other goes through the group that EKS makes for the cluster, which they are in as well.
resource "aws_security_group" "nodes" {
  for_each = local.clusters

  name        = "${each.value.name}-nodes"
  description = "Marks the nodes of cluster ${each.value.name}; has no rules of its own"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${each.value.name}-nodes" }
}

resource "aws_launch_template" "node" {
  for_each = local.cluster_groups

  name                   = "${local.clusters[each.value.cluster].name}-${each.value.group}"
  description            = "Nodes of group ${each.value.group} in cluster ${local.clusters[each.value.cluster].name}"
  update_default_version = true

  vpc_security_group_ids = [
    aws_eks_cluster.this[each.value.cluster].vpc_config[0].cluster_security_group_id,
    aws_security_group.nodes[each.value.cluster].id,
  ]

  # One hop: the answer cannot leave the node, so that no pod (hostNetwork aside) can take the node's role.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = local.node_groups[each.value.group].disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # Default tags stop at the template; these reach what is started from it.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.key
      tags          = merge(local.tags, { Name = "${local.clusters[each.value.cluster].name}-${each.value.group}" })
    }
  }
}

# EKS, "Retrieve recommended Amazon Linux AMI IDs": the release that new nodes should have.
data "aws_ssm_parameter" "node_release" {
  for_each = var.node_release != null ? [] : toset([for group in values(local.node_groups) : group.ami_type])

  name = join("/", [
    "/aws/service/eks/optimized-ami/${var.kubernetes_version}/amazon-linux-2023",
    each.key == "AL2023_ARM_64_STANDARD" ? "arm64" : "x86_64", "standard/recommended/release_version",
  ])
}

resource "aws_eks_node_group" "this" {
  for_each = local.zonal_groups

  cluster_name = aws_eks_cluster.this[each.value.cluster].name
  # A prefix, so that a change that needs new nodes makes them before the old ones go.
  node_group_name_prefix = "${each.value.group}-${trimprefix(each.value.zone, var.region)}-"
  node_role_arn          = aws_iam_role.node[each.value.cluster].arn
  subnet_ids             = [aws_subnet.private[each.value.zone].id]
  version                = var.kubernetes_version
  release_version        = var.node_release != null ? var.node_release : nonsensitive(data.aws_ssm_parameter.node_release[local.node_groups[each.value.group].ami_type].value)
  ami_type               = local.node_groups[each.value.group].ami_type
  capacity_type          = local.node_groups[each.value.group].capacity_type
  instance_types         = local.node_groups[each.value.group].instance_types
  labels                 = merge({ pool = each.value.group }, local.node_groups[each.value.group].labels)

  launch_template {
    id      = aws_launch_template.node["${each.value.cluster}/${each.value.group}"].id
    version = aws_launch_template.node["${each.value.cluster}/${each.value.group}"].latest_version
  }

  scaling_config {
    min_size     = each.value.size.min
    desired_size = each.value.size.desired
    max_size     = each.value.size.max
  }

  update_config {
    max_unavailable = 1
  }

  node_repair_config {
    enabled = true
  }

  dynamic "taint" {
    for_each = local.node_groups[each.value.group].taints
    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  lifecycle {
    create_before_destroy = true
    ignore_changes        = [scaling_config[0].desired_size] # the autoscaler's
  }

  depends_on = [aws_eks_addon.before_nodes, aws_iam_role_policy_attachment.node]
}
