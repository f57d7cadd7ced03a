# Read by `terraform test` for every file in this directory; a test sets in its own `variables` block what it is about.
environment  = "staging"
repository   = "shop"
image_tag    = "0123456789abcdef0123456789abcdef01234567"
name         = "onedigest"
cluster_name = "onedigest"
