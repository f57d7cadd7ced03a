locals {
  # The levels in which the control plane logs: who asked what (audit), who was let in (authenticator), and its own parts.
  control_plane_logs = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  access_policies = "arn:${local.partition}:eks::aws:cluster-access-policy"

  # A deploy role has no policy of EKS's: the edit policy would give it a shell in every pod and the accounts of the namespace. What a
  # deploy needs, terraform/staging and terraform/production grant to this group, in the one namespace (docs/rbac/role.yaml).
  deploy_groups = { for key, it in local.deployments : key => "${var.name}-${it.role}" }

  # EKS takes one entry for a role and cluster, so a role that may look at two environments of one cluster is one entry.
  viewers = {
    for pair in distinct(flatten([
      for environment, arns in var.viewer_arns : [for arn in arns : { cluster = local.cluster_of[environment], arn = arn }]
      ])) : "${pair.cluster}/${pair.arn}" => merge(pair, {
      namespaces = [
        for environment, arns in var.viewer_arns : var.environments[environment].namespace
        if contains(arns, pair.arn) && local.cluster_of[environment] == pair.cluster
      ]
    })
  }

  admins = {
    for pair in setproduct(keys(local.clusters), var.cluster_admin_arns) : "${pair[0]}/${pair[1]}" => { cluster = pair[0], arn = pair[1] }
  }
}

# ── Control plane ───────────────────────────────────────────────────────────────────────────────────────────────────────

# Envelope encryption of Secrets: the API server encrypts each with a data key that only this key opens. Deleting it would make
# every Secret unreadable, so the wait is long.
resource "aws_kms_key" "cluster" {
  for_each = local.clusters

  description             = "${each.value.name}: Kubernetes Secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "cluster" {
  for_each = local.clusters

  name          = "alias/${each.value.name}-kubernetes-secrets"
  target_key_id = aws_kms_key.cluster[each.key].key_id
}

# Made before the cluster: EKS would make it itself, unencrypted and without an end.
resource "aws_cloudwatch_log_group" "cluster" {
  for_each = local.clusters

  name              = "/aws/eks/${each.value.name}/cluster"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "cluster" {
  for_each = local.clusters

  name = "${each.value.name}-control-plane"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "eks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:eks:${var.region}:${local.account_id}:cluster/${each.value.name}" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  for_each = local.clusters

  role       = aws_iam_role.cluster[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role_policy" "cluster_secrets" {
  for_each = local.clusters

  name = "kubernetes-secrets"
  role = aws_iam_role.cluster[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListGrants"]
      Resource = [aws_kms_key.cluster[each.key].arn]
    }]
  })
}

resource "aws_eks_cluster" "this" {
  for_each = local.clusters

  name     = each.value.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster[each.key].arn

  enabled_cluster_log_types     = local.control_plane_logs
  deletion_protection           = var.deletion_protection
  bootstrap_self_managed_addons = false # the add-ons below are EKS's to keep up to date

  access_config {
    authentication_mode                         = "API" # access entries alone: no aws-auth that a typo in locks everybody out
    bootstrap_cluster_creator_admin_permissions = false
  }

  # The public endpoint is off unless networks are named, and those are /16 or smaller and never the world (var.endpoint_public_cidrs,
  # tested). The check cannot distinguish a named network from the Internet: it refuses any that is not private.
  #trivy:ignore:AWS-0040
  #trivy:ignore:AWS-0041
  vpc_config {
    subnet_ids              = values(aws_subnet.private)[*].id
    endpoint_private_access = true
    endpoint_public_access  = length(var.endpoint_public_cidrs) > 0
    public_access_cidrs     = length(var.endpoint_public_cidrs) > 0 ? var.endpoint_public_cidrs : null
  }

  kubernetes_network_config {
    ip_family         = "ipv4"
    service_ipv4_cidr = var.service_cidr
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = aws_kms_key.cluster[each.key].arn
    }
  }

  upgrade_policy {
    support_type = var.kubernetes_support
  }

  # Lets AWS, or an operator, move traffic away from a failing zone.
  zonal_shift_config {
    enabled = true
  }

  depends_on = [
    aws_cloudwatch_log_group.cluster,
    aws_iam_role_policy_attachment.cluster,
    aws_iam_role_policy.cluster_secrets,
  ]
}

# The private endpoint's interfaces are in the security group that EKS makes, which admits only itself.
resource "aws_vpc_security_group_ingress_rule" "cluster_api" {
  for_each = {
    for pair in setproduct(keys(local.clusters), coalesce(var.endpoint_private_cidrs, [var.vpc_cidr])) :
    "${pair[0]}/${pair[1]}" => { cluster = pair[0], cidr = pair[1] }
  }

  security_group_id = aws_eks_cluster.this[each.value.cluster].vpc_config[0].cluster_security_group_id
  description       = "Kubernetes API from ${each.value.cidr}"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# ── Who may do what ─────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_eks_access_entry" "admin" {
  for_each = local.admins

  cluster_name  = aws_eks_cluster.this[each.value.cluster].name
  principal_arn = each.value.arn
}

resource "aws_eks_access_policy_association" "admin" {
  for_each = local.admins

  cluster_name  = aws_eks_cluster.this[each.value.cluster].name
  principal_arn = aws_eks_access_entry.admin[each.key].principal_arn
  policy_arn    = "${local.access_policies}/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

# The roles that GitHub's jobs assume: each is in its environment's group and has nothing else.
resource "aws_eks_access_entry" "deploy" {
  for_each = local.deployments

  cluster_name      = aws_eks_cluster.this[local.cluster_of[each.value.environment]].name
  principal_arn     = aws_iam_role.deploy[each.key].arn
  kubernetes_groups = [local.deploy_groups[each.key]]
}

resource "aws_eks_access_entry" "plan" {
  for_each = local.plan_subjects

  cluster_name      = aws_eks_cluster.this[local.cluster_of[local.deployments[each.key].environment]].name
  principal_arn     = aws_iam_role.plan[each.key].arn
  kubernetes_groups = [aws_iam_role.plan[each.key].name]
}

resource "aws_eks_access_entry" "viewer" {
  for_each = local.viewers

  cluster_name  = aws_eks_cluster.this[each.value.cluster].name
  principal_arn = each.value.arn
}

resource "aws_eks_access_policy_association" "viewer" {
  for_each = local.viewers

  cluster_name  = aws_eks_cluster.this[each.value.cluster].name
  principal_arn = aws_eks_access_entry.viewer[each.key].principal_arn
  policy_arn    = "${local.access_policies}/AmazonEKSViewPolicy"

  access_scope {
    type       = "namespace"
    namespaces = each.value.namespaces
  }
}
