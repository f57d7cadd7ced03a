# Copies secrets from Secrets Manager into Secrets. The operator itself has no AWS role: for each environment it borrows the
# service account secrets-reader of that environment's namespace, whose role reads that environment's secrets and no other's.
resource "helm_release" "external_secrets" {
  name       = "external-secrets"
  namespace  = kubernetes_namespace_v1.this["external-secrets"].metadata[0].name
  repository = local.charts.external_secrets.repository
  chart      = local.charts.external_secrets.chart
  version    = local.charts.external_secrets.version
  wait       = true

  values = [yamlencode({
    replicaCount = 2
    leaderElect  = true
    resources    = { requests = { cpu = "25m", memory = "64Mi" }, limits = { memory = "256Mi" } }

    podDisruptionBudget = { enabled = true, minAvailable = 1 }

    webhook        = { resources = { requests = { cpu = "10m", memory = "32Mi" }, limits = { memory = "128Mi" } } }
    certController = { resources = { requests = { cpu = "10m", memory = "64Mi" }, limits = { memory = "256Mi" } } }
  }), file("${path.module}/values/external-secrets.yaml")]

  depends_on = [helm_release.load_balancer_controller]
}

# A store for each environment, usable from its namespace alone. It becomes ready when terraform/ENVIRONMENT has made the service
# account there.
resource "helm_release" "secret_stores" {
  name      = "secret-stores"
  namespace = kubernetes_namespace_v1.this["external-secrets"].metadata[0].name
  chart     = local.charts.objects.chart
  version   = local.charts.objects.version

  values = [yamlencode({
    objects = [
      for environment, settings in var.environments : {
        apiVersion = "external-secrets.io/v1"
        kind       = "ClusterSecretStore"
        metadata   = { name = environment }
        spec = {
          conditions = [{ namespaces = [settings.namespace] }]
          provider = {
            aws = {
              service = "SecretsManager"
              region  = var.region
              auth    = { jwt = { serviceAccountRef = { name = "secrets-reader", namespace = settings.namespace } } }
            }
          }
        }
      }
    ]
  })]

  depends_on = [helm_release.external_secrets]
}
