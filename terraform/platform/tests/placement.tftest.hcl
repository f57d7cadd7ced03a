# Observability runs on its own nodes: every one of its pods selects them and tolerates their taint, what must run on every node
# does, and nothing else asks for either. Read from the values that the plan hands to Helm.

mock_provider "aws" {
  source = "./tests/mocks"
}
mock_provider "helm" {}
mock_provider "kubernetes" {}

run "observability_is_on_its_own_nodes" {
  command = plan

  variables {
    argo_cd = {}
  }

  # The components by where the chart takes their placement from. Whoever adds one has to say here where it runs.
  assert {
    condition = alltrue([
      for component in [
        yamldecode(helm_release.monitoring.values[0]).prometheusOperator,
        yamldecode(helm_release.monitoring.values[0]).prometheusOperator.admissionWebhooks.patch,
        yamldecode(helm_release.monitoring.values[0]).crds.upgradeJob,
        yamldecode(helm_release.monitoring.values[0]).prometheus.prometheusSpec,
        yamldecode(helm_release.monitoring.values[0]).alertmanager.alertmanagerSpec,
        yamldecode(helm_release.monitoring.values[0]).grafana,
        yamldecode(helm_release.monitoring.values[0])["kube-state-metrics"],
        yamldecode(helm_release.loki.values[0]).singleBinary,
      ] :
      component.nodeSelector == { dedicated = "observability" } &&
      jsonencode(component.tolerations) == jsonencode([{ key = "dedicated", operator = "Equal", value = "observability", effect = "NoSchedule" }])
    ])
    error_message = "A component of monitoring or logging does not select the nodes dedicated=observability, or does not tolerate their taint."
  }

  assert {
    condition = alltrue([
      for component in [yamldecode(helm_release.monitoring.values[0])["prometheus-node-exporter"], yamldecode(helm_release.alloy.values[0]).controller] :
      jsonencode(component.tolerations) == jsonencode([{ operator = "Exists" }]) && !can(component.nodeSelector)
    ])
    error_message = "The node exporter and the log agent must run on every node, whatever its taints."
  }

  assert {
    condition     = yamldecode(helm_release.alloy.values[0]).controller.type == "daemonset"
    error_message = "The log agent reads its node's files, so it is a DaemonSet."
  }

  assert {
    condition = alltrue([
      for part in ["gateway", "chunksCache", "resultsCache", "lokiCanary", "test", "minio"] : !yamldecode(helm_release.loki.values[0])[part].enabled
      ]) && alltrue([
      for part in ["read", "write", "backend"] : yamldecode(helm_release.loki.values[0])[part].replicas == 0
    ])
    error_message = "A part of Loki is switched on that this test does not place."
  }

  assert {
    condition = alltrue([
      for release in [helm_release.load_balancer_controller, helm_release.cluster_autoscaler, helm_release.external_secrets, helm_release.argo_cd[0]] :
      !strcontains(release.values[0], "observability") && !strcontains(release.values[0], "tolerations")
    ])
    error_message = "Only observability belongs on the nodes for observability."
  }

  assert {
    condition     = helm_release.monitoring.namespace == "monitoring" && helm_release.loki.namespace == "monitoring" && helm_release.alloy.namespace == "monitoring"
    error_message = "Monitoring and logging live in namespace monitoring."
  }
}

run "volumes_are_encrypted_and_in_the_pods_zone" {
  command = plan

  assert {
    condition     = kubernetes_storage_class_v1.gp3.parameters["encrypted"] == "true" && kubernetes_storage_class_v1.gp3.volume_binding_mode == "WaitForFirstConsumer"
    error_message = "Volumes must be encrypted, and made where the pod is."
  }

  assert {
    condition = alltrue([
      for spec in [
        yamldecode(helm_release.monitoring.values[0]).prometheus.prometheusSpec.storageSpec.volumeClaimTemplate.spec,
        yamldecode(helm_release.monitoring.values[0]).alertmanager.alertmanagerSpec.storage.volumeClaimTemplate.spec,
      ] : spec.storageClassName == "gp3"
    ]) && yamldecode(helm_release.loki.values[0]).singleBinary.persistence.storageClass == "gp3"
    error_message = "Every volume is of the encrypted class."
  }

  assert {
    condition     = yamldecode(helm_release.monitoring.values[0]).prometheus.prometheusSpec.retentionSize == "42GiB"
    error_message = "Prometheus must stop before its volume is full: 85 % of 50 GiB."
  }
}
