output "url" {
  description = "URL of the service, empty until it has an address."
  value       = module.service.url
}

output "address" {
  description = "The load balancer's DNS name."
  value       = module.service.address
}

output "smoke" {
  description = "The command that checks what is served, from the repository's root."
  value       = module.service.smoke
}

output "prove" {
  description = "The command that checks the service and stores the verdict next to the image for promote; null if Terraform does not deploy."
  value       = module.service.prove == null ? null : "${module.service.prove} --region ${var.region}"
}

output "digest" {
  description = "Digest of image_tag; if Terraform does not deploy, the live one."
  value       = module.service.digest
}

output "live_digest" {
  description = "Digest that was live at the time of the plan, which the plan replaces."
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
  description = "The command that stores the application's secrets in Secrets Manager; null without secrets."
  value       = module.service.put_secrets
}

output "services" {
  description = "By further service: its URL, namespace, release, digest, and the commands that prove it and store its secrets."
  value = {
    for service, it in module.services : service => {
      url         = it.url
      namespace   = it.namespace
      release     = it.release
      digest      = it.digest
      prove       = it.prove == null ? null : "${it.prove} --region ${var.region}"
      put_secrets = it.put_secrets
    }
  }
}
