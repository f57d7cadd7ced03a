locals {
  place     = var.service == "" ? var.environment : "${var.service}-${var.environment}" # as terraform/aws_infra names what is this service's
  namespace = coalesce(var.namespace, local.place)
  release   = coalesce(var.release, basename(var.repository))
}

# The labels that the actions give a namespace which they create, and two more.
resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = local.namespace

    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
      "pod-security.kubernetes.io/warn"    = "restricted"
      "pod-security.kubernetes.io/audit"   = "restricted"
      "onedigest.dev/environment"          = var.environment

      # A pod is ready when the load balancer sends to it, not before: without this a rolling update ends old pods while the new
      # ones still register. AWS Load Balancer Controller, "Pod readiness gate".
      "elbv2.k8s.aws/pod-readiness-gate-inject" = "enabled"
    }
  }
}

# Nobody may connect to a pod here unless a policy allows it: that of the release is the chart's (networkPolicy in the values). It is made after
# the release if Terraform deploys; if the actions do, set var.default_deny to false until their release has its policy.
resource "kubernetes_network_policy_v1" "default_deny" {
  count = var.default_deny ? 1 : 0

  metadata {
    name      = "default-deny-ingress"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Ingress"]
  }

  depends_on = [helm_release.this]
}
