output "grafana" {
  description = "How to open Grafana: no load balancer shows it, a port is forwarded (then http://127.0.0.1:3000, user admin)."
  value       = "kubectl --namespace monitoring port-forward service/monitoring-grafana 3000:80"
}

output "grafana_password" {
  description = "The command that prints Grafana's administrator password; Terraform never sees it."
  value       = "kubectl --namespace monitoring get secret grafana-admin --output jsonpath='{.data.admin-password}' | base64 --decode"
}

output "alerts" {
  description = "Where alerts go."
  value       = var.alert_topic_arn == "" ? "nowhere: set alert_topic_arn, or look at Alertmanager (kubectl --namespace monitoring port-forward service/monitoring-alertmanager 9093)" : var.alert_topic_arn
}

output "logs_bucket" {
  description = "The S3 bucket that Loki keeps logs in."
  value       = aws_s3_bucket.logs.id
}

output "secret_stores" {
  description = "By environment: the ClusterSecretStore that its namespace, and no other, may use."
  value       = { for environment in keys(var.environments) : environment => environment }
}

output "argo_cd" {
  description = "How to open Argo CD, null where it is not installed (then https://127.0.0.1:8443; there is no local administrator, people sign in by argo_cd.oidc)."
  value       = var.argo_cd == null ? null : "kubectl --namespace argocd port-forward service/argo-cd-argocd-server 8443:443"
}

output "applications" {
  description = "By Application: the settings of `deploy` that go with it."
  value = {
    for name, application in local.argo_cd_applications : name => join(" ", concat(
      ["--via argo-cd --application argocd/${name} --environment ${application.environment} --namespace ${try(var.environments[application.environment].namespace, "")} --release ${application.release}"],
      ["--config-repository ${application.repository} --config-branch ${application.branch}"],
      length(application.values) == 0 ? ["--config-path ${application.path}"] : concat(["--chart ${application.path}"], [for file in application.values : "--values ${file}"]),
    ))
  }
}
