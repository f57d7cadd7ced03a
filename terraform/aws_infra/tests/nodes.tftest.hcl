# The nodes: where they are, what they are started from, how many there may be, and the ones apart for observability.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "nodes_are_in_private_subnets_only" {
  command = plan

  assert {
    condition = alltrue([
      for zone_group in values(aws_eks_node_group.this) : length(setsubtract(zone_group.subnet_ids, values(aws_subnet.private)[*].id)) == 0
    ])
    error_message = "a node group is in a subnet that is not private"
  }

  assert {
    condition = length(
      setintersection(
        flatten([for zone_group in values(aws_eks_node_group.this) : tolist(zone_group.subnet_ids)]),
        values(aws_subnet.public)[*].id
      )
    ) == 0
    error_message = "a node group is in a public subnet"
  }

  # One zone to a group: the autoscaler can then add a node where a volume is.
  assert {
    condition = alltrue([
      for key, zone_group in aws_eks_node_group.this : toset(zone_group.subnet_ids) == toset([aws_subnet.private[split("/", key)[2]].id])
    ])
    error_message = "a node group is not in the one subnet of its zone"
  }

  assert {
    condition = keys(aws_eks_node_group.this) == [
      "shared/general/eu-central-1a",
      "shared/general/eu-central-1b",
      "shared/general/eu-central-1c",
      "shared/observability/eu-central-1a",
      "shared/observability/eu-central-1b",
    ]
    error_message = "node groups: ${jsonencode(keys(aws_eks_node_group.this))}"
  }

  assert {
    condition     = alltrue([for template in values(aws_launch_template.node) : length(template.network_interfaces) == 0])
    error_message = "a launch template has network interfaces, which could ask for public addresses"
  }
}

run "observability_has_nodes_of_its_own" {
  command = plan

  assert {
    condition = alltrue([
      for key, zone_group in aws_eks_node_group.this :
      [for taint in zone_group.taint : "${taint.key}=${taint.value}:${taint.effect}"] == ["dedicated=observability:NO_SCHEDULE"] &&
      zone_group.labels["dedicated"] == "observability" if split("/", key)[1] == "observability"
    ])
    error_message = "the nodes for observability are not labelled and tainted"
  }

  assert {
    condition = alltrue([
      for key, zone_group in aws_eks_node_group.this : length(zone_group.taint) == 0 && !contains(keys(zone_group.labels), "dedicated")
      if split("/", key)[1] == "general"
    ])
    error_message = "the general nodes repel pods, or are labelled as observability's"
  }

  # What terraform/platform takes over is what the nodes say.
  assert {
    condition = output.observability_nodes == {
      node_selector = { dedicated = "observability" }
      toleration    = { key = "dedicated", operator = "Equal", value = "observability", effect = "NoSchedule" }
    }
    error_message = "the output would not put a pod on the nodes for observability: ${jsonencode(output.observability_nodes)}"
  }

  assert {
    condition = alltrue([
      for key, zone_group in aws_eks_node_group.this : zone_group.capacity_type == "ON_DEMAND"
      if split("/", key)[1] == "observability"
    ])
    error_message = "observability runs on nodes that can be taken away"
  }
}

run "the_instance_metadata_service_answers_the_node_alone" {
  command = plan

  assert {
    condition = alltrue([
      for template in values(aws_launch_template.node) :
      template.metadata_options[0].http_tokens == "required" && template.metadata_options[0].http_put_response_hop_limit == 1
    ]) && length(aws_launch_template.node) == 2
    error_message = "IMDSv1 answers, or a pod can reach IMDS"
  }

  assert {
    condition = alltrue([
      for key, zone_group in aws_eks_node_group.this :
      zone_group.launch_template[0].version == "1" &&
      length(aws_launch_template.node["${split("/", key)[0]}/${split("/", key)[1]}"].block_device_mappings) == 1
    ])
    error_message = "a node group is not started from the latest version of its template"
  }

  assert {
    condition = alltrue([
      for template in values(aws_launch_template.node) :
      template.block_device_mappings[0].ebs[0].encrypted == "true" && template.block_device_mappings[0].ebs[0].volume_type == "gp3"
    ])
    error_message = "a node's disk is not an encrypted gp3 volume"
  }

  assert {
    condition = alltrue([
      for template in values(aws_launch_template.node) :
      toset(template.vpc_security_group_ids) ==
      toset([aws_eks_cluster.this["shared"].vpc_config[0].cluster_security_group_id, aws_security_group.nodes["shared"].id])
    ])
    error_message = "nodes are not in the cluster's group and the one that marks them, and in no other"
  }

  # Default tags do not reach what an Auto Scaling group starts.
  assert {
    condition = alltrue(flatten([
      for template in values(aws_launch_template.node) :
      [for specification in template.tag_specifications : specification.tags["project"] == "onedigest"]
      ])) && alltrue([for template in values(aws_launch_template.node) : toset(template.tag_specifications[*].resource_type) == toset([
        "instance",
        "volume",
        "network-interface",
    ])])
    error_message = "instances, volumes or interfaces would go without tags"
  }
}

run "the_node_role_has_what_a_kubelet_needs" {
  command = plan

  assert {
    condition = toset(values(aws_iam_role_policy_attachment.node)[*].policy_arn) == toset([
      for name in ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore"] :
      "arn:aws:iam::aws:policy/${name}"
    ])
    error_message = "node role: ${jsonencode(values(aws_iam_role_policy_attachment.node)[*].policy_arn)}"
  }

  assert {
    condition = alltrue([
      for zone_group in values(aws_eks_node_group.this) :
      zone_group.version == "1.36" && zone_group.update_config[0].max_unavailable == 1 && zone_group.node_repair_config[0].enabled
    ])
    error_message = "nodes have another version than the control plane, are replaced many at once, or are not repaired"
  }
}

run "groups_scale_within_their_bounds" {
  command = plan

  variables {
    node_groups = {
      general = { instance_types = ["m7i.large"], min = 1, desired = 2, max = 5 }
      batch = {
        instance_types = ["c7i.xlarge", "c6i.xlarge"]
        min            = 0
        desired        = 0
        max            = 10
        capacity_type  = "SPOT"
        disk_gib       = 100
        labels         = { workload = "batch" }
        taints         = [{ key = "workload", value = "batch", effect = "NO_EXECUTE" }]
      }
    }
    observability_nodes = { min = 0, desired = 0, max = 3, zone_count = 1 }
  }

  assert {
    condition = [
      for size in aws_eks_node_group.this["shared/general/eu-central-1b"].scaling_config :
      "${size.min_size} ${size.desired_size} ${size.max_size}"
    ] == ["1 2 5"]
    error_message = "the general group has other bounds than it was given"
  }

  assert {
    condition = (
      [
        for size in aws_eks_node_group.this["shared/batch/eu-central-1c"].scaling_config :
        "${size.min_size} ${size.desired_size} ${size.max_size}"
      ] == ["0 0 10"] &&
      aws_eks_node_group.this["shared/batch/eu-central-1c"].capacity_type == "SPOT"
    )
    error_message = "the batch group has other bounds or capacity than it was given"
  }

  assert {
    condition = (
      [for taint in aws_eks_node_group.this["shared/batch/eu-central-1a"].taint : "${taint.key}=${taint.value}:${taint.effect}"] ==
      ["workload=batch:NO_EXECUTE"] &&
      aws_eks_node_group.this["shared/batch/eu-central-1a"].labels["workload"] == "batch"
    )
    error_message = "the batch group's taint or label is lost"
  }

  assert {
    condition = (
      [for key in keys(aws_eks_node_group.this) : key if split("/", key)[1] == "observability"] == ["shared/observability/eu-central-1a"] &&
      aws_eks_node_group.this["shared/observability/eu-central-1a"].scaling_config[0].max_size == 3
    )
    error_message = "observability is in other zones, or has other bounds, than it was given"
  }

  assert {
    condition     = aws_launch_template.node["shared/batch"].block_device_mappings[0].ebs[0].volume_size == 100
    error_message = "the batch group's disk has another size than it was given"
  }
}

run "a_cluster_may_have_its_own_sizes" {
  command = plan

  variables {
    cluster_layout = "per-environment"
    cluster_node_sizes = {
      staging = {
        general       = { min = 0, desired = 1, max = 2 }
        observability = { min = 0, desired = 0, max = 1 }
      }
    }
  }

  assert {
    condition = (
      aws_eks_node_group.this["staging/general/eu-central-1a"].scaling_config[0].max_size == 2 &&
      aws_eks_node_group.this["staging/observability/eu-central-1a"].scaling_config[0].min_size == 0
    )
    error_message = "staging's sizes were not taken"
  }

  assert {
    condition = (
      aws_eks_node_group.this["production/general/eu-central-1a"].scaling_config[0].max_size == 4 &&
      aws_eks_node_group.this["production/observability/eu-central-1a"].scaling_config[0].min_size == 1
    )
    error_message = "staging's sizes were used for production"
  }

  assert {
    condition = (
      aws_eks_node_group.this["staging/general/eu-central-1a"].cluster_name == "onedigest-staging" &&
      aws_eks_node_group.this["production/general/eu-central-1a"].cluster_name == "onedigest-production"
    )
    error_message = "a node group is on the wrong cluster"
  }
}

run "nodes_get_the_recommended_release" {
  command = plan

  assert {
    condition     = alltrue([for group in values(aws_eks_node_group.this) : group.release_version == "1.36.0-20260801"])
    error_message = "Without a release of their own, nodes keep the AMI that they were made with, and its holes."
  }

  assert {
    condition     = [for parameter in values(data.aws_ssm_parameter.node_release) : parameter.name] == ["/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/x86_64/standard/recommended/release_version"]
    error_message = "The recommended release is read for another version or another architecture."
  }
}

run "nodes_get_the_release_that_is_named" {
  command = plan

  variables {
    node_release = "1.36.0-20260701"
  }

  assert {
    condition     = alltrue([for group in values(aws_eks_node_group.this) : group.release_version == "1.36.0-20260701"]) && length(data.aws_ssm_parameter.node_release) == 0
    error_message = "A release that is named is the one that nodes get."
  }
}

run "a_release_of_another_version" {
  command = plan

  variables {
    node_release = "1.34.2-20260701"
  }

  expect_failures = [var.node_release]
}
