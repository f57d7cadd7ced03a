locals {
  # Nodes become Ready only with the first two; the others are pods that need a node to become healthy.
  addons = {
    "vpc-cni" = {
      before_nodes = true
      identity     = "vpc-cni"
      # The CNI itself enforces NetworkPolicy; without this the objects are accepted and do nothing.
      configuration = { enableNetworkPolicy = "true" }
    }
    "kube-proxy" = { before_nodes = true, identity = null, configuration = null }
    "coredns" = {
      before_nodes  = false
      identity      = null
      configuration = { autoScaling = { enabled = true, minReplicas = 2, maxReplicas = 10 } }
    }
    "metrics-server"     = { before_nodes = false, identity = null, configuration = null }
    "aws-ebs-csi-driver" = { before_nodes = false, identity = "ebs-csi", configuration = null }
  }

  cluster_addons = {
    for pair in setproduct(keys(local.clusters), keys(local.addons)) :
    "${pair[0]}/${pair[1]}" => merge(local.addons[pair[1]], {
      cluster       = pair[0]
      name          = pair[1]
      configuration = local.addons[pair[1]].configuration == null ? null : jsonencode(local.addons[pair[1]].configuration)
    })
  }

  addon_role_arns = {
    for key, addon in local.cluster_addons :
    key => addon.identity == null ? null : aws_iam_role.system["${addon.cluster}/${addon.identity}"].arn
  }
}

# EKS's default version of each add-on for the Kubernetes version: it moves with an upgrade, and a plan shows it.
data "aws_eks_addon_version" "default" {
  for_each = setsubtract(keys(local.addons), keys(var.addon_versions))

  addon_name         = each.key
  kubernetes_version = var.kubernetes_version
}

resource "aws_eks_addon" "before_nodes" {
  for_each = { for key, addon in local.cluster_addons : key => addon if addon.before_nodes }

  cluster_name                = aws_eks_cluster.this[each.value.cluster].name
  addon_name                  = each.value.name
  addon_version               = try(var.addon_versions[each.value.name], data.aws_eks_addon_version.default[each.value.name].version)
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE" # this directory says how an add-on is set, not somebody's kubectl edit
  service_account_role_arn    = local.addon_role_arns[each.key]

  # Taken away, the network add-on needs its rights longer than its nodes live.
  depends_on = [aws_iam_role_policy_attachment.system]
}

resource "aws_eks_addon" "after_nodes" {
  for_each = { for key, addon in local.cluster_addons : key => addon if !addon.before_nodes }

  cluster_name                = aws_eks_cluster.this[each.value.cluster].name
  addon_name                  = each.value.name
  addon_version               = try(var.addon_versions[each.value.name], data.aws_eks_addon_version.default[each.value.name].version)
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
  service_account_role_arn    = local.addon_role_arns[each.key]

  depends_on = [aws_eks_node_group.this, aws_iam_role_policy_attachment.system]
}
