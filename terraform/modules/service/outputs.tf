output "namespace" {
  description = "Namespace of the release."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}

output "release" {
  description = "Helm release, the same for Terraform and for the actions."
  value       = local.release
}

output "digest" {
  description = "Digest that image_tag stands for; with deploy_with = actions, the one that is live, null if nothing is."
  value       = local.deploys ? local.digest : local.live_digest
}

output "live_digest" {
  description = "Digest that the Deployment asked for when this was planned, null if there was none: what the plan replaces."
  value       = local.live_digest
}

output "address" {
  description = "The load balancer's own name, empty while it has none and where the Service has none by design."
  value       = local.address
}

output "url" {
  description = "Where the service is reached, empty while that is nowhere."
  value       = local.url
}

output "smoke" {
  description = "The command that checks what is served, from the repository's root."
  value = local.url == "" ? "go run ./cmd/smoke --release ${local.release} --namespace ${local.namespace}" : join(" ", compact([
    "go run ./cmd/smoke --url ${local.url}", local.commit == null ? "" : "--expect-commit ${local.commit}",
  ]))
}

output "prove" {
  description = "The command that checks it and leaves the verdict beside the image, where promote looks for it; null where the actions deploy, which do so themselves."
  value = local.deploys ? join(" ", [
    "go run ./cmd/smoke --cluster ${var.cluster_name} --release ${local.release} --namespace ${local.namespace} --environment ${var.environment}",
    "--image ${one(data.aws_ecr_repository.this[*].repository_url)}@${local.digest} --expect-commit ${local.commit}",
  ]) : null
}

output "kubeconfig" {
  description = "The command that gives kubectl access to the cluster."
  value       = "aws eks update-kubeconfig --name ${var.cluster_name}"
}

output "put_secrets" {
  description = "The command that puts the application's secrets where the cluster reads them, from a file that is committed nowhere; null without secrets."
  value       = var.secrets.enabled ? "aws secretsmanager put-secret-value --secret-id ${aws_secretsmanager_secret.this[0].name} --secret-string file://secrets.json" : null
}

output "promotion_tag" {
  description = "Tag that the image has to carry beside image_tag, because promote gives it; null where none is asked for."
  value       = var.require_promotion && local.deploys ? "${var.environment}-${local.commit}" : null
}
