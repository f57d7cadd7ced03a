output "url" {
  description = "Where the service is reached, empty while that is nowhere."
  value       = module.service.url
}

output "address" {
  description = "The load balancer's own name."
  value       = module.service.address
}

output "smoke" {
  description = "The command that checks what is served, from the repository's root."
  value       = module.service.smoke
}

output "prove" {
  description = "The command that checks it and leaves the verdict beside the image, where promote looks for it; null where the actions deploy."
  value       = module.service.prove == null ? null : "${module.service.prove} --region ${var.region}"
}

output "digest" {
  description = "Digest that image_tag stands for; with deploy_with = actions, the one that is live."
  value       = module.service.digest
}

output "live_digest" {
  description = "Digest that was live when this was planned: what the plan replaces."
  value       = module.service.live_digest
}

output "namespace" {
  description = "Namespace of the release."
  value       = module.service.namespace
}

output "release" {
  description = "Helm release."
  value       = module.service.release
}

output "kubeconfig" {
  description = "The command that gives kubectl access to the cluster."
  value       = "${module.service.kubeconfig} --region ${var.region}"
}

output "put_secrets" {
  description = "The command that puts the application's secrets where the cluster reads them; null without secrets."
  value       = module.service.put_secrets
}
