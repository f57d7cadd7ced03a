# The pods' identities: that each role trusts exactly one service account of one cluster, and may do what it is for.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "by_irsa_each_role_trusts_one_service_account" {
  command = plan

  # Whole conditions are compared: an operator with wildcards, or a missing `aud` or `sub`, is another condition.
  assert {
    condition = {
      for key, role in aws_iam_role.system : key => jsondecode(role.assume_role_policy).Statement[0].Condition
      } == {
      for key, account in {
        "shared/cluster-autoscaler"       = "kube-system:cluster-autoscaler"
        "shared/ebs-csi"                  = "kube-system:ebs-csi-controller-sa"
        "shared/load-balancer-controller" = "kube-system:aws-load-balancer-controller"
        "shared/vpc-cni"                  = "kube-system:aws-node"
        } : key => {
        StringEquals = {
          "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:aud" = "sts.amazonaws.com"
          "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub" = "system:serviceaccount:${account}"
        }
      }
    }
    error_message = "trust: ${jsonencode({ for key, role in aws_iam_role.system : key => role.assume_role_policy })}"
  }

  assert {
    condition = alltrue([
      for role in concat(values(aws_iam_role.system), values(aws_iam_role.secrets_reader)) :
      length(jsondecode(role.assume_role_policy).Statement) == 1 &&
      jsondecode(role.assume_role_policy).Statement[0].Action == ["sts:AssumeRoleWithWebIdentity"] &&
      jsondecode(role.assume_role_policy).Statement[0].Principal == { Federated = aws_iam_openid_connect_provider.cluster["shared"].arn }
    ])
    error_message = "a role can be taken another way than by the cluster's OIDC provider"
  }

  assert {
    condition = (
      toset(aws_iam_openid_connect_provider.cluster["shared"].client_id_list) == toset(["sts.amazonaws.com"]) &&
      aws_iam_openid_connect_provider.cluster["shared"].url == "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
    )
    error_message = "the OIDC provider is not the cluster's, or takes tokens for others than AWS"
  }

  assert {
    condition = (
      aws_eks_addon.before_nodes["shared/vpc-cni"].service_account_role_arn == aws_iam_role.system["shared/vpc-cni"].arn &&
      aws_eks_addon.after_nodes["shared/aws-ebs-csi-driver"].service_account_role_arn == aws_iam_role.system["shared/ebs-csi"].arn
    )
    error_message = "an add-on does not get its role"
  }
}

run "of_two_clusters_each_trusts_its_own_accounts" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  override_resource {
    target          = aws_eks_cluster.this["staging"]
    override_during = plan
    values = {
      identity              = [{ oidc = [{ issuer = "https://oidc.example/STAGING" }] }]
      certificate_authority = [{ data = "ZXhhbXBsZQ==" }]
    }
  }

  override_resource {
    target          = aws_eks_cluster.this["production"]
    override_during = plan
    values = {
      identity              = [{ oidc = [{ issuer = "https://oidc.example/PRODUCTION" }] }]
      certificate_authority = [{ data = "ZXhhbXBsZQ==" }]
    }
  }

  assert {
    condition = (
      keys(jsondecode(aws_iam_role.system["staging/cluster-autoscaler"].assume_role_policy).Statement[0].Condition.StringEquals) ==
      ["oidc.example/STAGING:aud", "oidc.example/STAGING:sub"]
    )
    error_message = "staging's role is trusted through another cluster's tokens"
  }

  assert {
    condition = (
      keys(jsondecode(aws_iam_role.secrets_reader["production"].assume_role_policy).Statement[0].Condition.StringEquals) ==
      ["oidc.example/PRODUCTION:aud", "oidc.example/PRODUCTION:sub"]
    )
    error_message = "production's secrets can be read with another cluster's tokens"
  }

  assert {
    condition = length(
      distinct(
        concat(
          values(aws_iam_role.system)[*].name,
          values(aws_iam_role.secrets_reader)[*].name,
          values(aws_iam_role.node)[*].name,
          values(aws_iam_role.cluster)[*].name
        )
      )
    ) == 8 + 2 + 2 + 2
    error_message = "two roles have one name"
  }
}

run "workloads_have_the_roles_they_were_given" {
  command = plan

  variables {
    environments = {
      staging    = { namespace = "shop-staging" }
      production = { namespace = "shop-production" }
    }
    databases = { production = {} }
    service_accounts = {
      staging    = { environment = "staging", name = "shop" }
      production = { environment = "production", name = "shop", database_user = "shop", policy_arns = ["arn:aws:iam::123456789012:policy/shop"] }
    }
  }

  assert {
    condition = {
      for role in values(aws_iam_role.workload) : role.name =>
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub"]
      } == {
      "onedigest-staging-app-shop"    = "system:serviceaccount:shop-staging:shop"
      "onedigest-production-app-shop" = "system:serviceaccount:shop-production:shop"
    }
    error_message = "a workload's role trusts another environment's account"
  }

  assert {
    condition = alltrue([
      for role in values(aws_iam_role.workload) :
      length(jsondecode(role.assume_role_policy).Statement) == 1 &&
      jsondecode(role.assume_role_policy).Statement[0].Action == ["sts:AssumeRoleWithWebIdentity"] &&
      jsondecode(role.assume_role_policy).Statement[0].Principal == { Federated = aws_iam_openid_connect_provider.cluster["shared"].arn }
    ])
    error_message = "a workload's role can be taken another way than by the cluster's OIDC provider"
  }

  assert {
    condition = (
      keys(aws_iam_role_policy.workload_database) == ["production"] &&
      jsondecode(aws_iam_role_policy.workload_database["production"].policy).Statement ==
      [{ Effect = "Allow", Action = ["rds-db:connect"], Resource = ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-EXAMPLE/shop"] }]
    )
    error_message = "a workload may sign in to another database, or as another user, than it was given"
  }

  assert {
    condition = (
      [for attachment in values(aws_iam_role_policy_attachment.workload) : "${attachment.role} ${attachment.policy_arn}"] ==
      ["onedigest-production-app-shop arn:aws:iam::123456789012:policy/shop"]
    )
    error_message = "a workload has other policies than it was given"
  }
}

run "secrets_of_one_environment_only" {
  command = plan

  assert {
    condition = {
      for environment, policy in aws_iam_role_policy.secrets_reader : environment => jsondecode(policy.policy).Statement[0].Resource
      } == {
      staging    = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:onedigest/staging/*"]
      production = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:onedigest/production/*"]
    }
    error_message = "an environment's reader can read another's secrets"
  }

  assert {
    condition = jsondecode(aws_iam_role.secrets_reader["staging"].assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:aud" = "sts.amazonaws.com"
        "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub" = "system:serviceaccount:staging:secrets-reader"
      }
    }
    error_message = "others than staging's reader can read staging's secrets"
  }
}

run "the_autoscaler_changes_its_own_clusters_groups" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  assert {
    condition = { for key, policy in aws_iam_role_policy.system : key => [
      for statement in jsondecode(policy.policy).Statement :
      try(statement.Condition, {})
      if contains(statement.Action, "autoscaling:SetDesiredCapacity") ||
      contains(statement.Action, "autoscaling:TerminateInstanceInAutoScalingGroup")
      ] if endswith(key, "cluster-autoscaler") } == {
      "staging/cluster-autoscaler"    = [{ StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/onedigest-staging" = "owned" } }]
      "production/cluster-autoscaler" = [{ StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/onedigest-production" = "owned" } }]
    }
    error_message = "an autoscaler may change another cluster's groups"
  }

  # The controller makes, changes and removes only what carries its cluster's tag.
  assert {
    condition = alltrue(flatten([
      for key in ["staging", "production"] : [
        for statement in jsondecode(aws_iam_role_policy.system["${key}/load-balancer-controller"].policy).Statement :
        strcontains(jsonencode(statement.Condition), "elbv2.k8s.aws/cluster\":\"onedigest-${key}\"")
        if length(setintersection(statement.Action, [
          "elasticloadbalancing:CreateLoadBalancer",
          "elasticloadbalancing:DeleteLoadBalancer",
          "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "ec2:DeleteSecurityGroup",
        ])) > 0
      ]
    ]))
    error_message = "a controller may change another cluster's load balancers"
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.system["staging/load-balancer-controller"].policy).Statement :
      statement.Condition.ArnEquals["ec2:Vpc"]
      if contains(statement.Action, "ec2:AuthorizeSecurityGroupIngress")
    ] == ["arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0123456789abcdef0"]
    error_message = "a controller may open security groups outside the VPC"
  }
}

run "no_policy_allows_everything" {
  command = plan

  variables {
    databases        = { production = {} }
    service_accounts = { shop = { environment = "production", name = "shop", database_user = "shop" } }
  }

  # A whole wildcard, or one over a service, in no policy. Looking (Describe, List, Get) may concern every resource: those actions
  # take none. What changes something names what it changes, or is held by a condition on it.
  assert {
    condition = alltrue(flatten([
      for policy in concat(
        values(aws_iam_role_policy.system), values(aws_iam_role_policy.secrets_reader), values(aws_iam_role_policy.workload_database),
        values(aws_iam_role_policy.cluster_secrets), [aws_iam_role_policy.flow]
        ) : [
        for statement in jsondecode(policy.policy).Statement : alltrue([for action in statement.Action : !strcontains(action, "*")]) && (
          !contains(statement.Resource, "*") || can(statement.Condition) ||
          alltrue([for action in statement.Action : can(regex(":(Describe|List|Get)", action))])
        )
      ]
    ]))
    error_message = "a policy allows all actions of a service, or a change of everything"
  }

  # IAM holds 10,240 characters of a role's inline policies.
  assert {
    condition     = alltrue([for policy in values(aws_iam_role_policy.system) : length(policy.policy) <= 10240])
    error_message = "a policy is larger than IAM takes: ${jsonencode([for policy in values(aws_iam_role_policy.system) : length(policy.policy)])}"
  }

  assert {
    condition = alltrue([
      for role in concat(
        values(aws_iam_role.system),
        values(aws_iam_role.workload),
        values(aws_iam_role.secrets_reader),
        values(aws_iam_role.node),
        values(aws_iam_role.cluster)
      ) :
      length(role.name) <= 64
    ])
    error_message = "a role's name is longer than IAM takes"
  }
}

run "the_longest_names_fit" {
  command = plan

  variables {
    name             = "a-name-of-20-letters"
    cluster_layout   = "per-environment"
    environments     = { another-environm = { namespace = "two" } }
    service_accounts = { it = { environment = "another-environm", name = "account-20-character" } }
    databases        = { another-environm = {} }
  }

  assert {
    condition = alltrue([
      for role in concat(
        values(aws_iam_role.system),
        values(aws_iam_role.workload),
        values(aws_iam_role.secrets_reader),
        values(aws_iam_role.node),
        values(aws_iam_role.cluster)
      ) :
      length(role.name) <= 64
    ])
    error_message = "a role's name is longer than the 64 characters that IAM takes"
  }

  assert {
    condition = (
      length(aws_db_instance.this["another-environm"].identifier) <= 63 &&
      alltrue([for zone_group in values(aws_eks_node_group.this) : length(zone_group.node_group_name_prefix) <= 37])
    )
    error_message = "a database's or a node group's name is longer than AWS takes"
  }
}
