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

  variables {
    deploy_with = "actions"
    image_tag   = null
  }

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

  # The generated table and nothing else; internal/kube/role_test.go holds it to what the verb asks for, e2e/rbac_test.go deploys with it.
  assert {
    condition = [
      for rule in kubernetes_role_v1.deployer.rule : { apiGroups = tolist(rule.api_groups), resources = tolist(rule.resources), verbs = tolist(rule.verbs) }
      ] == [
      for rule in flatten([for document in slice(split("\n---\n", file("../../../docs/rbac/role.yaml")), 0, 2) : yamldecode(document).rules]) :
      { apiGroups = tolist(sort(rule.apiGroups)), resources = tolist(sort(rule.resources)), verbs = tolist(sort(rule.verbs)) }
    ]
    error_message = "The deployer's rights are not those of docs/rbac/role.yaml."
  }
}

# One release has one owner: where Terraform deploys, the actions lack the permissions.
run "nobody_deploys_beside_terraform" {
  command = plan

  variables {
    require_promotion = true
    environment       = "production"
    image_tag         = "production-0123456789abcdef0123456789abcdef01234567"
  }

  override_data {
    target = data.aws_ecr_image.this
    values = {
      image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      image_tags   = ["0123456789abcdef0123456789abcdef01234567", "production-0123456789abcdef0123456789abcdef01234567"]
    }
  }

  override_data {
    target = data.aws_ecr_images.this
    values = {
      image_ids = [{ image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111", image_tag = "production-0123456789abcdef0123456789abcdef01234567" }]
    }
  }

  assert {
    condition     = length(helm_release.this) == 1 && length(kubernetes_role_binding_v1.deployer) == 0 && length(kubernetes_role_binding_v1.planner) == 0
    error_message = "Terraform owns the release, and another group may deploy it."
  }
}

run "another_charts_kinds_when_named" {
  command = plan

  variables {
    deployer_rules = [{ apiGroups = ["batch"], resources = ["cronjobs"], verbs = ["get", "list", "watch", "create", "patch", "delete"] }]
  }

  assert {
    condition     = anytrue([for rule in kubernetes_role_v1.deployer.rule : contains(rule.resources, "cronjobs")])
    error_message = "A chart with other kinds needs rules for them."
  }
}

run "a_way_into_containers" {
  command = plan
  variables {
    deployer_rules = [{ apiGroups = [""], resources = ["pods/exec"], verbs = ["create"] }]
  }
  expect_failures = [var.deployer_rules]
}

run "nobody_connects_unless_the_chart_says_so" {
  command = plan

  assert {
    condition = (
      kubernetes_network_policy_v1.default_deny[0].metadata[0].namespace == "staging" && tolist(kubernetes_network_policy_v1.default_deny[0].spec[0].policy_types) == tolist(["Ingress"]) &&
      length(kubernetes_network_policy_v1.default_deny[0].spec[0].ingress) == 0 && yamldecode(helm_release.this[0].values[0]).networkPolicy.enabled
    )
    error_message = "The namespace denies what no policy allows, and the release's values have the chart's own policy on."
  }
}

# Pods that run already have no policy of their own before a deploy brings it.
run "what_runs_already_is_not_cut_off" {
  command = plan

  variables {
    default_deny = false
  }

  assert {
    condition     = length(kubernetes_network_policy_v1.default_deny) == 0
    error_message = "The namespace denies connections although default_deny is false."
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

  variables {
    values_file = "tests/values/secrets.yaml"
  }

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

run "no_secrets_when_the_values_name_none" {
  command = plan

  assert {
    condition     = length(aws_secretsmanager_secret.this) == 0 && length(kubernetes_manifest.external_secret) == 0 && length(kubernetes_service_account_v1.secrets_reader) == 0 && output.put_secrets == null
    error_message = "Without secrets there is neither their place nor their reader."
  }
}

run "a_secret_of_another_name_is_somebody_elses" {
  command = plan

  variables {
    values_file = "tests/values/secrets.yaml"
    release     = "cart"
  }

  assert {
    condition     = length(aws_secretsmanager_secret.this) == 0 && length(kubernetes_manifest.external_secret) == 0
    error_message = "Release cart does not write shop's Secret."
  }
}

run "a_further_services_place_is_its_own" {
  command = plan

  variables {
    deploy_with = "actions"
    image_tag   = null
    service     = "cart"
    repository  = "cart"
    values_file = "tests/values/cart.yaml"
  }

  assert {
    condition = (
      kubernetes_namespace_v1.this.metadata[0].name == "cart-staging" && aws_secretsmanager_secret.this[0].name == "onedigest/cart/staging/cart" &&
      data.aws_kms_alias.secrets[0].name == "alias/onedigest-secrets-cart-staging" && data.aws_iam_role.secrets_reader[0].name == "onedigest-cart-staging-secrets" &&
      kubernetes_manifest.external_secret[0].manifest.spec.secretStoreRef.name == "cart-staging"
    )
    error_message = "The names are not those that terraform/aws_infra gives the service."
  }

  assert {
    condition     = [for subject in kubernetes_role_binding_v1.deployer[0].subject : subject.name] == ["onedigest-cart-deploy-staging"]
    error_message = "Another service's role may deploy it."
  }
}

# ── Plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "who_plans_changes_nothing" {
  command = plan

  variables {
    require_promotion = true
    environment       = "production"
    deploy_with       = "actions"
    image_tag         = null
  }

  assert {
    condition = (
      [for subject in kubernetes_role_binding_v1.planner[0].subject : subject.name] == ["onedigest-plan-production"] &&
      kubernetes_role_binding_v1.planner[0].role_ref[0].name == "onedigest-deployer"
    )
    error_message = "The group of the plan role cannot do the dry run."
  }

  assert {
    condition = (
      kubernetes_manifest.plan_policy[0].manifest.spec.matchConditions[0].expression == "[\"onedigest-plan-production\"].exists(group, group in request.userInfo.groups)" &&
      kubernetes_manifest.plan_policy[0].manifest.spec.failurePolicy == "Fail" && kubernetes_manifest.plan_policy_binding[0].manifest.spec.validationActions == ["Deny"] &&
      kubernetes_manifest.plan_policy_binding[0].manifest.spec.policyName == kubernetes_manifest.plan_policy[0].manifest.metadata.name
    )
    error_message = "What is no dry run is not denied to the group of the plan role."
  }
}

run "staging_has_no_plans" {
  command = plan

  assert {
    condition     = length(kubernetes_role_binding_v1.planner) == 0 && length(kubernetes_manifest.plan_policy) == 0
    error_message = "Where nobody approves, nobody plans."
  }
}

run "everybody_plans" {
  command = plan

  variables {
    planner_groups = ["system:authenticated"]
  }

  expect_failures = [var.planner_groups]
}
