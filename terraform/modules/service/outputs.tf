output "namespace" {
  description = "Namespace of the release."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}

output "release" {
  description = "Helm release, the same for Terraform and for the actions."
  value       = local.release
}

output "digest" {
  description = "Digest of image_tag; if Terraform does not deploy, the live one, null if nothing is live."
  value       = local.deploys ? local.digest : local.live_digest
}

output "live_digest" {
  description = "Digest of the Deployment at the time of the plan, which the plan replaces; null if there was no Deployment."
  value       = local.live_digest
}

output "address" {
  description = "The load balancer's DNS name, empty until it is assigned or if the Service has no load balancer."
  value       = local.address
}

output "url" {
  description = "URL of the service, empty until it has an address."
  value       = local.url
}

output "smoke" {
  description = "The command that checks what is served, from the repository's root."
  value = local.url == "" ? "go run ./cmd/smoke --release ${local.release} --namespace ${local.namespace}" : join(" ", compact([
    "go run ./cmd/smoke --url ${local.url}", local.commit == null ? "" : "--expect-commit ${local.commit}",
  ]))
}

output "prove" {
  description = "The command that checks the service and stores the verdict, signed with the environment's key, next to the image for promote; null if the actions deploy or commit, because they store it themselves."
  value = local.deploys ? join(" ", [
    "go run ./cmd/smoke --cluster ${var.cluster_name} --release ${local.release} --namespace ${local.namespace} --environment ${var.environment}",
    "--image ${one(data.aws_ecr_repository.this[*].repository_url)}@${local.digest}${local.commit == null ? "" : " --expect-commit ${local.commit}"}",
    "--sign-key awskms:///alias/${var.name}-evidence-${local.place}", # terraform/aws_infra lets evidence_signer_arns sign with it
  ]) : null
}

output "kubeconfig" {
  description = "The command that gives kubectl access to the cluster."
  value       = "aws eks update-kubeconfig --name ${var.cluster_name}"
}

output "put_secrets" {
  description = "The command that stores the application's secrets in Secrets Manager from a local file that must not be committed; null without secrets."
  value       = local.secrets ? "aws secretsmanager put-secret-value --secret-id ${aws_secretsmanager_secret.this[0].name} --secret-string file://secrets.json" : null
}

output "tag_repository" {
  description = "ECR repository in which image_tag is looked up; null if Terraform does not deploy."
  value       = local.deploys ? local.tag_repository : null
}

output "promotion_tag" {
  description = "Tag of promote that the image must have there in addition to image_tag; null if none is required."
  value       = var.require_promotion && local.deploys ? "${var.environment}-${coalesce(local.commit, "COMMIT")}" : null
}
