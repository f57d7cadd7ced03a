# What terraform/aws_infra made, found by name: this directory does not read its state.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

data "aws_iam_role" "load_balancer_controller" {
  name = "${var.cluster_name}-load-balancer-controller"
}

data "aws_iam_role" "cluster_autoscaler" {
  name = "${var.cluster_name}-cluster-autoscaler"
}

locals {
  oidc_issuer = trimprefix(data.aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")

  # The nodes that terraform/aws_infra keeps for observability, by their label and taint.
  observability = {
    nodeSelector = { dedicated = "observability" }
    tolerations  = [{ key = "dedicated", operator = "Equal", value = "observability", effect = "NoSchedule" }]
  }

  # What runs once on every node looks into the node it runs on, so it must be let onto all of them.
  everywhere = {
    tolerations = [{ operator = "Exists" }]
  }
}

# The roles of what this directory installs itself, trusted as terraform/aws_infra trusts its own.
locals {
  accounts = merge(
    { loki = { namespace = "monitoring", service_account = "loki", policy = local.loki_policy } },
    var.alert_topic_arn == "" ? {} : {
      alertmanager = { namespace = "monitoring", service_account = "alertmanager", policy = local.alertmanager_policy }
    },
  )

  trust = {
    for key, account in local.accounts : key => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = ["sts:AssumeRoleWithWebIdentity"]
        Principal = { Federated = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:oidc-provider/${local.oidc_issuer}" }
        Condition = {
          StringEquals = {
            "${local.oidc_issuer}:aud" = "sts.amazonaws.com"
            "${local.oidc_issuer}:sub" = "system:serviceaccount:${account.namespace}:${account.service_account}"
          }
        }
      }]
    })
  }

  # What a chart gives its service account: the role.
  annotations = merge(
    { for key in keys(local.accounts) : key => { "eks.amazonaws.com/role-arn" = aws_iam_role.this[key].arn } },
    {
      load-balancer-controller = { "eks.amazonaws.com/role-arn" = data.aws_iam_role.load_balancer_controller.arn }
      cluster-autoscaler       = { "eks.amazonaws.com/role-arn" = data.aws_iam_role.cluster_autoscaler.arn }
    },
  )
}

resource "aws_iam_role" "this" {
  for_each = local.accounts

  name               = "${var.cluster_name}-${each.key}"
  assume_role_policy = local.trust[each.key]
}

resource "aws_iam_role_policy" "this" {
  for_each = local.accounts

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value.policy
}
