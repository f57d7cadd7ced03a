# Argo CD, for those who want to use it later. It has no repository and no application, so it changes nothing: what deploys
# here is Terraform or the actions. Before an Application is made for the service, one of those has to stop (docs/aws.md).
resource "helm_release" "argo_cd" {
  count = var.argo_cd ? 1 : 0

  name       = "argo-cd"
  namespace  = kubernetes_namespace_v1.this["argocd"].metadata[0].name
  repository = local.charts.argo_cd.repository
  chart      = local.charts.argo_cd.chart
  version    = local.charts.argo_cd.version
  wait       = true
  timeout    = 600

  values = [yamlencode({
    crds          = { install = true, keep = false }
    dex           = { enabled = false }
    notifications = { enabled = false }
    server = {
      service   = { type = "ClusterIP" }
      ingress   = { enabled = false }
      resources = { requests = { cpu = "25m", memory = "64Mi" }, limits = { memory = "256Mi" } }
    }
    controller     = { resources = { requests = { cpu = "50m", memory = "256Mi" }, limits = { memory = "1Gi" } } }
    repoServer     = { resources = { requests = { cpu = "25m", memory = "128Mi" }, limits = { memory = "512Mi" } } }
    applicationSet = { resources = { requests = { cpu = "10m", memory = "64Mi" }, limits = { memory = "256Mi" } } }
    redis          = { resources = { requests = { cpu = "10m", memory = "32Mi" }, limits = { memory = "128Mi" } } }
    configs        = { cm = { "admin.enabled" = true, "exec.enabled" = false } }
  })]

  depends_on = [helm_release.load_balancer_controller]
}
