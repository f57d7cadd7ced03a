terraform {
  # 1.11: S3 locking by `use_lockfile` is stable, tests can override computed values at plan time, write-only arguments exist.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Exact, here and in the other directories: no lock file is committed (docs/aws.md, "Keeping it patched"). Written and tested against its schemas.
      version = "6.25.0"
    }
  }
}
