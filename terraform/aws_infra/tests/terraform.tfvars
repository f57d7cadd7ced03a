# Read by `terraform test` for every file in this directory; a test sets in its own `variables` block what it is about.
region                = "eu-central-1"
github_repository     = "onedigest-example/shop"
cluster_admin_arns    = ["arn:aws:iam::123456789012:role/platform"]
local_state           = true
alarm_topic_arn       = "arn:aws:sns:eu-central-1:123456789012:alerts"
github_connection_arn = "arn:aws:codeconnections:eu-central-1:123456789012:connection/11111111-2222-3333-4444-555555555555"
