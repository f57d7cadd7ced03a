# Where the release is reached. The values file says by which kind of load balancer, under which name, and whether TLS ends there, for
# both paths alike; the load balancer's own name is read from the object that it was made for.

locals {
  defaults = yamldecode(file("${local.chart}/values.yaml"))
  given    = yamldecode(local.values)
  service  = merge(local.defaults.service, try(local.given.service, {}))
  tls      = merge(local.defaults.service.tls, try(local.given.service.tls, {}))
  ingress  = merge(local.defaults.ingress, try(local.given.ingress, {}))
}

# After an upgrade it is read again; in a plan that changes the release it is therefore not known yet.
data "kubernetes_resources" "door" {
  api_version    = local.ingress.enabled ? "networking.k8s.io/v1" : "v1"
  kind           = local.ingress.enabled ? "Ingress" : "Service"
  namespace      = local.namespace
  field_selector = "metadata.name=${local.release}"

  depends_on = [helm_release.this]
}

locals {
  balancer = try(data.kubernetes_resources.door.objects[0].status.loadBalancer.ingress[0], {})
  address  = try(local.balancer.hostname, local.balancer.ip, "")

  secure = local.ingress.enabled ? length(local.ingress.certificateArns) + length(local.ingress.tls) > 0 : local.tls.enabled
  host   = local.ingress.enabled ? try(local.ingress.hosts[0], local.address) : local.service.hostname != "" ? local.service.hostname : local.address
  port   = local.ingress.enabled ? (local.secure ? 443 : 80) : local.secure ? local.tls.port : local.service.port
  url = local.host == "" ? "" : join("", [
    local.secure ? "https" : "http", "://", local.host, local.port == (local.secure ? 443 : 80) ? "" : ":${local.port}",
  ])
}

data "aws_route53_zone" "this" {
  count   = var.zone_id == null ? 0 : 1
  zone_id = var.zone_id

  lifecycle {
    postcondition {
      condition     = local.service.hostname == trimsuffix(self.name, ".") || endswith(local.service.hostname, ".${trimsuffix(self.name, ".")}")
      error_message = "The zone ${coalesce(var.zone_id, "null")} is for ${self.name}, in which ${local.service.hostname} does not lie."
    }
  }
}

data "aws_lb_hosted_zone_id" "network" {
  count              = var.zone_id == null ? 0 : 1
  load_balancer_type = "network"
}

resource "aws_route53_record" "this" {
  count = var.zone_id == null ? 0 : 1

  zone_id = data.aws_route53_zone.this[0].zone_id
  name    = local.service.hostname
  type    = "A"

  alias {
    name                   = local.address
    zone_id                = data.aws_lb_hosted_zone_id.network[0].id
    evaluate_target_health = true
  }

  lifecycle {
    precondition {
      condition     = local.address != ""
      error_message = "Service ${local.release} in ${local.namespace} has no load balancer's name yet, so ${local.service.hostname} cannot lead there: deploy first, then apply again."
    }
  }
}
