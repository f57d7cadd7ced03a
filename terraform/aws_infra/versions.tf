terraform {
  # 1.11: S3 locking by `use_lockfile` is stable, tests can override computed values at plan time, write-only arguments exist.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Written and tested against the schemas of 6.25; older 6.x lack arguments used here.
      version = ">= 6.25, < 7.0"
    }
  }
}
