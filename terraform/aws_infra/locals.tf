locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  # Repositories and the builds' roles and keys are the lowest environment's, where each has its own state.
  makes_builds = var.below == null

  # By cluster key: what the cluster is called and which environments live on it.
  clusters = var.cluster_layout == "shared" ? {
    shared = { name = var.name, environments = sort(keys(var.environments)) }
    } : {
    for environment in keys(var.environments) :
    environment => { name = "${var.name}-${environment}", environments = [environment] }
  }

  # By environment: the key of its cluster.
  cluster_of = { for environment in keys(var.environments) : environment => var.cluster_layout == "shared" ? "shared" : environment }

  tags = merge(var.tags, {
    project    = var.name
    managed-by = "terraform"
    directory  = "terraform/aws_infra"
  })
}
