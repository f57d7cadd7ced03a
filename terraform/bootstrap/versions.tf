terraform {
  # 1.11, as in the other directories: the state's lock needs it there (`use_lockfile` is stable).
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }

  # No backend: the first apply makes the bucket, with its state in this directory. README.md says how the state is moved into it.
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.allowed_account_ids

  default_tags {
    tags = merge(var.tags, {
      project    = var.name
      managed-by = "terraform"
      directory  = "terraform/bootstrap"
    })
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}
