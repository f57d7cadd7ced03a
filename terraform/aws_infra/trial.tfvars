# A cheap trial: terraform apply -var-file=account.tfvars -var-file=trial.tfvars. Two zones, one NAT gateway, small machines, logs for a week,
# and nothing that keeps it from being destroyed. docs/costs.md has what it costs.
zones               = ["a", "b"]
nat_gateways        = "single"
log_retention_days  = 7
deletion_protection = false

node_groups = {
  general = { instance_types = ["t3.large", "t3a.large"], min = 1, desired = 1, max = 2 }
}
observability_nodes = { instance_types = ["t3.large", "t3a.large"], zone_count = 1, max = 1 }
