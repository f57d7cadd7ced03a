# Applied, on the mocks, and then planned with another `desired`: the number of nodes is the autoscaler's by then.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_cluster_with_one_node_to_a_zone" {
  command = apply

  assert {
    condition     = aws_eks_node_group.this["shared/general/eu-central-1a"].scaling_config[0].desired_size == 1
    error_message = "the first apply does not start the nodes that were asked for"
  }
}

run "leaves_the_number_of_nodes_to_the_autoscaler" {
  command = plan

  variables {
    node_groups = {
      general = { instance_types = ["m7i.large", "m6i.large", "m7a.large", "m6a.large"], min = 1, desired = 3, max = 6 }
    }
  }

  assert {
    condition     = [for size in aws_eks_node_group.this["shared/general/eu-central-1a"].scaling_config : [size.desired_size, size.max_size]] == [[1, 6]]
    error_message = "an apply would set back what the autoscaler did, or would not take the new bound"
  }
}
