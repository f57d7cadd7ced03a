# Who may do what in the namespace, and nowhere else: a group bound here gets 403 in every other namespace.

locals {
  # Only the owner of a release has what a deploy needs: where Terraform owns it, no group does unless it is named.
  deployer_groups = coalesce(var.deployer_groups, local.deploys ? [] : ["${var.name}-${var.service == "" ? "" : "${var.service}-"}deploy-${var.environment}"])
  planner_groups  = coalesce(var.planner_groups, var.require_promotion && !local.deploys ? ["${var.name}-${var.service == "" ? "" : "${var.service}-"}plan-${var.environment}"] : [])

  # What a deploy needs, generated from the table that the verb checks before it changes anything (internal/kube/permissions.go): the first
  # two Roles, for every chart and for the kinds of charts/service; the first alone where Argo CD applies, which reads no Secret.
  deploying = flatten([
    for document in(local.gitops ? slice(split("\n---\n", file("${path.module}/../../../docs/rbac/role-gitops.yaml")), 0, 1) :
    slice(split("\n---\n", file("${path.module}/../../../docs/rbac/role.yaml")), 0, 2)) : yamldecode(document).rules
  ])

  # Of further kinds, a deploy that Argo CD carries out watches the objects.
  deploying_more = local.gitops ? [
    for rule in var.deployer_rules : {
      apiGroups = rule.apiGroups, resources = [for resource in rule.resources : resource if resource != "secrets"], verbs = ["get", "list", "watch"]
    } if length(setsubtract(rule.resources, ["secrets"])) > 0
  ] : var.deployer_rules

  # No Secrets, and no way into a container: a reader sees what runs and what it says.
  reading = [
    { groups = [""], resources = ["configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "pods/log", "serviceaccounts", "services"] },
    { groups = ["apps"], resources = ["daemonsets", "deployments", "replicasets", "statefulsets"] },
    { groups = ["autoscaling"], resources = ["horizontalpodautoscalers"] },
    { groups = ["batch"], resources = ["cronjobs", "jobs"] },
    { groups = ["coordination.k8s.io"], resources = ["leases"] },
    { groups = ["discovery.k8s.io"], resources = ["endpointslices"] },
    { groups = ["networking.k8s.io"], resources = ["ingresses", "networkpolicies"] },
    { groups = ["policy"], resources = ["poddisruptionbudgets"] },
  ]
}

resource "kubernetes_role_v1" "deployer" {
  metadata {
    name      = "onedigest-deployer"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  dynamic "rule" {
    for_each = concat(local.deploying, local.deploying_more)
    content {
      api_groups = rule.value.apiGroups
      resources  = rule.value.resources
      verbs      = rule.value.verbs
    }
  }
}

resource "kubernetes_role_binding_v1" "deployer" {
  count = length(local.deployer_groups) > 0 ? 1 : 0

  metadata {
    name      = "onedigest-deployer"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.deployer.metadata[0].name
  }

  dynamic "subject" {
    for_each = local.deployer_groups
    content {
      api_group = "rbac.authorization.k8s.io"
      kind      = "Group"
      name      = subject.value
    }
  }
}

# The API server checks a dry run as it checks the real thing, so who shows what a deploy would change needs a deploy's permissions. The
# policy below takes everything else back from these groups: what they ask for is done as a dry run, or not at all.
resource "kubernetes_role_binding_v1" "planner" {
  count = length(local.planner_groups) > 0 ? 1 : 0

  metadata {
    name      = "onedigest-planner"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.deployer.metadata[0].name
  }

  dynamic "subject" {
    for_each = local.planner_groups
    content {
      api_group = "rbac.authorization.k8s.io"
      kind      = "Group"
      name      = subject.value
    }
  }

  # Without the policy the binding would be a deploy's.
  depends_on = [kubernetes_manifest.plan_policy, kubernetes_manifest.plan_policy_binding]
}

locals {
  plan_policy = [for document in split("\n---\n", templatefile("${path.module}/plan-policy.yaml", {
    name   = "onedigest-plan-${local.namespace}"
    groups = jsonencode(local.planner_groups)
  })) : yamldecode(document)]
}

resource "kubernetes_manifest" "plan_policy" {
  count    = length(local.planner_groups) > 0 ? 1 : 0
  manifest = local.plan_policy[0]
}

resource "kubernetes_manifest" "plan_policy_binding" {
  count    = length(local.planner_groups) > 0 ? 1 : 0
  manifest = local.plan_policy[1]

  depends_on = [kubernetes_manifest.plan_policy]
}

resource "kubernetes_role_v1" "reader" {
  metadata {
    name      = "onedigest-reader"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  dynamic "rule" {
    for_each = local.reading
    content {
      api_groups = rule.value.groups
      resources  = rule.value.resources
      verbs      = ["get", "list", "watch"]
    }
  }
}

resource "kubernetes_role_binding_v1" "reader" {
  count = length(var.reader_groups) > 0 ? 1 : 0

  metadata {
    name      = "onedigest-reader"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.reader.metadata[0].name
  }

  dynamic "subject" {
    for_each = var.reader_groups
    content {
      api_group = "rbac.authorization.k8s.io"
      kind      = "Group"
      name      = subject.value
    }
  }
}
