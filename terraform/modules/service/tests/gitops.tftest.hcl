# Argo CD owns the release: Terraform has none, and nobody has more than the part that is theirs.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "kubernetes" {
  source = "./tests/mocks/kubernetes"
}
mock_provider "helm" {}

variables {
  deploy_with       = "argo-cd"
  image_tag         = null
  environment       = "production"
  require_promotion = true
}

run "the_release_is_argo_cds" {
  command = plan

  assert {
    condition     = length(helm_release.this) == 0 && output.prove == null && length(data.aws_ecr_image.this) == 0
    error_message = "Where Argo CD applies, Terraform has no release and asks for no image."
  }
}

run "argo_cd_applies_the_charts_kinds_here" {
  command = plan

  assert {
    condition = (
      kubernetes_role_binding_v1.argo_cd[0].metadata[0].namespace == "production" && kubernetes_role_binding_v1.argo_cd[0].role_ref[0].kind == "Role" &&
      [for subject in kubernetes_role_binding_v1.argo_cd[0].subject : "${subject.kind} ${subject.namespace}/${subject.name}"] == ["ServiceAccount argocd/argocd-application-controller"]
    )
    error_message = "Argo CD's controller, and none of its other accounts, applies to this namespace."
  }

  assert {
    condition = alltrue([
      for rule in kubernetes_role_v1.argo_cd[0].rule : length(setintersection(rule.resources, ["secrets", "roles", "rolebindings", "pods/exec", "pods/portforward", "serviceaccounts/token", "*"])) == 0 &&
      !contains(rule.api_groups, "*") && !contains(rule.verbs, "*") && length(setintersection(rule.verbs, ["escalate", "bind", "impersonate"])) == 0
    ])
    error_message = "Argo CD reads no Secret, gives no permission and enters no container."
  }

  assert {
    condition = alltrue([
      for resource in ["deployments", "services", "configmaps", "networkpolicies", "poddisruptionbudgets", "horizontalpodautoscalers", "serviceaccounts", "ingresses", "externalsecrets"] :
      anytrue([for rule in kubernetes_role_v1.argo_cd[0].rule : contains(rule.resources, resource) && contains(rule.verbs, "create") && contains(rule.verbs, "delete")])
    ])
    error_message = "Argo CD lacks a kind of charts/service."
  }

  assert {
    condition     = sort(distinct(flatten([for rule in kubernetes_role_v1.argo_cd[0].rule : rule.resources if !contains(rule.verbs, "create")]))) == tolist(["pods", "replicasets"])
    error_message = "What Argo CD only shows, it does not change."
  }
}

run "a_deploy_reads_its_application_and_changes_it_not" {
  command = plan

  assert {
    condition = alltrue([for rule in kubernetes_role_v1.deployer.rule : !contains(rule.resources, "secrets")]) && alltrue([
      for rule in kubernetes_role_v1.deployer.rule : length(setintersection(rule.verbs, ["create", "update", "patch", "delete"])) == 0 || contains(["leases", "pods/portforward"], join(",", rule.resources))
    ])
    error_message = "A deploy that commits reads no Secret and applies nothing."
  }

  assert {
    condition = (
      kubernetes_role_v1.application[0].metadata[0].namespace == "argocd" && length(kubernetes_role_v1.application[0].rule) == 1 &&
      kubernetes_role_v1.application[0].rule[0].resource_names == toset(["shop-production"]) && kubernetes_role_v1.application[0].rule[0].resources == toset(["applications"]) &&
      kubernetes_role_v1.application[0].rule[0].verbs == toset(["get", "list", "watch"])
    )
    error_message = "A deploy sees its own Application, and cannot point it at another project, source or destination."
  }

  assert {
    condition = sort([for subject in kubernetes_role_binding_v1.application[0].subject : subject.name]) == tolist(["onedigest-deploy-production", "onedigest-plan-production"]) && (
      [for subject in kubernetes_role_binding_v1.deployer[0].subject : subject.name] == ["onedigest-deploy-production"]
    )
    error_message = "The deploy role and the plan role of the environment, and nobody else, follow the Application."
  }
}

run "another_charts_kinds_are_argo_cds" {
  command = plan

  variables {
    application = "storefront"
    deployer_rules = [
      { apiGroups = ["batch"], resources = ["cronjobs"], verbs = ["get", "list", "watch", "create", "patch", "delete"] },
      { apiGroups = ["example.com"], resources = ["quotas"], verbs = ["get"] },
      { apiGroups = ["example.com"], resources = ["topics"], verbs = ["get", "patch"] },
      { apiGroups = [""], resources = ["secrets"], verbs = ["get"] },
      { apiGroups = [""], resources = ["secrets", "persistentvolumeclaims"], verbs = ["get", "create"] },
    ]
  }

  assert {
    condition = {
      for kind in ["cronjobs", "quotas", "topics", "persistentvolumeclaims"] :
      kind => join("; ", [for rule in kubernetes_role_v1.argo_cd[0].rule : join(",", sort(rule.verbs)) if contains(rule.resources, kind)])
      } == {
      cronjobs               = "create,delete,get,list,patch,update,watch"
      quotas                 = "get,list,watch"
      topics                 = "get,list,patch,update,watch"
      persistentvolumeclaims = "create,get,list,watch"
    }
    error_message = "Argo CD changes of a further kind what its rule lets a deploy change, and looks at the rest."
  }

  assert {
    condition = !anytrue([for rule in concat(kubernetes_role_v1.argo_cd[0].rule, kubernetes_role_v1.deployer.rule) : contains(rule.resources, "secrets")]) && (
      length([for rule in kubernetes_role_v1.deployer.rule : rule if rule.resources == toset(["persistentvolumeclaims"]) && rule.api_groups == toset([""])]) == 2
    )
    error_message = "Secrets are applied by nobody's commit and read by no deploy; the other kinds of their rule stay."
  }

  assert {
    condition = (
      [for rule in kubernetes_role_v1.deployer.rule : join(",", rule.verbs) if contains(rule.resources, "cronjobs")] == ["get,list,watch"] &&
      !anytrue([for rule in kubernetes_role_v1.deployer.rule : contains(rule.resources, "secrets")]) && kubernetes_role_v1.application[0].rule[0].resource_names == toset(["storefront"])
    )
    error_message = "A deploy that commits watches a further kind, and follows the Application that is named."
  }
}

run "terraform_and_the_actions_leave_argo_cd_nothing" {
  command = plan

  variables {
    deploy_with = "actions"
  }

  assert {
    condition     = length(kubernetes_role_v1.argo_cd) == 0 && length(kubernetes_role_binding_v1.argo_cd) == 0 && length(kubernetes_role_v1.application) == 0
    error_message = "Argo CD may apply where it does not own the release."
  }
}

# ── What runs on a node ─────────────────────────────────────────────────────────────────────────────────────────────────

# argo_cd_role.json is what the end-to-end test TestGitOps binds for the real Argo CD in a release's namespace.
run "the_end_to_end_tests_run_this" {
  command = plan

  assert {
    condition = jsonencode(jsondecode(file("tests/argo_cd_role.json"))) == jsonencode([
      for rule in kubernetes_role_v1.argo_cd[0].rule : { apiGroups = sort(rule.api_groups), resources = sort(rule.resources), verbs = sort(rule.verbs) }
    ])
    error_message = "tests/argo_cd_role.json is not what is planned, which is: ${jsonencode([
      for rule in kubernetes_role_v1.argo_cd[0].rule : { apiGroups = sort(rule.api_groups), resources = sort(rule.resources), verbs = sort(rule.verbs) }
    ])}"
  }
}
