# Adds a node when pods find no room and removes one that is not needed, within the sizes that terraform/aws_infra gives each node
# group. Why this and not Karpenter: terraform/aws_infra/README.md.
resource "helm_release" "cluster_autoscaler" {
  name       = "cluster-autoscaler"
  namespace  = "kube-system"
  repository = local.charts.cluster_autoscaler.repository
  chart      = local.charts.cluster_autoscaler.chart
  version    = local.charts.cluster_autoscaler.version
  wait       = true

  values = [yamlencode({
    cloudProvider = "aws"
    awsRegion     = var.region
    autoDiscovery = { clusterName = var.cluster_name }
    image         = { tag = var.cluster_autoscaler_image_tag }
    rbac          = { serviceAccount = { name = "cluster-autoscaler", annotations = local.annotations["cluster-autoscaler"] } }

    extraArgs = {
      balance-similar-node-groups   = true # a group for each zone: grow them evenly
      expander                      = "least-waste"
      skip-nodes-with-local-storage = false # emptyDir is no reason to keep a node
      skip-nodes-with-system-pods   = false
    }

    resources                = { requests = { cpu = "50m", memory = "128Mi" }, limits = { memory = "512Mi" } }
    securityContext          = { runAsNonRoot = true, runAsUser = 65534, seccompProfile = { type = "RuntimeDefault" } }
    containerSecurityContext = { allowPrivilegeEscalation = false, readOnlyRootFilesystem = true, capabilities = { drop = ["ALL"] } }
  })]

  depends_on = [helm_release.load_balancer_controller]
}

check "cluster_autoscaler_fits" {
  assert {
    condition     = startswith(var.cluster_autoscaler_image_tag, "v${data.aws_eks_cluster.this.version}.")
    error_message = "cluster_autoscaler_image_tag is ${var.cluster_autoscaler_image_tag}, but ${var.cluster_name} runs Kubernetes ${data.aws_eks_cluster.this.version}: take a tag of that minor version."
  }
}
