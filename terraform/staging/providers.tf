provider "aws" {
  region              = var.region
  allowed_account_ids = var.allowed_account_ids

  default_tags {
    tags = merge(var.tags, {
      project     = var.name
      environment = local.environment
      managed-by  = "terraform"
      directory   = "terraform/${local.environment}"
    })
  }
}

data "aws_eks_cluster" "this" {
  name = local.cluster_name
}

# A token for each run, by the AWS CLI: nothing that opens the cluster is kept in the state.
provider "kubernetes" {
  host                   = data.aws_eks_cluster.this.endpoint
  cluster_ca_certificate = base64decode(data.aws_eks_cluster.this.certificate_authority[0].data)

  exec {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "aws"
    args        = ["eks", "get-token", "--region", var.region, "--cluster-name", local.cluster_name]
  }
}

provider "helm" {
  kubernetes = {
    host                   = data.aws_eks_cluster.this.endpoint
    cluster_ca_certificate = base64decode(data.aws_eks_cluster.this.certificate_authority[0].data)

    exec = {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "aws"
      args        = ["eks", "get-token", "--region", var.region, "--cluster-name", local.cluster_name]
    }
  }
}

# Without backend.tf, `terraform init` works for a first look, and the state is a file in this directory: whoever lacks it cannot change
# what it made.
check "state_is_shared" {
  assert {
    condition     = var.local_state || fileexists("${path.module}/backend.tf")
    error_message = "The state is a file in this directory. To keep it in S3, copy backend.tf.example to backend.tf and run terraform init -backend-config=../backend.hcl -migrate-state; local_state = true says that it is meant."
  }
}
