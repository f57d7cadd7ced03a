# ── Images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "repositories" {
  description = "The repositories by name, with the registry's host: the actions' `repository` input (variable ECR_REPOSITORY of the workflows)."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

# ── GitHub ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "github_roles" {
  description = "Roles that GitHub's jobs assume: `build`, and by environment."
  value = {
    build  = aws_iam_role.build.arn
    deploy = { for environment, role in aws_iam_role.deploy : environment => role.arn }
  }
}

output "github_subjects" {
  description = "By role, the token subjects that it trusts: compare them if AWS refuses a job (Not authorized to perform sts:AssumeRoleWithWebIdentity)."
  value       = merge({ build = local.build_subjects }, local.deploy_subjects)
}

output "github_variables" {
  description = "The repository variables that the workflows read: gh variable set NAME --body VALUE."
  value = merge(
    {
      AWS_REGION     = var.region
      AWS_ROLE_BUILD = aws_iam_role.build.arn
      ECR_REPOSITORY = aws_ecr_repository.this[var.ecr_repositories[0]].repository_url
    },
    { for environment, role in aws_iam_role.deploy : "AWS_ROLE_${upper(replace(environment, "-", "_"))}" => role.arn },
    { for environment, key in aws_kms_key.evidence : "EVIDENCE_KEY_${upper(replace(environment, "-", "_"))}" => "awskms:///${key.arn}" },
    { for environment, key in local.cluster_of : "EKS_CLUSTER_${upper(replace(environment, "-", "_"))}" => local.clusters[key].name },
  )
}

# ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "evidence_keys" {
  description = "By environment: the key that signs its evidence, by ARN and alias, and its public half, which verifies a signature without AWS."
  value = {
    for environment, key in aws_kms_key.evidence : environment => {
      arn        = key.arn
      alias      = aws_kms_alias.evidence[environment].name
      public_key = data.aws_kms_public_key.evidence[environment].public_key_pem
    }
  }
}

output "secret_keys" {
  description = "By environment: the key for its secrets in Secrets Manager (aws secretsmanager create-secret --kms-key-id); the cluster cannot read secrets under another key."
  value       = { for environment, key in aws_kms_key.app_secrets : environment => key.arn }
}

# ── HTTPS ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "hosts" {
  description = "By environment: the DNS name at which it is served; empty without var.domain."
  value       = local.hosts
}

output "certificates" {
  description = "By environment: its certificate's ARN, once it is issued; empty without var.domain."
  value       = { for environment, validation in aws_acm_certificate_validation.this : environment => validation.certificate_arn }
}

output "tls_policy" {
  description = "Security policy for the load balancers' TLS listeners."
  value       = var.tls_policy
}

output "chart_values" {
  description = "By environment: the values that its values file needs for HTTPS and for the edge, with the subnets whose load balancers may connect (networkPolicy.fromCIDRs), as YAML (terraform output -json chart_values | jq -r .production); empty without var.domain."
  value = {
    for environment, host in local.hosts : environment => contains(keys(var.edge), environment) ? yamlencode({
      service = { type = "ClusterIP" }
      ingress = {
        enabled         = true
        className       = "alb"
        scheme          = "internal"
        hosts           = [host]
        certificateArns = [aws_acm_certificate_validation.this[environment].certificate_arn]
        policy          = var.tls_policy
        annotations = {
          "alb.ingress.kubernetes.io/security-groups"                     = aws_security_group.edge_balancer[environment].id
          "alb.ingress.kubernetes.io/manage-backend-security-group-rules" = "true"
          "alb.ingress.kubernetes.io/wafv2-acl-arn"                       = aws_wafv2_web_acl.edge[environment].arn
        }
      }
      networkPolicy = { enabled = true, fromCIDRs = values(local.subnets)[*].private } # an internal load balancer is in these
      }) : yamlencode({
      service = {
        type     = "LoadBalancer"
        scheme   = "internet-facing"
        hostname = host
        tls = {
          enabled         = true
          certificateArns = [aws_acm_certificate_validation.this[environment].certificate_arn]
          policy          = var.tls_policy
        }
      }
      networkPolicy = { enabled = true, fromCIDRs = values(local.subnets)[*].public }
    })
  }
}

output "edge" {
  description = "By environment in var.edge: its address, whether it is connected to the load balancer yet, the firewall and the security group for the load balancer."
  value = {
    for environment in keys(var.edge) : environment => {
      url                        = "https://${local.hosts[environment]}"
      ready                      = contains(keys(local.edge_ready), environment)
      web_acl_arn                = aws_wafv2_web_acl.edge[environment].arn
      balancer_security_group_id = aws_security_group.edge_balancer[environment].id
    }
  }
}
