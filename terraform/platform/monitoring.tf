# Grafana's administrator: External Secrets makes the password up, once, in the cluster. It is in no state, no file and no log.
resource "helm_release" "grafana_admin" {
  name      = "grafana-admin"
  namespace = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  chart     = local.charts.objects.chart
  version   = local.charts.objects.version

  values = [yamlencode({
    objects = [
      {
        apiVersion = "generators.external-secrets.io/v1alpha1"
        kind       = "Password"
        metadata   = { name = "grafana-admin", namespace = "monitoring" }
        spec       = { length = 40, digits = 8, symbols = 0, noUpper = false, allowRepeat = true }
      },
      {
        apiVersion = "external-secrets.io/v1"
        kind       = "ExternalSecret"
        metadata   = { name = "grafana-admin", namespace = "monitoring" }
        spec = {
          refreshPolicy = "CreatedOnce" # a new password would lock out signed-in users; to replace it, delete the Secret
          target = {
            name = "grafana-admin"
            template = {
              data = { admin-user = "admin", admin-password = "{{ .password }}" }
            }
          }
          dataFrom = [{ sourceRef = { generatorRef = { apiVersion = "generators.external-secrets.io/v1alpha1", kind = "Password", name = "grafana-admin" } } }]
        }
      },
    ]
  })]

  depends_on = [helm_release.external_secrets]
}

locals {
  # With one volume for each, in the zone where its pod came up: the node groups there are one for each zone, too.
  volume = {
    storageClassName = kubernetes_storage_class_v1.gp3.metadata[0].name
    accessModes      = ["ReadWriteOnce"]
  }

  alertmanager_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["sns:Publish"], Resource = concat([var.alert_topic_arn], aws_sns_topic.heartbeat[*].arn) }]
  })

  # Who is notified. What is critical and what is a warning differ by the subject; the topic's subscribers decide what rings.
  alertmanager_config = {
    route = {
      receiver        = var.alert_topic_arn == "" ? "nobody" : "topic"
      group_by        = ["alertname", "namespace"]
      group_wait      = "30s"
      group_interval  = "5m"
      repeat_interval = "4h"
      routes = concat(
        [{ receiver = "nobody", matchers = [var.alert_topic_arn == "" ? "alertname =~ \"Watchdog|InfoInhibitor\"" : "alertname = InfoInhibitor"] }],
        [for topic in compact([var.alert_topic_arn]) : {
          receiver        = "heartbeat"
          matchers        = ["alertname = Watchdog"]
          group_by        = ["alertname"]
          group_wait      = "0s"
          group_interval  = "1m"
          repeat_interval = "5m"
        }],
      )
    }

    # Helm replaces a list, so the chart's own rules come first (kube-prometheus-stack, values.yaml). Labels that both alerts lack count as
    # equal: without alertname, any critical alert of a namespace would silence every warning in it.
    inhibit_rules = concat([
      { source_matchers = ["severity = critical"], target_matchers = ["severity =~ warning|info"], equal = ["namespace", "alertname"] },
      { source_matchers = ["severity = warning"], target_matchers = ["severity = info"], equal = ["namespace", "alertname"] },
      { source_matchers = ["alertname = InfoInhibitor"], target_matchers = ["severity = info"], equal = ["namespace"] },
      { target_matchers = ["alertname = InfoInhibitor"] },
      ], [
      { source_matchers = ["severity = critical"], target_matchers = ["severity = warning"], equal = ["alertname", "namespace", "service", "slo"] },
    ])
    receivers = concat([{ name = "nobody" }], [for topic in compact([var.alert_topic_arn]) : {
      name        = "heartbeat"
      sns_configs = [{ topic_arn = aws_sns_topic.heartbeat[0].arn, sigv4 = { region = var.region }, send_resolved = false, subject = "heartbeat" }]
      }], [for topic in compact([var.alert_topic_arn]) : {
      name = "topic"
      sns_configs = [{
        topic_arn     = topic
        sigv4         = { region = var.region }
        send_resolved = true
        subject       = "{{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }} in {{ .CommonLabels.namespace }} ({{ .Status }})"
      }]
    }])
  }
}

# ── The dead-man switch ─────────────────────────────────────────────────────────────────────────────────────────────────

# The alert Watchdog always fires. Alertmanager publishes it here every five minutes; if it stops, whatever broke on the way (rules,
# Prometheus, Alertmanager, its role, the cluster), CloudWatch tells the topic of the alerts. Nothing subscribes to this one.
resource "aws_sns_topic" "heartbeat" {
  count = var.alert_topic_arn == "" ? 0 : 1

  name              = "${var.cluster_name}-heartbeat"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  count = var.alert_topic_arn == "" ? 0 : 1

  alarm_name          = "${var.cluster_name}-no-heartbeat"
  alarm_description   = "Alertmanager of ${var.cluster_name} has published nothing for 15 minutes: no alert would reach anybody."
  namespace           = "AWS/SNS"
  metric_name         = "NumberOfMessagesPublished"
  dimensions          = { TopicName = aws_sns_topic.heartbeat[0].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alert_topic_arn]
  ok_actions          = [var.alert_topic_arn]
}

# ── What Grafana reads ──────────────────────────────────────────────────────────────────────────────────────────────────

# Dashboards are ConfigMaps, of any namespace (the chart's monitoring.dashboard); no Secret is among them.
resource "kubernetes_cluster_role_v1" "grafana" {
  metadata { name = "grafana-dashboards" }

  rule {
    api_groups = [""]
    resources  = ["configmaps"]
    verbs      = ["get", "list", "watch"]
  }
}

resource "kubernetes_cluster_role_binding_v1" "grafana" {
  metadata { name = "grafana-dashboards" }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = kubernetes_cluster_role_v1.grafana.metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = "monitoring-grafana"
    namespace = "monitoring"
  }
}

resource "helm_release" "monitoring" {
  name       = "monitoring"
  namespace  = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  repository = local.charts.monitoring.repository
  chart      = local.charts.monitoring.chart
  version    = local.charts.monitoring.version
  wait       = true
  timeout    = 900 # volumes, and the admission webhook's certificate first

  values = [yamlencode({
    fullnameOverride = "monitoring"

    crds = {
      enabled    = true
      upgradeJob = merge({ enabled = true }, local.observability) # Helm itself never upgrades a CRD
    }

    # EKS shows no metrics of these; their alerts would only say so.
    kubeControllerManager = { enabled = false }
    kubeScheduler         = { enabled = false }
    kubeEtcd              = { enabled = false }
    kubeProxy             = { enabled = false }

    prometheusOperator = merge(local.observability, {
      resources         = { requests = { cpu = "50m", memory = "128Mi" }, limits = { memory = "512Mi" } }
      admissionWebhooks = { patch = local.observability }
    })

    prometheus = {
      prometheusSpec = merge(local.observability, {
        replicas      = var.metrics.replicas
        retention     = "${var.metrics.days}d"
        retentionSize = "${floor(var.metrics.volume_gib * 0.85)}GiB" # the rest is for what is being written
        storageSpec = {
          volumeClaimTemplate = { spec = merge(local.volume, { resources = { requests = { storage = "${var.metrics.volume_gib}Gi" } } }) }
        }
        resources = { requests = { cpu = "250m", memory = "2Gi" }, limits = { memory = "6Gi" } }

        # Everybody's monitors and rules count, not only this release's.
        serviceMonitorSelectorNilUsesHelmValues = false
        podMonitorSelectorNilUsesHelmValues     = false
        probeSelectorNilUsesHelmValues          = false
        ruleSelectorNilUsesHelmValues           = false
      })
    }

    alertmanager = {
      config         = local.alertmanager_config
      serviceAccount = { name = "alertmanager", annotations = var.alert_topic_arn == "" ? {} : local.annotations["alertmanager"] }
      alertmanagerSpec = merge(local.observability, {
        replicas  = var.metrics.alertmanager
        resources = { requests = { cpu = "10m", memory = "64Mi" }, limits = { memory = "256Mi" } }
        storage = {
          volumeClaimTemplate = { spec = merge(local.volume, { resources = { requests = { storage = "2Gi" } } }) }
        }
      })
    }

    # Keeps nothing: dashboards and data sources are provisioned, the password is in the Secret.
    grafana = merge(local.observability, {
      admin     = { existingSecret = "grafana-admin", userKey = "admin-user", passwordKey = "admin-password" }
      resources = { requests = { cpu = "50m", memory = "256Mi" }, limits = { memory = "512Mi" } }
      sidecar   = { dashboards = { enabled = true, label = "grafana_dashboard", labelValue = "1", searchNamespace = "ALL" } }
      additionalDataSources = [
        { name = "Loki", uid = "loki", type = "loki", access = "proxy", url = local.loki_url },
      ]
      "grafana.ini" = {
        analytics        = { reporting_enabled = false, check_for_updates = false }
        "auth.anonymous" = { enabled = false }
        users            = { allow_sign_up = false }
      }
    })

    "kube-state-metrics" = merge(local.observability, {
      resources = { requests = { cpu = "10m", memory = "64Mi" }, limits = { memory = "256Mi" } }
    })

    "prometheus-node-exporter" = merge(local.everywhere, {
      resources = { requests = { cpu = "10m", memory = "32Mi" }, limits = { memory = "64Mi" } }
    })
  }), file("${path.module}/values/monitoring.yaml")]

  depends_on = [
    helm_release.load_balancer_controller,
    helm_release.grafana_admin,
    kubernetes_cluster_role_binding_v1.grafana,
    aws_iam_role_policy.this,
  ]
}

# What the services promise, the picture of it, and, where no release brings its own, what has them scraped: every pod of
# charts/service in the environments' namespaces. The chart's own monitor cannot be on in values files that also serve clusters
# without the Prometheus operator; with both, every sample would come twice.
resource "helm_release" "slo" {
  name      = "slo"
  namespace = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  chart     = local.charts.objects.chart
  version   = local.charts.objects.version

  values = [yamlencode({
    objects = concat([
      {
        apiVersion = "monitoring.coreos.com/v1"
        kind       = "PrometheusRule"
        metadata   = { name = "slo", namespace = "monitoring" }
        spec       = yamldecode(file("${path.module}/rules/slo.yaml"))
      },
      {
        apiVersion = "v1"
        kind       = "ConfigMap"
        metadata   = { name = "dashboard-service", namespace = "monitoring", labels = { grafana_dashboard = "1" } }
        data       = { "service.json" = file("${path.module}/dashboards/service.json") }
      },
      ], var.scrape_services ? [{
        apiVersion = "monitoring.coreos.com/v1"
        kind       = "PodMonitor"
        metadata   = { name = "services", namespace = "monitoring" }
        spec = {
          namespaceSelector = { matchNames = sort([for environment in var.environments : environment.namespace]) }
          selector          = { matchLabels = { "app.kubernetes.io/name" = "service" } }
          jobLabel          = "app.kubernetes.io/instance"
          # The port of metrics, which no Service has. Its target keeps the name "service" that the objective is kept by.
          podMetricsEndpoints = [{
            port        = "metrics", path = "/metrics", interval = "30s", scrapeTimeout = "10s"
            relabelings = [{ sourceLabels = ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], targetLabel = "service" }]
          }]
        }
    }] : [])
  })]

  depends_on = [helm_release.monitoring]
}
