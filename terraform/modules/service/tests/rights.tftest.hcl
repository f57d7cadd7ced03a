# Who may do what in the namespace.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "kubernetes" {
  source = "./tests/mocks/kubernetes"
}
mock_provider "helm" {}

run "the_namespace_is_restricted" {
  command = plan

  assert {
    condition = alltrue([
      for mode in ["enforce", "warn", "audit"] : kubernetes_namespace_v1.this.metadata[0].labels["pod-security.kubernetes.io/${mode}"] == "restricted"
    ]) && kubernetes_namespace_v1.this.metadata[0].labels["onedigest.dev/environment"] == "staging"
    error_message = "The namespace must enforce the restricted standard, and say whose it is."
  }
}

run "the_deploy_role_may_deploy_there" {
  command = plan

  assert {
    condition = (
      kubernetes_role_binding_v1.deployer[0].metadata[0].namespace == "staging" && kubernetes_role_binding_v1.deployer[0].role_ref[0].kind == "Role" &&
      [for subject in kubernetes_role_binding_v1.deployer[0].subject : "${subject.kind} ${subject.name}"] == ["Group onedigest-deploy-staging"]
    )
    error_message = "The group of terraform/aws_infra's deploy role, and nobody else, may deploy to this namespace."
  }

  assert {
    condition = alltrue([
      for rule in kubernetes_role_v1.deployer.rule : !contains(rule.verbs, "*") && !contains(rule.resources, "*") && !contains(rule.api_groups, "*") &&
      !contains(rule.verbs, "escalate") && !contains(rule.verbs, "bind") && !contains(rule.verbs, "impersonate") && !contains(rule.resources, "pods/exec")
    ])
    error_message = "The deployer's rights are a list without wildcards, and without a way to more of them."
  }

  # internal/kube/check.go, lease.go, and what charts/service renders.
  assert {
    condition = alltrue([
      for needed in [
        ["apps", "deployments", "create"], ["apps", "deployments", "patch"], ["apps", "deployments", "watch"], ["apps", "replicasets", "list"],
        ["", "secrets", "create"], ["", "secrets", "list"], ["", "pods", "watch"], ["", "pods/log", "get"], ["", "events", "list"],
        ["coordination.k8s.io", "leases", "create"], ["coordination.k8s.io", "leases", "update"], ["coordination.k8s.io", "leases", "watch"],
        ["autoscaling", "horizontalpodautoscalers", "patch"], ["policy", "poddisruptionbudgets", "create"], ["networking.k8s.io", "networkpolicies", "create"],
        ["networking.k8s.io", "ingresses", "create"], ["gateway.networking.k8s.io", "httproutes", "create"], ["external-secrets.io", "externalsecrets", "create"],
        ["monitoring.coreos.com", "servicemonitors", "create"], ["monitoring.coreos.com", "prometheusrules", "create"],
        ["rbac.authorization.k8s.io", "rolebindings", "create"], ["", "serviceaccounts", "create"], ["", "services", "patch"], ["", "configmaps", "patch"],
        ] : anytrue([
          for rule in kubernetes_role_v1.deployer.rule : contains(rule.api_groups, needed[0]) && contains(rule.resources, needed[1]) && contains(rule.verbs, needed[2])
      ])
    ])
    error_message = "The deployer lacks a right that cmd/deploy or the chart needs."
  }
}

run "no_reader_unless_named" {
  command = plan

  assert {
    condition     = length(kubernetes_role_binding_v1.reader) == 0
    error_message = "Nobody reads who was not named."
  }
}

run "a_reader_sees_no_secret_and_changes_nothing" {
  command = plan

  variables {
    reader_groups = ["developers"]
  }

  assert {
    condition = alltrue([
      for rule in kubernetes_role_v1.reader.rule :
      length(setsubtract(rule.verbs, ["get", "list", "watch"])) == 0 && !contains(rule.resources, "secrets") && !contains(rule.resources, "*") &&
      !contains(rule.resources, "pods/exec") && !contains(rule.api_groups, "*") && !contains(rule.resources, "externalsecrets")
    ])
    error_message = "A reader may look, at everything but Secrets."
  }

  assert {
    condition     = [for subject in kubernetes_role_binding_v1.reader[0].subject : subject.name] == ["developers"] && kubernetes_role_binding_v1.reader[0].role_ref[0].name == "onedigest-reader"
    error_message = "The group that was named reads, and no other."
  }
}

run "other_deployers_when_set" {
  command = plan

  variables {
    deployer_groups = ["release-team"]
  }

  assert {
    condition     = [for subject in kubernetes_role_binding_v1.deployer[0].subject : subject.name] == ["release-team"]
    error_message = "The groups that are named replace the usual one."
  }
}

# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "the_secrets_place_is_the_environments" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this[0].name == "onedigest/staging/shop" && data.aws_kms_alias.secrets[0].name == "alias/onedigest-secrets-staging"
    error_message = "terraform/aws_infra lets staging's reader read onedigest/staging/* under staging's key, and nothing else."
  }

  assert {
    condition = (
      kubernetes_service_account_v1.secrets_reader[0].metadata[0].name == "secrets-reader" && kubernetes_service_account_v1.secrets_reader[0].metadata[0].namespace == "staging" &&
      kubernetes_service_account_v1.secrets_reader[0].metadata[0].annotations["eks.amazonaws.com/role-arn"] == "arn:aws:iam::123456789012:role/onedigest-staging-secrets-reader" &&
      data.aws_iam_role.secrets_reader[0].name == "onedigest-staging-secrets-reader" && !kubernetes_service_account_v1.secrets_reader[0].automount_service_account_token
    )
    error_message = "The role trusts staging/secrets-reader and no other account; no pod gets its token."
  }

  assert {
    condition = (
      kubernetes_manifest.external_secret[0].manifest.spec.secretStoreRef == { kind = "ClusterSecretStore", name = "staging" } &&
      kubernetes_manifest.external_secret[0].manifest.spec.dataFrom[0].extract.key == "onedigest/staging/shop"
    )
    error_message = "The ExternalSecret copies this secret by this environment's store (terraform/platform)."
  }

  assert {
    condition     = contains(yamldecode(helm_release.this[0].values[0]).existingSecrets[*].name, kubernetes_manifest.external_secret[0].manifest.spec.target.name)
    error_message = "The values file does not name the Secret that is written."
  }
}

run "no_secrets_when_set" {
  command = plan

  variables {
    secrets = { enabled = false }
  }

  assert {
    condition     = length(aws_secretsmanager_secret.this) == 0 && length(kubernetes_manifest.external_secret) == 0 && length(kubernetes_service_account_v1.secrets_reader) == 0 && output.put_secrets == null
    error_message = "Without secrets there is neither their place nor their reader."
  }
}
