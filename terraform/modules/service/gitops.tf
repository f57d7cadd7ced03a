# Where Argo CD owns the release: what it may do in this namespace, and what a deploy may do with its Application.

locals {
  gitops      = var.deploy_with == "argo-cd"
  application = coalesce(var.application, "${local.release}-${var.environment}")

  # The kinds of charts/service, without Secrets and permissions: whoever can commit to the configuration repository has no more than these.
  # terraform/platform lists the same for Argo CD itself. Argo CD changes only what a deploy by Helm could change; it replaces (update)
  # where Helm patches.
  applying = [
    for rule in concat(yamldecode(split("\n---\n", file("${path.module}/../../../docs/rbac/role.yaml"))[1]).rules, var.deployer_rules) : {
      apiGroups = rule.apiGroups
      resources = [for resource in rule.resources : resource if !contains(local.not_applied, resource)]
      verbs = concat(["get", "list", "watch"], contains(rule.verbs, "create") ? ["create"] : [],
      length(setintersection(rule.verbs, ["patch", "update"])) > 0 ? ["update", "patch"] : [], contains(rule.verbs, "delete") ? ["delete"] : [])
    } if length(setsubtract(rule.resources, local.not_applied)) > 0
  ]
  not_applied = ["secrets", "roles", "rolebindings"]
}

resource "kubernetes_role_v1" "argo_cd" {
  count = local.gitops ? 1 : 0

  metadata {
    name      = "argocd-application-controller"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  dynamic "rule" {
    for_each = local.applying
    content {
      api_groups = rule.value.apiGroups
      resources  = rule.value.resources
      verbs      = rule.value.verbs
    }
  }

  # To show a Deployment's pods.
  dynamic "rule" {
    for_each = { "" = "pods", apps = "replicasets" }
    content {
      api_groups = [rule.key]
      resources  = [rule.value]
      verbs      = ["get", "list", "watch"]
    }
  }
}

resource "kubernetes_role_binding_v1" "argo_cd" {
  count = local.gitops ? 1 : 0

  metadata {
    name      = "argocd-application-controller"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.argo_cd[0].metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = "argocd-application-controller"
    namespace = "argocd"
  }
}

# The second Role of docs/rbac/role-gitops.yaml, for this Application alone. It has no patch, by which a run could ask for a refresh: RBAC knows no
# fields, and who patches an Application may give it another project, source and destination.
resource "kubernetes_role_v1" "application" {
  count = local.gitops ? 1 : 0

  metadata {
    name      = "onedigest-${local.application}"
    namespace = "argocd"
  }

  dynamic "rule" {
    for_each = yamldecode(split("\n---\n", file("${path.module}/../../../docs/rbac/role-gitops.yaml"))[1]).rules
    content {
      api_groups     = rule.value.apiGroups
      resources      = rule.value.resources
      resource_names = [local.application]
      verbs          = rule.value.verbs
    }
  }
}

resource "kubernetes_role_binding_v1" "application" {
  count = local.gitops && length(setunion(local.deployer_groups, local.planner_groups)) > 0 ? 1 : 0

  metadata {
    name      = "onedigest-${local.application}"
    namespace = "argocd"
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.application[0].metadata[0].name
  }

  dynamic "subject" {
    for_each = setunion(local.deployer_groups, local.planner_groups)
    content {
      api_group = "rbac.authorization.k8s.io"
      kind      = "Group"
      name      = subject.value
    }
  }
}
