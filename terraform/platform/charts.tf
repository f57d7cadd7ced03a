# The charts, pinned, and where each version was read (2026-11; a newer one may be out: read its upgrade notes, then change it
# here). Terraform resolves none of them by itself, so a plan shows every change of version.
locals {
  charts = {
    # github.com/aws/eks-charts, whose chart versions are the controller's: release v3.5.0 of 2026-08-03 in
    # github.com/kubernetes-sigs/aws-load-balancer-controller. Its policy is terraform/aws_infra/load_balancer_controller.tf.
    load_balancer_controller = { repository = "https://aws.github.io/eks-charts", chart = "aws-load-balancer-controller", version = "3.5.0" }

    # github.com/kubernetes/autoscaler, release cluster-autoscaler-chart-9.59.0.
    cluster_autoscaler = { repository = "https://kubernetes.github.io/autoscaler", chart = "cluster-autoscaler", version = "9.59.0" }

    # github.com/external-secrets/external-secrets, release helm-chart-2.10.0.
    external_secrets = { repository = "https://charts.external-secrets.io", chart = "external-secrets", version = "2.10.0" }

    # github.com/prometheus-community/helm-charts, release kube-prometheus-stack-91.4.1 (operator v0.94.0).
    monitoring = { repository = "https://prometheus-community.github.io/helm-charts", chart = "kube-prometheus-stack", version = "91.4.1" }

    # github.com/grafana-community/helm-charts, release loki-18.13.1 (Loki 3.7.7). Loki's chart moved there in 2026; the one in
    # grafana.github.io/helm-charts gets no more of the open-source Loki.
    loki = { repository = "https://grafana-community.github.io/helm-charts", chart = "loki", version = "18.13.1" }

    # github.com/grafana/helm-charts, release alloy-1.12.1 (Alloy v1.19.2). Promtail, which it replaces, is at its end of life.
    alloy = { repository = "https://grafana.github.io/helm-charts", chart = "alloy", version = "1.12.1" }

    # github.com/argoproj/argo-helm, release argo-cd-10.9.1 of 2026-09-14.
    argo_cd = { repository = "https://argoproj.github.io/argo-helm", chart = "argo-cd", version = "10.9.1" }

    # In this directory.
    objects = { repository = null, chart = "${path.module}/charts/objects", version = "0.1.0" }
  }
}
