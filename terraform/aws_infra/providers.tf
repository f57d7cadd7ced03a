provider "aws" {
  region              = var.region
  allowed_account_ids = var.allowed_account_ids

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# Without backend.tf, `terraform init` works for a first look, and the state is a file in this directory: whoever lacks it cannot change
# what it made.
check "state_is_shared" {
  assert {
    condition     = var.local_state || fileexists("${path.module}/backend.tf")
    error_message = "The state is a file in this directory. To keep it in S3, copy backend.tf.example to backend.tf and run terraform init -backend-config=../backend.hcl -migrate-state; local_state = true says that it is meant."
  }
}
