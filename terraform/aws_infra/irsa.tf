# Who a pod is to AWS: a role trusts exactly one service account of one cluster, through the cluster's OIDC provider (IRSA).

locals {
  # The account with which the External Secrets operator reads an environment's secrets.
  secrets_reader = "secrets-reader"

  oidc_issuers = { for key, cluster in aws_eks_cluster.this : key => trimprefix(cluster.identity[0].oidc[0].issuer, "https://") }

  # What the cluster itself runs, in every cluster.
  system_accounts = {
    "vpc-cni" = {
      namespace       = "kube-system"
      service_account = "aws-node"
      managed_policy  = "AmazonEKS_CNI_Policy"
      by_addon        = true
    }
    "ebs-csi" = {
      namespace       = "kube-system"
      service_account = "ebs-csi-controller-sa"
      managed_policy  = "service-role/AmazonEBSCSIDriverPolicy"
      by_addon        = true
    }
    "load-balancer-controller" = {
      namespace       = "kube-system"
      service_account = "aws-load-balancer-controller"
      managed_policy  = null
      by_addon        = false
    }
    "cluster-autoscaler" = {
      namespace       = "kube-system"
      service_account = "cluster-autoscaler"
      managed_policy  = null
      by_addon        = false
    }
  }

  system_roles = {
    for pair in setproduct(keys(local.clusters), keys(local.system_accounts)) :
    "${pair[0]}/${pair[1]}" => merge(local.system_accounts[pair[1]], { cluster = pair[0], name = pair[1] })
  }

  system_policies = merge(
    { for key, cluster in local.clusters : "${key}/load-balancer-controller" => local.load_balancer_controller_policy[key] },
    { for key, cluster in local.clusters : "${key}/cluster-autoscaler" => local.cluster_autoscaler_policy[key] },
  )

  # What workloads run, by the name that var.service_accounts gives it.
  workload_roles = {
    for key, account in var.service_accounts : key => merge(account, {
      cluster         = local.cluster_of[account.environment]
      namespace       = var.environments[account.environment].namespace
      service_account = account.name
    })
  }

  # Trust policies. The OIDC provider signs for every service account of the cluster: only the exact `sub`, and the audience
  # that tokens for AWS carry, may pass.
  trust = {
    for key, account in merge(
      { for key, role in local.system_roles : "system/${key}" => role },
      { for key, role in local.workload_roles : "workload/${key}" => role },
      ) : key => jsonencode({
        Version = "2012-10-17"
        Statement = [{
          Effect    = "Allow"
          Action    = ["sts:AssumeRoleWithWebIdentity"]
          Principal = { Federated = aws_iam_openid_connect_provider.cluster[account.cluster].arn }
          Condition = {
            StringEquals = {
              "${local.oidc_issuers[account.cluster]}:aud" = "sts.amazonaws.com"
              "${local.oidc_issuers[account.cluster]}:sub" = "system:serviceaccount:${account.namespace}:${account.service_account}"
            }
          }
        }]
    })
  }
}

resource "aws_iam_openid_connect_provider" "cluster" {
  for_each = local.clusters

  url            = aws_eks_cluster.this[each.key].identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

# ── What the cluster runs ───────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_iam_role" "system" {
  for_each = local.system_roles

  name               = "${local.clusters[each.value.cluster].name}-${each.value.name}"
  assume_role_policy = local.trust["system/${each.key}"]
}

resource "aws_iam_role_policy_attachment" "system" {
  for_each = { for key, role in local.system_roles : key => role if role.managed_policy != null }

  role       = aws_iam_role.system[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value.managed_policy}"
}

resource "aws_iam_role_policy" "system" {
  for_each = { for key, role in local.system_roles : key => role if role.managed_policy == null }

  name   = each.value.name
  role   = aws_iam_role.system[each.key].id
  policy = local.system_policies[each.key]
}

# ── What workloads run ──────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_iam_role" "workload" {
  for_each = local.workload_roles

  name               = "${var.name}-${each.value.environment}-app-${each.value.service_account}"
  assume_role_policy = local.trust["workload/${each.key}"]
}

resource "aws_iam_role_policy_attachment" "workload" {
  for_each = merge([
    for key, role in local.workload_roles : { for arn in role.policy_arns : "${key}/${arn}" => { role = key, arn = arn } }
  ]...)

  role       = aws_iam_role.workload[each.value.role].name
  policy_arn = each.value.arn
}

# Signing in to the database with a token of 15 minutes in place of a password.
resource "aws_iam_role_policy" "workload_database" {
  for_each = { for key, role in local.workload_roles : key => role if role.database_user != null }

  name = "database"
  role = aws_iam_role.workload[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = ["rds-db:connect"]
      Resource = [join(":", [
        "arn", local.partition, "rds-db", var.region, local.account_id,
        "dbuser", "${aws_db_instance.this[each.value.environment].resource_id}/${each.value.database_user}",
      ])]
    }]
  })
}

# ── Who reads an environment's secrets ──────────────────────────────────────────────────────────────────────────────────

# The External Secrets operator borrows the service account of the namespace it works for (SecretStore, auth.jwt), so that it
# has no more than each service's own secrets in that environment.
resource "aws_iam_role" "secrets_reader" {
  for_each = local.deployments

  name = "${var.name}-${each.value.reader}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRoleWithWebIdentity"]
      Principal = { Federated = aws_iam_openid_connect_provider.cluster[local.cluster_of[each.value.environment]].arn }
      Condition = {
        StringEquals = {
          "${local.oidc_issuers[local.cluster_of[each.value.environment]]}:aud" = "sts.amazonaws.com"
          "${local.oidc_issuers[local.cluster_of[each.value.environment]]}:sub" = "system:serviceaccount:${each.value.namespace}:${local.secrets_reader}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "secrets_reader" {
  for_each = local.deployments

  name = "read"
  role = aws_iam_role.secrets_reader[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
      Resource = ["arn:${local.partition}:secretsmanager:${var.region}:${local.account_id}:secret:${var.name}/${each.value.secrets}/*"]
    }]
  })
}
