# Read by `terraform test` for every file in this directory; a test sets in its own `variables` block what it is about.
name           = "onedigest"
region         = "eu-central-1"
cluster_name   = "onedigest"
local_state    = true
without_alerts = true
