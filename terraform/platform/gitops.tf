# Argo CD, where it is asked for: it applies the releases that argo_cd.applications names, and can reach nothing else. The deploy then
# commits to the configuration repository (docs/gitops.md), and neither Terraform nor a deploy by Helm owns the release.

locals {
  # What a release may consist of. Secrets, Roles and RoleBindings are left out on purpose: what Argo CD cannot write, a commit cannot
  # smuggle in. The kinds are those of charts/service (docs/rbac/role.yaml).
  argo_cd_kinds = concat(
    [
      { group = "", kind = "ConfigMap" },
      { group = "", kind = "Service" },
      { group = "", kind = "ServiceAccount" },
      { group = "apps", kind = "Deployment" },
      { group = "autoscaling", kind = "HorizontalPodAutoscaler" },
      { group = "batch", kind = "Job" },
      { group = "external-secrets.io", kind = "ExternalSecret" },
      { group = "monitoring.coreos.com", kind = "PodMonitor" },
      { group = "monitoring.coreos.com", kind = "PrometheusRule" },
      { group = "networking.k8s.io", kind = "Ingress" },
      { group = "networking.k8s.io", kind = "NetworkPolicy" },
      { group = "policy", kind = "PodDisruptionBudget" },
    ],
    try(var.argo_cd.kinds, []),
  )

  # What it only looks at, to show a Deployment's pods.
  argo_cd_shown = [{ group = "", kind = "Pod" }, { group = "apps", kind = "ReplicaSet" }]

  argo_cd_applications = try(var.argo_cd.applications, {})
  argo_cd_environments = toset([for application in values(local.argo_cd_applications) : application.environment])
  argo_cd_namespaces   = sort([for environment in local.argo_cd_environments : try(var.environments[environment].namespace, "")])

  # Argo CD's own policy language: argo-cd.readthedocs.io, "RBAC Configuration". Nobody is an administrator, and nobody has exec.
  argo_cd_policy = join("\n", concat(
    ["p, role:viewer, applications, get, */*, allow", "p, role:viewer, projects, get, *, allow"],
    ["p, role:operator, applications, sync, */*, allow", "g, role:operator, role:viewer"],
    [for group in try(var.argo_cd.viewers, []) : "g, \"${group}\", role:viewer"],
    [for group in try(var.argo_cd.operators, []) : "g, \"${group}\", role:operator"],
  ))

  argo_cd_projects = [
    for environment in local.argo_cd_environments : {
      apiVersion = "argoproj.io/v1alpha1"
      kind       = "AppProject"
      metadata   = { name = environment, namespace = "argocd" }
      spec = {
        description                = "Environment ${environment}: its namespace, and nothing else."
        sourceRepos                = distinct([for application in values(local.argo_cd_applications) : application.repository if application.environment == environment])
        destinations               = [{ server = local.argo_cd_cluster, namespace = try(var.environments[environment].namespace, "") }]
        clusterResourceWhitelist   = []
        namespaceResourceWhitelist = local.argo_cd_kinds
      }
    }
  ]

  # Argo CD makes this project at its start, and lets it do everything; whoever may create an Application could use it.
  argo_cd_default_project = {
    apiVersion = "argoproj.io/v1alpha1"
    kind       = "AppProject"
    metadata   = { name = "default", namespace = "argocd" }
    spec = {
      description                = "Closed: an Application belongs to the project of its environment."
      sourceRepos                = []
      destinations               = []
      clusterResourceWhitelist   = []
      namespaceResourceBlacklist = [{ group = "*", kind = "*" }]
    }
  }

  # Without a finalizer: deleting an Application leaves what it has applied.
  argo_cd_application_objects = [
    for name, application in local.argo_cd_applications : {
      apiVersion = "argoproj.io/v1alpha1"
      kind       = "Application"
      metadata   = { name = name, namespace = "argocd" }
      spec = {
        project     = application.environment
        destination = { server = local.argo_cd_cluster, namespace = try(var.environments[application.environment].namespace, "") }
        source = merge(
          { repoURL = application.repository, targetRevision = application.branch, path = application.path },
          { for key, value in { helm = { releaseName = application.release, valueFiles = [for file in application.values : "/${file}"] } } : key => value if length(application.values) > 0 },
          { for key, value in { directory = { recurse = false } } : key => value if length(application.values) == 0 },
        )
        syncPolicy = { automated = { prune = true, selfHeal = true }, retry = { limit = 5 } }
      }
    }
  ]

  argo_cd_cluster = "https://kubernetes.default.svc"
}

resource "helm_release" "argo_cd" {
  count = var.argo_cd == null ? 0 : 1

  name       = "argo-cd"
  namespace  = kubernetes_namespace_v1.this["argocd"].metadata[0].name
  repository = local.charts.argo_cd.repository
  chart      = local.charts.argo_cd.chart
  version    = local.charts.argo_cd.version
  wait       = true
  timeout    = 600

  values = [yamlencode({
    crds = { install = true, keep = true } # an uninstall would delete every Application otherwise
    server = {
      service   = { type = "ClusterIP" }
      ingress   = { enabled = false }
      resources = { requests = { cpu = "25m", memory = "64Mi" }, limits = { memory = "256Mi" } }
    }
    controller = { resources = { requests = { cpu = "50m", memory = "256Mi" }, limits = { memory = "1Gi" } } }
    repoServer = { resources = { requests = { cpu = "25m", memory = "128Mi" }, limits = { memory = "512Mi" } } }
    redis      = { resources = { requests = { cpu = "10m", memory = "32Mi" }, limits = { memory = "128Mi" } } }
    configs = {
      cm = merge(
        {
          url = var.argo_cd.address
          # For every cluster, as there is one: Argo CD compares `clusters` with the address that it connects to, which is not argo_cd_cluster in a pod.
          "resource.inclusions" = yamlencode([
            for each in concat(local.argo_cd_kinds, local.argo_cd_shown) : { apiGroups = [each.group], kinds = [each.kind] }
          ])
        },
        { for key, oidc in { "oidc.config" = var.argo_cd.oidc } : key => yamlencode(merge(
          { name = oidc.name, issuer = oidc.issuer, clientID = oidc.client_id, requestedScopes = oidc.scopes, enablePKCEAuthentication = oidc.secret == "" },
          { for key, secret in { clientSecret = oidc.secret } : key => format("$%s:clientSecret", secret) if secret != "" },
        )) if oidc != null },
      )
      rbac = { "policy.csv" = local.argo_cd_policy }

      # Argo CD reads and writes the namespaces that are named here, and no object outside of a namespace. The account is its own.
      clusterCredentials = length(local.argo_cd_namespaces) == 0 ? {} : {
        in-cluster = { server = local.argo_cd_cluster, namespaces = join(",", local.argo_cd_namespaces), config = { tlsClientConfig = { insecure = false } } }
      }
    }
  }), file("${path.module}/values/argo-cd.yaml")]

  depends_on = [helm_release.load_balancer_controller]
}

resource "helm_release" "argo_cd_objects" {
  count = var.argo_cd == null ? 0 : 1

  name           = "argo-cd-objects"
  namespace      = kubernetes_namespace_v1.this["argocd"].metadata[0].name
  chart          = local.charts.objects.chart
  version        = local.charts.objects.version
  take_ownership = true # of the project default, which Argo CD makes itself

  values = [yamlencode({ objects = concat([local.argo_cd_default_project], local.argo_cd_projects, local.argo_cd_application_objects) })]

  depends_on = [helm_release.argo_cd]
}
