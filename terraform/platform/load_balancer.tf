# Makes the load balancers that Services and Ingresses ask for. First of all, because its webhook is asked about every Service
# that is made after it.
resource "helm_release" "load_balancer_controller" {
  name       = "aws-load-balancer-controller"
  namespace  = "kube-system"
  repository = local.charts.load_balancer_controller.repository
  chart      = local.charts.load_balancer_controller.chart
  version    = local.charts.load_balancer_controller.version
  wait       = true

  values = [yamlencode({
    clusterName  = var.cluster_name
    region       = var.region # given, because a pod cannot ask the node's metadata (hop limit 1)
    vpcId        = data.aws_eks_cluster.this.vpc_config[0].vpc_id
    replicaCount = var.load_balancer_controller_replicas

    serviceAccount      = { name = "aws-load-balancer-controller", annotations = local.annotations["load-balancer-controller"] }
    podDisruptionBudget = { maxUnavailable = 1 }
    resources           = { requests = { cpu = "50m", memory = "128Mi" }, limits = { memory = "512Mi" } }

    defaultTargetType = "ip" # straight to the pods, which have addresses of the VPC
    defaultSSLPolicy  = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"

    # A Service says by its annotations that it wants this controller (terraform/*/values-*.yaml); one that says nothing is not ours.
    enableServiceMutatorWebhook = false
  })]
}
