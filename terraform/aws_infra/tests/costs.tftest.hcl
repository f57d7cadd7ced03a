# What a month costs, in the profiles that docs/costs.md has tables of. `scripts/terraform.sh --costs` writes those tables again: it takes them
# from the messages below, in which each line begins with a space so that Terraform does not wrap it.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  github_connection_arn = "arn:aws:codeconnections:eu-central-1:123456789012:connection/11111111-2222-3333-4444-555555555555"
}

run "default" {
  command = plan

  assert {
    condition     = strcontains(file("../../docs/costs.md"), output.costs.table)
    error_message = "docs/costs.md has other costs:\n <!-- costs default -->\n ${replace(output.costs.table, "\n", "\n ")}\n <!-- end -->"
  }

  assert {
    condition     = output.costs.unpriced == []
    error_message = "terraform/modules/costs/prices.yaml has no price for ${join(", ", output.costs.unpriced)}."
  }
}

run "per_environment" {
  command = plan

  variables {
    cluster_layout = "per-environment"
  }

  assert {
    condition     = strcontains(file("../../docs/costs.md"), output.costs.table)
    error_message = "docs/costs.md has other costs:\n <!-- costs per-environment -->\n ${replace(output.costs.table, "\n", "\n ")}\n <!-- end -->"
  }

  assert {
    condition     = output.costs.unpriced == []
    error_message = "terraform/modules/costs/prices.yaml has no price for ${join(", ", output.costs.unpriced)}."
  }
}

run "trial" {
  command = plan

  # trial.tfvars, which no test can read as what it is; the last assertion compares them.
  variables {
    zones               = ["a", "b"]
    nat_gateways        = "single"
    log_retention_days  = 7
    deletion_protection = false
    node_groups         = { general = { instance_types = ["t3.large", "t3a.large"], min = 1, desired = 1, max = 2 } }
    observability_nodes = { instance_types = ["t3.large", "t3a.large"], zone_count = 1, max = 1 }
  }

  assert {
    condition     = strcontains(file("../../docs/costs.md"), output.costs.table)
    error_message = "docs/costs.md has other costs:\n <!-- costs trial -->\n ${replace(output.costs.table, "\n", "\n ")}\n <!-- end -->"
  }

  assert {
    condition     = output.costs.unpriced == [] && output.costs.total < 500
    error_message = "A trial costs less than 500 USD: ${output.costs.total}"
  }

  assert {
    condition = var.nat_gateways == "single" && alltrue([
      for setting in [
        "zones = [\"a\", \"b\"]", "nat_gateways = \"single\"", "log_retention_days = 7", "deletion_protection = false",
        "general = { instance_types = [\"t3.large\", \"t3a.large\"], min = 1, desired = 1, max = 2 }",
        "observability_nodes = { instance_types = [\"t3.large\", \"t3a.large\"], zone_count = 1, max = 1 }",
      ] : strcontains(replace(file("trial.tfvars"), "/ +/", " "), setting)
    ])
    error_message = "trial.tfvars has other settings than this test."
  }
}

run "each_line_follows_the_plan" {
  command = plan

  variables {
    nat_gateways        = "single"
    flow_log_traffic    = "ALL"
    interface_endpoints = ["sts", "logs"]
    databases           = { staging = { multi_az = false }, production = {} }
    services            = { cart = { github_repository = "onedigest-example/cart" } }
    assumed_use         = { flow_logs_all_gb = 7, control_plane_logs_gb = 3 }
  }

  assert {
    condition = {
      for line in output.costs.lines : line.item => line.quantity
      if contains(["NAT gateways", "interface endpoints", "databases db.t4g.medium", "their storage", "flow logs, ALL (assumed)", "both kept 90 days"], line.item)
      } == {
      "NAT gateways"             = 730
      "interface endpoints"      = 2 * 3 * 730
      "databases db.t4g.medium"  = 3 * 730
      "their storage"            = 60
      "flow logs, ALL (assumed)" = 7
      "both kept 90 days"        = 30
    }
    error_message = "Quantities that are not the plan's: ${jsonencode(output.costs.lines)}"
  }

  assert {
    condition     = one([for line in output.costs.lines : line.quantity if line.item == "keys"]) == 4 + 4 + 2 + 1 + length(aws_kms_key.database) + 2
    error_message = "Each service has a key for its evidence and one for its secrets in each environment, and one for its builds."
  }
}

run "without_runners_they_cost_nothing" {
  command = plan

  variables {
    github_connection_arn = null
    endpoint_public_cidrs = ["203.0.113.7/32"]
  }

  assert {
    condition     = length([for line in output.costs.lines : line if startswith(line.item, "runners")]) == 0
    error_message = "Without a connection there is no runner that costs."
  }
}
