# Who may connect to what in this directory's namespaces. Nothing is allowed that is not named here; on EKS the VPC CNI enforces it
# (terraform/aws_infra, enableNetworkPolicy). Connections from a pod's own node (probes, forwarded ports) are never limited.

data "aws_vpc" "this" {
  id = data.aws_eks_cluster.this.vpc_config[0].vpc_id
}

locals {
  # By pods, by their label app.kubernetes.io/name: the pods of the same namespace that may connect, and the ports.
  allowed = {
    loki               = { from = ["alloy", "grafana", "prometheus"], ports = [3100] } # /metrics is on the port of the API
    prometheus         = { from = ["grafana", "prometheus"], ports = [9090, 8080] }
    alertmanager       = { from = ["grafana", "prometheus", "alertmanager"], ports = [9093, 9094, 8080] }
    grafana            = { from = ["prometheus"], ports = [3000] }
    alloy              = { from = ["prometheus"], ports = [12345] }
    kube-state-metrics = { from = ["prometheus"], ports = [8080] }
  }

  # Admission webhooks, by namespace: the API server calls them from its interfaces in the VPC.
  webhooks = {
    monitoring       = { label = { "app" = "kube-prometheus-stack-operator" }, port = 10250 }
    external-secrets = { label = { "app.kubernetes.io/name" = "external-secrets-webhook" }, port = 10250 }
  }
}

resource "kubernetes_network_policy_v1" "default_deny" {
  for_each = local.namespaces

  metadata {
    name      = "default-deny-ingress"
    namespace = kubernetes_namespace_v1.this[each.key].metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Ingress"]
  }
}

resource "kubernetes_network_policy_v1" "monitoring" {
  for_each = local.allowed

  metadata {
    name      = each.key
    namespace = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  }

  spec {
    pod_selector {
      match_labels = { "app.kubernetes.io/name" = each.key }
    }
    policy_types = ["Ingress"]

    ingress {
      dynamic "from" {
        for_each = each.value.from
        content {
          pod_selector {
            match_labels = { "app.kubernetes.io/name" = from.value }
          }
        }
      }

      dynamic "ports" {
        for_each = each.value.ports
        content {
          protocol = "TCP"
          port     = tostring(ports.value)
        }
      }
    }
  }
}

resource "kubernetes_network_policy_v1" "webhook" {
  for_each = local.webhooks

  metadata {
    name      = "webhook"
    namespace = kubernetes_namespace_v1.this[each.key].metadata[0].name
  }

  spec {
    pod_selector {
      match_labels = each.value.label
    }
    policy_types = ["Ingress"]

    ingress {
      from {
        ip_block {
          cidr = data.aws_vpc.this.cidr_block
        }
      }

      ports {
        protocol = "TCP"
        port     = tostring(each.value.port)
      }
    }
  }
}

# Argo CD: each part from those that call it. Nobody but a forwarded port reaches the server.
resource "kubernetes_network_policy_v1" "argo_cd" {
  for_each = var.argo_cd == null ? {} : {
    argocd-redis       = { from = ["argocd-application-controller", "argocd-repo-server", "argocd-server"], port = 6379 }
    argocd-repo-server = { from = ["argocd-application-controller", "argocd-server"], port = 8081 }
  }

  metadata {
    name      = each.key
    namespace = kubernetes_namespace_v1.this["argocd"].metadata[0].name
  }

  spec {
    pod_selector {
      match_labels = { "app.kubernetes.io/name" = each.key }
    }
    policy_types = ["Ingress"]

    ingress {
      dynamic "from" {
        for_each = each.value.from
        content {
          pod_selector {
            match_labels = { "app.kubernetes.io/name" = from.value }
          }
        }
      }

      ports {
        protocol = "TCP"
        port     = tostring(each.value.port)
      }
    }
  }
}
