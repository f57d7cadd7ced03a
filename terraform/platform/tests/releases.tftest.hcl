# What is handed to Helm: pinned versions, the identities, the stores, the promise, and nothing secret.

mock_provider "aws" {
  source = "./tests/mocks"
}
mock_provider "helm" {}
mock_provider "kubernetes" {}

run "charts_are_pinned_to_exact_versions" {
  command = plan

  variables {
    argo_cd = {}
  }

  assert {
    condition = alltrue([
      for release in [
        helm_release.load_balancer_controller, helm_release.cluster_autoscaler, helm_release.external_secrets, helm_release.monitoring,
        helm_release.loki, helm_release.alloy, helm_release.argo_cd[0],
      ] : can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", release.version)) && startswith(release.repository, "https://")
    ])
    error_message = "A chart that comes over the network needs an exact version and an https repository."
  }

  assert {
    condition = alltrue([
      for release in [helm_release.secret_stores, helm_release.grafana_admin, helm_release.slo, helm_release.argo_cd_objects[0]] :
      release.chart == "./charts/objects" && release.version == yamldecode(file("charts/objects/Chart.yaml")).version
    ])
    error_message = "The local chart's version in charts.tf is not that of its Chart.yaml."
  }
}

run "pods_are_aws_roles_by_annotation" {
  command = plan

  assert {
    condition = alltrue([
      for account in [
        yamldecode(helm_release.load_balancer_controller.values[0]).serviceAccount,
        yamldecode(helm_release.cluster_autoscaler.values[0]).rbac.serviceAccount,
      ] : account.annotations == { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/found-by-name" }
    ]) && yamldecode(helm_release.loki.values[0]).serviceAccount.annotations == { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/made-here" }
    error_message = "With IRSA each service account that needs AWS names its role."
  }

  assert {
    condition = (
      yamldecode(helm_release.load_balancer_controller.values[0]).serviceAccount.name == "aws-load-balancer-controller" &&
      yamldecode(helm_release.cluster_autoscaler.values[0]).rbac.serviceAccount.name == "cluster-autoscaler" &&
      helm_release.load_balancer_controller.namespace == "kube-system" && helm_release.cluster_autoscaler.namespace == "kube-system"
    )
    error_message = "terraform/aws_infra's roles trust kube-system/aws-load-balancer-controller and kube-system/cluster-autoscaler, and no other account."
  }

  assert {
    condition     = data.aws_iam_role.load_balancer_controller.name == "onedigest-load-balancer-controller" && data.aws_iam_role.cluster_autoscaler.name == "onedigest-cluster-autoscaler"
    error_message = "The roles are looked for under other names than terraform/aws_infra gives them."
  }

  assert {
    condition = jsondecode(aws_iam_role.this["loki"].assume_role_policy).Statement[0] == {
      Effect    = "Allow"
      Action    = ["sts:AssumeRoleWithWebIdentity"]
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE" }
      Condition = {
        StringEquals = {
          "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:aud" = "sts.amazonaws.com"
          "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub" = "system:serviceaccount:monitoring:loki"
        }
      }
    }
    error_message = "Loki's role must trust exactly its service account."
  }
}

run "roles_made_here_can_do_one_thing" {
  command = plan

  variables {
    without_alerts  = false
    alert_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alerts"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.this["loki"].policy).Statement == [
      { Effect = "Allow", Action = ["s3:ListBucket"], Resource = ["arn:aws:s3:::onedigest-logs-123456789012-eu-central-1"] },
      { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = ["arn:aws:s3:::onedigest-logs-123456789012-eu-central-1/*"] },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = ["arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"] },
    ]
    error_message = "Loki may use its bucket and its key, and nothing else."
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.this["alertmanager"].policy).Statement == [
      { Effect = "Allow", Action = ["sns:Publish"], Resource = ["arn:aws:sns:eu-central-1:123456789012:alerts", "arn:aws:sns:eu-central-1:123456789012:onedigest-heartbeat"] }
    ]
    error_message = "Alertmanager may publish to the topic of the alerts and to that of its heartbeat, and to nothing else."
  }
}

run "an_environments_secrets_are_its_own" {
  command = plan

  assert {
    condition     = { for store in yamldecode(helm_release.secret_stores.values[0]).objects : store.metadata.name => store.spec.conditions[0].namespaces } == { production = ["production"], staging = ["staging"] }
    error_message = "Each environment has a store that its own namespace, and no other, may use."
  }

  assert {
    condition = alltrue([
      for store in yamldecode(helm_release.secret_stores.values[0]).objects :
      store.kind == "ClusterSecretStore" && store.apiVersion == "external-secrets.io/v1" && store.spec.provider.aws.service == "SecretsManager" &&
      store.spec.provider.aws.auth.jwt.serviceAccountRef == { name = "secrets-reader", namespace = store.metadata.name }
    ])
    error_message = "A store reads as the service account of its own environment."
  }

  assert {
    condition     = !can(yamldecode(helm_release.external_secrets.values[0]).serviceAccount.annotations)
    error_message = "The operator itself must have no AWS role: what it had, every environment would have."
  }
}

run "grafanas_password_is_made_in_the_cluster" {
  command = plan

  assert {
    condition = (
      yamldecode(helm_release.monitoring.values[0]).grafana.admin == { existingSecret = "grafana-admin", userKey = "admin-user", passwordKey = "admin-password" } &&
      !can(yamldecode(helm_release.monitoring.values[0]).grafana.adminPassword)
    )
    error_message = "Grafana takes its password from a Secret that Terraform does not know."
  }

  assert {
    condition = [for object in yamldecode(helm_release.grafana_admin.values[0]).objects : object.kind] == ["Password", "ExternalSecret"] && (
      yamldecode(helm_release.grafana_admin.values[0]).objects[1].spec.refreshPolicy == "CreatedOnce"
    )
    error_message = "The password is generated in the cluster, once."
  }
}

run "the_promise_is_watched" {
  command = plan

  assert {
    condition = (
      yamldecode(helm_release.slo.values[0]).objects[0].kind == "PrometheusRule" &&
      yamldecode(helm_release.slo.values[0]).objects[0].spec == yamldecode(file("rules/slo.yaml"))
    )
    error_message = "The rules that promtool tests are not the ones that are installed."
  }

  # The names that the application really uses; a rule about another metric would never fire.
  assert {
    condition = alltrue([
      for name in distinct(flatten([
        for group in yamldecode(helm_release.slo.values[0]).objects[0].spec.groups : [
          for rule in group.rules : regexall("\\b(?:http|app|process|go)_[a-z_]+[a-z]\\b", rule.expr)
        ]
        ])) : anytrue([
        for metric in regexall("\"((?:http|app)_[a-z_]+)\"", join("\n", [for source in fileset("../../app", "*.go") : file("../../app/${source}")])) :
        contains([metric[0], "${metric[0]}_count", "${metric[0]}_bucket", "${metric[0]}_sum"], name)
      ])
    ])
    error_message = "rules/slo.yaml is about a metric that app/*.go does not make."
  }

  assert {
    condition = strcontains(join("\n", [for source in fileset("../../app", "*.go") : file("../../app/${source}")]), "\"GET /configs\"") && alltrue([
      for rule in yamldecode(helm_release.slo.values[0]).objects[0].spec.groups[0].rules : strcontains(rule.expr, "route=\"GET /configs\"") if can(rule.record)
    ])
    error_message = "The promise is about GET /configs, and the application has a route of that name."
  }

  # Groups are evaluated in no defined order, so an alert that reads another group's record may read the previous one.
  assert {
    condition = alltrue(flatten([
      for group in yamldecode(helm_release.slo.values[0]).objects[0].spec.groups : [
        for name in distinct(flatten([for rule in group.rules : regexall("\\bservice:[a-z0-9_:]+", rule.expr) if can(rule.alert)])) :
        contains([for rule in group.rules : rule.record if can(rule.record)], name)
      ]
    ]))
    error_message = "An alert of rules/slo.yaml reads a ratio that another group records."
  }

  assert {
    condition = (
      yamldecode(helm_release.slo.values[0]).objects[1].metadata.labels == { grafana_dashboard = "1" } &&
      yamldecode(helm_release.monitoring.values[0]).grafana.sidecar.dashboards.label == "grafana_dashboard" &&
      length(jsondecode(yamldecode(helm_release.slo.values[0]).objects[1].data["service.json"]).panels) == 12
    )
    error_message = "Grafana would not find the dashboard."
  }

  assert {
    condition = alltrue([
      for selector in ["serviceMonitorSelectorNilUsesHelmValues", "ruleSelectorNilUsesHelmValues", "podMonitorSelectorNilUsesHelmValues", "probeSelectorNilUsesHelmValues"] :
      yamldecode(helm_release.monitoring.values[0]).prometheus.prometheusSpec[selector] == false
    ])
    error_message = "Prometheus would look at its own chart's monitors and rules only."
  }
}

run "every_release_of_the_chart_is_scraped" {
  command = plan

  assert {
    condition = yamldecode(helm_release.slo.values[0]).objects[2].spec == {
      namespaceSelector = { matchNames = ["production", "staging"] }
      selector          = { matchLabels = { "app.kubernetes.io/name" = yamldecode(file("../../charts/service/Chart.yaml")).name } }
      jobLabel          = "app.kubernetes.io/instance"
      podMetricsEndpoints = [{
        port        = "metrics", path = "/metrics", interval = "30s", scrapeTimeout = "10s"
        relabelings = [{ sourceLabels = ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], targetLabel = "service" }]
      }]
    }
    error_message = "The monitor must find the pods of charts/service in the environments' namespaces, by the chart's own label and port."
  }
}

run "no_release_is_scraped_twice" {
  command = plan

  variables {
    scrape_services = false
  }

  assert {
    condition     = [for object in yamldecode(helm_release.slo.values[0]).objects : object.kind] == ["PrometheusRule", "ConfigMap"]
    error_message = "Where the releases bring monitors of their own there is none here."
  }
}

run "alerts_go_nowhere_without_a_topic" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.monitoring.values[0]).alertmanager.config.route.receiver == "nobody" && startswith(output.alerts, "nowhere")
    error_message = "Without a topic the output has to say that nobody is notified."
  }

  assert {
    condition     = !contains(keys(aws_iam_role.this), "alertmanager")
    error_message = "Without a topic Alertmanager needs no role."
  }
}

run "alerts_go_to_the_topic" {
  command = plan

  variables {
    without_alerts  = false
    alert_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alerts"
  }

  assert {
    condition = (
      yamldecode(helm_release.monitoring.values[0]).alertmanager.config.route.receiver == "topic" &&
      yamldecode(helm_release.monitoring.values[0]).alertmanager.config.receivers[2].sns_configs[0].topic_arn == "arn:aws:sns:eu-central-1:123456789012:alerts"
    )
    error_message = "Alerts must reach the topic."
  }

  # Labels that two alerts both lack count as equal.
  assert {
    condition = length(yamldecode(helm_release.monitoring.values[0]).alertmanager.config.inhibit_rules) == 5 && alltrue([
      for rule in yamldecode(helm_release.monitoring.values[0]).alertmanager.config.inhibit_rules :
      contains(rule.equal, "alertname") if can(rule.source_matchers) && !contains(try(rule.source_matchers, []), "alertname = InfoInhibitor")
    ])
    error_message = "A critical alert silences warnings of another name, or the chart's own rules are gone."
  }

  assert {
    condition = (
      [for route in yamldecode(helm_release.monitoring.values[0]).alertmanager.config.route.routes : route.repeat_interval if route.receiver == "heartbeat"] == ["5m"] &&
      aws_cloudwatch_metric_alarm.heartbeat[0].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.heartbeat[0].metric_name == "NumberOfMessagesPublished" &&
      aws_cloudwatch_metric_alarm.heartbeat[0].dimensions == tomap({ TopicName = "onedigest-heartbeat" }) &&
      tolist(aws_cloudwatch_metric_alarm.heartbeat[0].alarm_actions) == tolist(["arn:aws:sns:eu-central-1:123456789012:alerts"])
    )
    error_message = "An Alertmanager that is silent must be noticed outside of the cluster."
  }
}

run "logs_are_kept_and_deleted" {
  command = plan

  variables {
    logs = { days = 7 }
  }

  assert {
    condition = (
      yamldecode(helm_release.loki.values[0]).loki.limits_config.retention_period == "168h" &&
      yamldecode(helm_release.loki.values[0]).loki.compactor.retention_enabled &&
      aws_s3_bucket_lifecycle_configuration.logs.rule[0].expiration[0].days == 37
    )
    error_message = "Seven days of logs are 168 hours, and the bucket takes what is a month older."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.logs.block_public_acls && aws_s3_bucket_public_access_block.logs.block_public_policy &&
      aws_s3_bucket_public_access_block.logs.ignore_public_acls && aws_s3_bucket_public_access_block.logs.restrict_public_buckets &&
      jsondecode(aws_s3_bucket_policy.logs.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    )
    error_message = "Logs are nobody else's, and only TLS carries them."
  }

  assert {
    condition     = strcontains(yamldecode(helm_release.alloy.values[0]).alloy.configMap.content, "http://loki.monitoring.svc.cluster.local:3100/loki/api/v1/push")
    error_message = "The agent must send to the Loki that is installed."
  }
}

run "namespaces_enforce_pod_security" {
  command = plan

  variables {
    argo_cd = {}
  }

  assert {
    condition = { for name, namespace in kubernetes_namespace_v1.this : name => namespace.metadata[0].labels["pod-security.kubernetes.io/enforce"] } == {
      argocd           = "baseline"
      external-secrets = "restricted"
      monitoring       = "privileged"
    }
    error_message = "Only the namespace of what looks into nodes is privileged."
  }
}

run "one_environments_own_cluster" {
  command = plan

  variables {
    cluster_name = "onedigest-staging"
    environments = { staging = { namespace = "staging" } }
  }

  assert {
    condition     = data.aws_iam_role.load_balancer_controller.name == "onedigest-staging-load-balancer-controller" && aws_iam_role.this["loki"].name == "onedigest-staging-loki"
    error_message = "A cluster of its own has roles of its own."
  }

  assert {
    condition     = [for store in yamldecode(helm_release.secret_stores.values[0]).objects : store.metadata.name] == ["staging"]
    error_message = "Only the environment that lives there has a store there."
  }
}

run "definitions_of_external_secrets_survive_an_uninstall" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.external_secrets.values[1]).crds.annotations == { "helm.sh/resource-policy" = "keep" }
    error_message = "Without the annotation Helm deletes the definitions, and with them every ExternalSecret and the Secrets that they own."
  }
}

# What the rendered charts then grant is tested in charts/tests/thirdparty_test.go.
run "grafana_reads_no_secret" {
  command = plan

  assert {
    condition = (
      !yamldecode(helm_release.monitoring.values[1]).grafana.rbac.create &&
      [for rule in kubernetes_cluster_role_v1.grafana.rule : join(",", concat(rule.resources, rule.verbs))] == ["configmaps,get,list,watch"] &&
      kubernetes_cluster_role_binding_v1.grafana.subject[0].name == "monitoring-grafana"
    )
    error_message = "Grafana's role must be ours: ConfigMaps and nothing else."
  }
}

run "nobody_connects_unless_named" {
  command = plan

  variables {
    argo_cd = {}
  }

  assert {
    condition = toset(keys(kubernetes_network_policy_v1.default_deny)) == toset(["monitoring", "external-secrets", "argocd"]) && alltrue([
      for policy in values(kubernetes_network_policy_v1.default_deny) :
      length(policy.spec[0].ingress) == 0 && tolist(policy.spec[0].policy_types) == tolist(["Ingress"]) && length(coalesce(policy.spec[0].pod_selector[0].match_labels, {})) == 0
    ])
    error_message = "Every namespace of this directory denies connections that no policy allows."
  }

  assert {
    condition     = toset(local.allowed["loki"].from) == toset(["alloy", "grafana", "prometheus"])
    error_message = "Loki is written by its agent, read by Grafana and scraped by Prometheus, which share a port; nobody else reaches it."
  }
}
