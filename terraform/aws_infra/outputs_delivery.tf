# ── Images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "repositories" {
  description = "The repositories by name, with the registry's host: the actions' `repository` input (variable ECR_REPOSITORY of the workflows)."
  value       = { for name, repository in local.repositories : name => repository.url }
}

output "promoted_repositories" {
  description = "By repository, the one that the highest environment's Terraform looks its tags up in, with the registry's host: promote's `target-repository`."
  value       = { for name, it in local.promoted_repositories : it.of => aws_ecr_repository.promoted[name].repository_url }
}

# ── GitHub ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

output "github_roles" {
  description = "Roles that GitHub's jobs assume: `build`, by environment, and to plan; of further services by service and environment."
  value = {
    build  = one(aws_iam_role.build[*].arn)
    builds = { for service, role in aws_iam_role.build_service : service => role.arn }
    deploy = { for key, role in aws_iam_role.deploy : key => role.arn }
    plan   = { for key, role in aws_iam_role.plan : key => role.arn }
  }
}

output "github_subjects" {
  description = "By role, the token subjects that it trusts: compare them if AWS refuses a job (Not authorized to perform sts:AssumeRoleWithWebIdentity)."
  value = merge(
    { for service, subjects in local.build_subjects : service == "" ? "build" : "${service}/build" => subjects },
    local.deploy_subjects,
    { for key, subjects in local.plan_subjects : "${key}-plan" => subjects },
  )
}

output "github_variables" {
  description = "The repository variables that the workflows read: gh variable set NAME --body VALUE."
  value       = local.github_variables[""]
}

output "services" {
  description = "By further service: the variables of its repository, and by environment its namespace, the group of its deploy role and the prefix of its secrets: what terraform/ENVIRONMENT takes as `services`."
  value = {
    for service in keys(var.services) : service => {
      github_variables = local.github_variables[service]
      environments = {
        for environment, key in local.keys[service] : environment => {
          namespace    = local.deployments[key].namespace
          deploy_group = local.deploy_groups[key]
          secrets      = "${var.name}/${local.deployments[key].secrets}/"
        }
      }
    }
  }
}

locals {
  # By service.
  github_variables = {
    for service, keys in local.keys : service => merge(
      {
        AWS_REGION     = var.region
        ECR_REPOSITORY = local.repositories[local.service_repositories[service][0]].url
      },
      { for key, role in local.build_roles : "AWS_ROLE_BUILD" => role.arn if key == service },
      { for key, role in local.build_roles : "EVIDENCE_KEY_BUILD" => "awskms:///${aws_kms_key.build[key].arn}" if key == service },
      { for environment, key in keys : "AWS_ROLE_PLAN" => aws_iam_role.plan[key].arn if environment == local.highest },
      { for environment, key in keys : "AWS_ROLE_${upper(replace(environment, "-", "_"))}" => aws_iam_role.deploy[key].arn },
      { for environment, key in keys : "EVIDENCE_KEY_${upper(replace(environment, "-", "_"))}" => "awskms:///${aws_kms_key.evidence[key].arn}" },
      { for environment, key in local.cluster_of : "EKS_CLUSTER_${upper(replace(environment, "-", "_"))}" => local.clusters[key].name },
      { for environment, project in local.runner_labels[service] : "DEPLOY_RUNNER_${upper(replace(environment, "-", "_"))}" => project },
    )
  }
}

output "below" {
  description = "What the state of the environment above takes as `below`, where each environment has a state of its own in this account."
  value = {
    repositories             = local.repositories
    build_keys               = local.makes_builds ? { for service, key in aws_kms_key.build : service == "" ? "build" : "${service}/build" => key.arn } : var.below.build_keys
    evidence_keys            = merge(try(var.below.evidence_keys, {}), { for key, it in aws_kms_key.evidence : key => it.arn })
    github_oidc_provider_arn = local.github_provider_arn
  }
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

output "build_keys" {
  description = "By service (the first is build): the key that signs how its images were built and what they contain, by ARN and alias, and its public half."
  value = {
    for service, key in aws_kms_key.build : service == "" ? "build" : "${service}/build" => {
      arn        = key.arn
      alias      = aws_kms_alias.build[service].name
      public_key = data.aws_kms_public_key.build[service].public_key_pem
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
