# The clusters: both layouts, the control plane's protections, and who is let in.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "one_cluster_for_all_environments" {
  command = plan

  assert {
    condition     = { for key, cluster in aws_eks_cluster.this : key => cluster.name } == { shared = "onedigest" }
    error_message = "clusters: ${jsonencode({ for key, cluster in aws_eks_cluster.this : key => cluster.name })}"
  }

  assert {
    condition = (
      tomap(output.cluster_of) == tomap({ staging = "onedigest", production = "onedigest" }) &&
      output.clusters["shared"].environments == tolist(["production", "staging"])
    )
    error_message = "not both environments on the one cluster"
  }
}

run "a_cluster_for_each_environment" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  assert {
    condition = { for key, cluster in aws_eks_cluster.this : key => cluster.name } == {
      staging    = "onedigest-staging"
      production = "onedigest-production"
    }
    error_message = "clusters: ${jsonencode({ for key, cluster in aws_eks_cluster.this : key => cluster.name })}"
  }

  assert {
    condition     = tomap(output.cluster_of) == tomap({ staging = "onedigest-staging", production = "onedigest-production" })
    error_message = "environments are on the wrong clusters: ${jsonencode(output.cluster_of)}"
  }

  # Each environment's deploy role is known to its own cluster and to no other.
  assert {
    condition = (
      { for environment, entry in aws_eks_access_entry.deploy : environment => entry.cluster_name } ==
      { staging = "onedigest-staging", production = "onedigest-production" }
    )
    error_message = "a deploy role is known to the wrong cluster"
  }

  assert {
    condition     = toset(values(aws_eks_access_entry.admin)[*].cluster_name) == toset(["onedigest-staging", "onedigest-production"])
    error_message = "the administrators are not known to every cluster"
  }

  # Nothing that keeps the clusters apart is shared.
  assert {
    condition = alltrue([
      for kind in [
        aws_kms_key.cluster,
        aws_iam_role.cluster,
        aws_iam_role.node,
        aws_security_group.nodes,
        aws_cloudwatch_log_group.cluster,
        aws_iam_openid_connect_provider.cluster,
      ] :
      toset(keys(kind)) == toset(["staging", "production"])
    ])
    error_message = "clusters share a key, a role, a security group, a log group or an OIDC provider"
  }

  assert {
    condition = (
      length(distinct([for zone_group in values(aws_eks_node_group.this) : zone_group.cluster_name])) == 2 &&
      length(aws_eks_node_group.this) == 10
    )
    error_message = "not each cluster has its nodes: ${jsonencode(keys(aws_eks_node_group.this))}"
  }

  assert {
    condition = toset([
      for key, addon in merge(aws_eks_addon.before_nodes, aws_eks_addon.after_nodes) : key
      if addon.cluster_name == "onedigest-staging"
      ]) == toset([
      for name in ["vpc-cni", "kube-proxy", "coredns", "metrics-server", "aws-ebs-csi-driver"] : "staging/${name}"
    ])
    error_message = "the staging cluster's add-ons are not all there"
  }
}

run "secrets_are_encrypted_with_a_key_that_rotates" {
  command = plan

  assert {
    condition = (
      toset(aws_eks_cluster.this["shared"].encryption_config[0].resources) == toset(["secrets"]) &&
      aws_eks_cluster.this["shared"].encryption_config[0].provider[0].key_arn == aws_kms_key.cluster["shared"].arn
    )
    error_message = "Kubernetes Secrets are not encrypted with the cluster's own key"
  }

  assert {
    condition     = aws_kms_key.cluster["shared"].enable_key_rotation && aws_kms_key.cluster["shared"].deletion_window_in_days == 30
    error_message = "the key does not rotate, or can be gone within the month"
  }
}

run "the_control_plane_logs_everything" {
  command = plan

  assert {
    condition = (
      toset(aws_eks_cluster.this["shared"].enabled_cluster_log_types) ==
      toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    )
    error_message = "log types: ${jsonencode(aws_eks_cluster.this["shared"].enabled_cluster_log_types)}"
  }

  assert {
    condition = (
      aws_cloudwatch_log_group.cluster["shared"].name == "/aws/eks/onedigest/cluster" &&
      aws_cloudwatch_log_group.cluster["shared"].kms_key_id == aws_kms_key.logs.arn &&
      aws_cloudwatch_log_group.cluster["shared"].retention_in_days == 90
    )
    error_message = "the control plane's logs go to a group that is not encrypted or never ends"
  }
}

run "the_api_is_private_by_default" {
  command = plan

  assert {
    condition = (
      aws_eks_cluster.this["shared"].vpc_config[0].endpoint_private_access &&
      !aws_eks_cluster.this["shared"].vpc_config[0].endpoint_public_access
    )
    error_message = "the API has a public endpoint without being asked"
  }

  assert {
    condition     = toset(aws_eks_cluster.this["shared"].vpc_config[0].subnet_ids) == toset(values(aws_subnet.private)[*].id)
    error_message = "the control plane's interfaces are not in the private subnets, and these only"
  }

  assert {
    condition = (
      [for rule in values(aws_vpc_security_group_ingress_rule.cluster_api) : "${rule.cidr_ipv4}:${rule.from_port}-${rule.to_port}"] ==
      ["10.20.0.0/16:443-443"]
    )
    error_message = "the private endpoint admits other than HTTPS from the VPC"
  }
}

run "the_public_endpoint_is_restricted" {
  command = plan

  variables {
    endpoint_public_cidrs  = ["198.51.100.0/24", "203.0.113.7/32"]
    endpoint_private_cidrs = ["10.20.0.0/16", "10.8.0.0/24"]
  }

  assert {
    condition = (
      aws_eks_cluster.this["shared"].vpc_config[0].endpoint_public_access &&
      aws_eks_cluster.this["shared"].vpc_config[0].endpoint_private_access &&
      toset(aws_eks_cluster.this["shared"].vpc_config[0].public_access_cidrs) == toset(["198.51.100.0/24", "203.0.113.7/32"])
    )
    error_message = "the public endpoint admits others than those named"
  }

  assert {
    condition     = toset(values(aws_vpc_security_group_ingress_rule.cluster_api)[*].cidr_ipv4) == toset(["10.20.0.0/16", "10.8.0.0/24"])
    error_message = "the private endpoint admits others than those named"
  }
}

run "access_is_by_entries_alone" {
  command = plan

  assert {
    condition = (
      aws_eks_cluster.this["shared"].access_config[0].authentication_mode == "API" &&
      !aws_eks_cluster.this["shared"].access_config[0].bootstrap_cluster_creator_admin_permissions
    )
    error_message = "aws-auth still counts, or whoever makes the cluster becomes its administrator silently"
  }

  assert {
    condition = [
      for association in values(aws_eks_access_policy_association.admin) :
      "${association.principal_arn} ${association.policy_arn} ${association.access_scope[0].type}"
    ] == ["arn:aws:iam::123456789012:role/platform arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy cluster"]
    error_message = "the administrators are others than those named"
  }

  # A deploy role is in one group, to which the environment's directory binds the generated Role, and has no policy of EKS's: the edit
  # policy allows exec and impersonation.
  assert {
    condition = length(setintersection(
      [for association in concat(values(aws_eks_access_policy_association.admin), values(aws_eks_access_policy_association.viewer)) : association.principal_arn],
      [for entry in values(aws_eks_access_entry.deploy) : entry.principal_arn],
    )) == 0
    error_message = "a deploy role has a policy of EKS's"
  }

  assert {
    condition = { for environment, entry in aws_eks_access_entry.deploy : environment => tolist(entry.kubernetes_groups) } == {
      staging    = tolist(["onedigest-deploy-staging"])
      production = tolist(["onedigest-deploy-production"])
    }
    error_message = "a deploy role is in another environment's group"
  }

  assert {
    condition     = output.environments["staging"] == { namespace = "staging", deploy_group = "onedigest-deploy-staging" }
    error_message = "the group that terraform/staging binds is not the one in the access entry"
  }
}

run "viewers_see_their_namespaces" {
  command = plan

  variables {
    viewer_arns = {
      staging    = ["arn:aws:iam::123456789012:role/developers", "arn:aws:iam::123456789012:role/testers"]
      production = ["arn:aws:iam::123456789012:role/developers"]
    }
  }

  # One entry for a role and cluster: EKS refuses a second.
  assert {
    condition = {
      for key, association in aws_eks_access_policy_association.viewer :
      association.principal_arn => join(",", sort(association.access_scope[0].namespaces))
      } == {
      "arn:aws:iam::123456789012:role/developers" = "production,staging"
      "arn:aws:iam::123456789012:role/testers"    = "staging"
    }
    error_message = "viewers see other namespaces than those they were given"
  }

  assert {
    condition = alltrue([
      for association in values(aws_eks_access_policy_association.viewer) :
      association.policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy" &&
      association.access_scope[0].type == "namespace"
    ])
    error_message = "a viewer may do more than look"
  }
}

run "viewers_of_clusters_apart" {
  command = plan

  variables {
    cluster_layout = "per-environment"
    viewer_arns = {
      staging    = ["arn:aws:iam::123456789012:role/developers"]
      production = ["arn:aws:iam::123456789012:role/developers"]
    }
  }

  assert {
    condition = {
      for association in values(aws_eks_access_policy_association.viewer) :
      association.cluster_name => join(",", association.access_scope[0].namespaces)
    } == { "onedigest-staging" = "staging", "onedigest-production" = "production" }
    error_message = "a viewer sees a namespace in the wrong cluster"
  }
}

run "addons_are_those_of_eks" {
  command = plan

  variables {
    addon_versions = { "coredns" = "v1.12.4-eksbuild.1" }
  }

  assert {
    condition     = aws_eks_cluster.this["shared"].bootstrap_self_managed_addons == false
    error_message = "the cluster would come with add-ons that nobody keeps up to date"
  }

  assert {
    condition = (
      toset([for addon in concat(values(aws_eks_addon.before_nodes), values(aws_eks_addon.after_nodes)) : addon.addon_name]) ==
      toset(["vpc-cni", "kube-proxy", "coredns", "metrics-server", "aws-ebs-csi-driver"])
    )
    error_message = "an add-on is missing"
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["shared/vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "network policies would be accepted and do nothing"
  }

  assert {
    condition = (
      aws_eks_addon.after_nodes["shared/coredns"].addon_version == "v1.12.4-eksbuild.1" &&
      aws_eks_addon.before_nodes["shared/kube-proxy"].addon_version == "v1.0.0-eksbuild.1"
    )
    error_message = "an add-on has another version than the one named, or than EKS's default"
  }
}

run "support_and_deletion" {
  command = plan

  variables {
    kubernetes_version  = "1.34"
    kubernetes_support  = "EXTENDED"
    deletion_protection = false
  }

  assert {
    condition = (
      aws_eks_cluster.this["shared"].version == "1.34" &&
      aws_eks_cluster.this["shared"].upgrade_policy[0].support_type == "EXTENDED" &&
      !aws_eks_cluster.this["shared"].deletion_protection
    )
    error_message = "version, support or protection is not what was asked for"
  }
}

run "deletion_is_refused_by_default" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this["shared"].deletion_protection && aws_eks_cluster.this["shared"].upgrade_policy[0].support_type == "STANDARD"
    error_message = "a cluster can be deleted by mistake, or costs six times as much when its version ages"
  }

  assert {
    condition = jsondecode(aws_iam_role.cluster["shared"].assume_role_policy).Statement[0].Condition == {
      ArnLike      = { "aws:SourceArn" = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest" }
      StringEquals = { "aws:SourceAccount" = "123456789012" }
    }
    error_message = "another cluster could take this cluster's role"
  }
}
