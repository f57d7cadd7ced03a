# What is refused before anything is planned: one run for each rule, each with one thing wrong.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "node_groups_negative" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = -1, desired = 1, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_min_over_max" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 3, desired = 3, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_desired_over_max" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 1, desired = 3, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_desired_under_min" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 2, desired = 1, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_half_a_node" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 1, desired = 1.5, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_never_a_node" {
  command = plan

  variables {
    node_groups = {
      general = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2 }
      none    = { instance_types = ["m7i.large"], min = 0, desired = 0, max = 0 }
    }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_only_tainted" {
  command = plan

  variables {
    node_groups = {
      general = {
        instance_types = ["m7i.large"]
        min            = 1
        desired        = 1
        max            = 2
        taints         = [{ key = "a", value = "b", effect = "NO_SCHEDULE" }]
      }
    }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_no_types" {
  command = plan

  variables {
    node_groups = { general = { instance_types = [], min = 1, desired = 1, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_malformed_type" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["large"], min = 1, desired = 1, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_named_observability" {
  command = plan

  variables {
    node_groups = {
      general       = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2 }
      observability = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2 }
    }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_malformed_name" {
  command = plan

  variables {
    node_groups = { General = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_unknown_capacity" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2, capacity_type = "spot" } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_unknown_image" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2, ami_type = "AL2_x86_64" } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_small_disk" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2, disk_gib = 8 } }
  }

  expect_failures = [var.node_groups]
}

run "node_groups_effect_of_kubernetes" {
  command = plan

  variables {
    node_groups = {
      general = { instance_types = ["m7i.large"], min = 1, desired = 1, max = 2 }
      batch   = { instance_types = ["m7i.large"], min = 0, desired = 0, max = 2, taints = [{ key = "a", value = "b", effect = "NoSchedule" }] }
    }
  }

  expect_failures = [var.node_groups]
}

run "observability_nodes_negative" {
  command = plan

  variables {
    observability_nodes = { min = -1 }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_min_over_max" {
  command = plan

  variables {
    observability_nodes = { min = 3, desired = 3, max = 2 }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_more_zones_than_there_are" {
  command = plan

  variables {
    observability_nodes = { zone_count = 4 }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_no_zone" {
  command = plan

  variables {
    observability_nodes = { zone_count = 0 }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_no_types" {
  command = plan

  variables {
    observability_nodes = { instance_types = [] }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_unknown_image" {
  command = plan

  variables {
    observability_nodes = { ami_type = "AL2_x86_64" }
  }

  expect_failures = [var.observability_nodes]
}

run "observability_nodes_small_disk" {
  command = plan

  variables {
    observability_nodes = { disk_gib = 8 }
  }

  expect_failures = [var.observability_nodes]
}

run "cluster_node_sizes_unknown_cluster" {
  command = plan

  variables {
    cluster_node_sizes = { staging = { general = { min = 1, desired = 1, max = 2 } } }
  }

  expect_failures = [var.cluster_node_sizes]
}

run "cluster_node_sizes_unknown_group" {
  command = plan

  variables {
    cluster_node_sizes = { shared = { batch = { min = 1, desired = 1, max = 2 } } }
  }

  expect_failures = [var.cluster_node_sizes]
}

run "cluster_node_sizes_min_over_max" {
  command = plan

  variables {
    cluster_node_sizes = { shared = { general = { min = 3, desired = 3, max = 2 } } }
  }

  expect_failures = [var.cluster_node_sizes]
}

run "cluster_node_sizes_negative" {
  command = plan

  variables {
    cluster_node_sizes = { shared = { general = { min = -1, desired = 0, max = 2 } } }
  }

  expect_failures = [var.cluster_node_sizes]
}

run "node_groups_without_a_node_for_the_addons" {
  command = plan

  variables {
    node_groups = { general = { instance_types = ["m7i.large"], min = 0, desired = 0, max = 4 } }
  }

  expect_failures = [var.node_groups]
}
