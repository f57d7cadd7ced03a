# ── Network ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "The public subnets by zone: for load balancers that face the internet."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnet_ids" {
  description = "The private subnets by zone: for nodes, databases, internal load balancers and runners."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "nat_addresses" {
  description = "The public addresses of outgoing connections, by zone: a partner's firewall must allow them."
  value       = { for zone, address in aws_eip.nat : zone => address.public_ip }
}

# ── Clusters ────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "region" {
  description = "The region of all resources: terraform/platform and the environments' directories need it, and pods cannot read it from the node's metadata (one hop)."
  value       = var.region
}

output "clusters" {
  description = "The clusters by key (`shared`, or the environments' names): connection data for terraform/platform and the environments' directories."
  value = {
    for key, cluster in aws_eks_cluster.this : key => {
      name                       = cluster.name
      arn                        = cluster.arn
      endpoint                   = cluster.endpoint
      certificate_authority_data = cluster.certificate_authority[0].data
      oidc_provider_arn          = aws_iam_openid_connect_provider.cluster[key].arn
      environments               = local.clusters[key].environments
      cluster_security_group_id  = cluster.vpc_config[0].cluster_security_group_id
      node_security_group_id     = aws_security_group.nodes[key].id
    }
  }
}

output "cluster_of" {
  description = "By environment: the name of its cluster (the actions' `cluster` input)."
  value       = { for environment, key in local.cluster_of : environment => local.clusters[key].name }
}

output "kubeconfig_commands" {
  description = "By environment: the command that writes a kubeconfig for its cluster and namespace."
  value = {
    for environment, key in local.cluster_of :
    environment => join(" && ", [
      "aws eks update-kubeconfig --region ${var.region} --name ${local.clusters[key].name} --alias ${environment}",
      "kubectl config set-context ${environment} --namespace ${var.environments[environment].namespace}",
    ])
  }
}

output "environments" {
  description = <<-EOT
    By environment: its namespace, and the Kubernetes group of its deploy role, to which terraform/staging and
    terraform/production bind the permissions that EKS's edit policy lacks (Leases and custom resources).
  EOT
  value = {
    for environment, settings in var.environments : environment => {
      namespace    = settings.namespace
      deploy_group = local.deploy_groups[environment]
    }
  }
}

output "observability_nodes" {
  description = "Node selector and toleration that schedule a pod to the nodes for observability."
  value = {
    node_selector = { (local.observability.key) = local.observability.value }
    toleration    = { key = local.observability.key, operator = "Equal", value = local.observability.value, effect = "NoSchedule" }
  }
}

# ── Identities ──────────────────────────────────────────────────────────────────────────────────────────────────────────

output "system_roles" {
  description = <<-EOT
    By cluster key and name: the service account and role of each component that terraform/platform installs. The account is annotated
    eks.amazonaws.com/role-arn with it.
  EOT
  value = {
    for key, cluster in local.clusters : key => {
      for name, account in local.system_accounts : name => {
        namespace       = account.namespace
        service_account = account.service_account
        role_arn        = aws_iam_role.system["${key}/${name}"].arn
      } if !account.by_addon
    }
  }
}

output "workload_roles" {
  description = "By the names in var.service_accounts: the namespace, the service account and its role."
  value = {
    for key, role in local.workload_roles : key => {
      environment     = role.environment
      namespace       = role.namespace
      service_account = role.service_account
      role_arn        = aws_iam_role.workload[key].arn
    }
  }
}

output "secrets_readers" {
  description = <<-EOT
    By environment: the service account and role with which the External Secrets operator reads the secrets below `prefix` in
    Secrets Manager, and by service and environment for further services. The account is annotated eks.amazonaws.com/role-arn with it.
  EOT
  value = {
    for key, it in local.deployments : key => {
      namespace       = it.namespace
      service_account = local.secrets_reader
      role_arn        = aws_iam_role.secrets_reader[key].arn
      prefix          = "${var.name}/${it.secrets}/"
    }
  }
}

# ── Databases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

output "databases" {
  description = "By environment: where its database is, and the secret of Secrets Manager with the master user's password."
  value = {
    for environment, database in aws_db_instance.this : environment => {
      address           = database.address
      port              = database.port
      name              = database.db_name
      resource_id       = database.resource_id
      master_secret_arn = database.master_user_secret[0].secret_arn
    }
  }
}
