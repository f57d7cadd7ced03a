terraform {
  # 1.11: S3 locking by `use_lockfile` is stable, tests can override computed values at plan time.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25, < 7.0"
    }
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.1, < 4.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.38, < 3.0"
    }
  }

  # Bucket, region and key come from `terraform init -backend-config=…` (docs/aws.md): with a cluster for each environment this
  # directory is applied once for each, with a state of its own: key=platform/CLUSTER/terraform.tfstate.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
