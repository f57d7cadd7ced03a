# Read by `terraform test` for every file in this directory.
local_state = true
