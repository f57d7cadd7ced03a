# Who may do what in the namespace, and nowhere else: a group bound here gets 403 in every other namespace.

locals {
  deployer_groups = coalesce(var.deployer_groups, ["${var.name}-deploy-${var.environment}"])

  # What a deploy needs, generated from the table that the verb checks before it changes anything (internal/kube/permissions.go): the first
  # two Roles, for every chart and for the kinds of charts/service.
  deploying = flatten([
    for document in slice(split("\n---\n", file("${path.module}/../../../docs/rbac/role.yaml")), 0, 2) : yamldecode(document).rules
  ])

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
    for_each = concat(local.deploying, var.deployer_rules)
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
