locals {
  # The node exporter and the log agent look into their node (host paths, host network), which only `privileged` allows; this
  # directory decides what else runs in that namespace. The other namespaces do not need it.
  namespaces = merge(
    {
      monitoring       = "privileged"
      external-secrets = "restricted"
    },
    var.argo_cd == null ? {} : { argocd = "baseline" },
  )
}

resource "kubernetes_namespace_v1" "this" {
  for_each = local.namespaces

  metadata {
    name = each.key
    labels = {
      "pod-security.kubernetes.io/enforce" = each.value
      "pod-security.kubernetes.io/warn"    = each.value
    }
  }
}

# What volumes are made of: encrypted, in the zone of the pod that asks. EKS brings a class without encryption and no default.
resource "kubernetes_storage_class_v1" "gp3" {
  metadata {
    name        = "gp3"
    annotations = { "storageclass.kubernetes.io/is-default-class" = "true" }
  }

  storage_provisioner    = "ebs.csi.aws.com"
  reclaim_policy         = "Delete"
  volume_binding_mode    = "WaitForFirstConsumer"
  allow_volume_expansion = true
  parameters             = { type = "gp3", encrypted = "true" }
}
