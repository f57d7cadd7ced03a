locals {
  chart  = "${path.module}/../../../charts/service"
  values = file(coalesce(var.values_file, "${path.module}/../../${var.environment}/values-${var.environment}.yaml"))
}

# The release that cmd/deploy makes: same name, namespace, chart, values and history, the image by digest, the same marks on the
# pods, so that neither path rolls pods that the other has started.
resource "helm_release" "this" {
  count = local.deploys ? 1 : 0

  name        = local.release
  namespace   = kubernetes_namespace_v1.this.metadata[0].name
  chart       = local.chart
  version     = yamldecode(file("${local.chart}/Chart.yaml")).version
  description = "terraform: ${local.commit == null ? "tag ${var.image_tag}" : "commit ${substr(local.commit, 0, 12)}"}, ${substr(local.digest, 0, 19)}"

  upgrade_install = true # a release that the actions have installed is taken over, not refused
  max_history     = 10
  wait            = var.timeout_seconds > 0
  timeout         = max(var.timeout_seconds, 30)

  values = [
    local.values,
    yamlencode({
      podLabels = merge(local.commit == null ? {} : { "onedigest.dev/commit" = local.commit }, { "onedigest.dev/environment" = var.environment })
      podAnnotations = {
        "onedigest.dev/digest" = local.digest
      }
    }),
  ]

  set = [
    { name = "image.repository", value = one(data.aws_ecr_repository.this[*].repository_url), type = "string" },
    { name = "image.digest", value = local.digest, type = "string" },
  ]

  lifecycle {
    # Turning deploy_with to another owner would uninstall what serves. docs/aws.md says how to hand it over.
    prevent_destroy = true

    precondition {
      condition     = !local.lease_live
      error_message = "The actions are deploying release ${local.release} in ${local.namespace} right now (${local.lease_holder} holds Lease onedigest-${local.release}): plan again when that run has ended."
    }

    # Argo CD marks what it applies. Source: argo-cd.readthedocs.io, "Resource Tracking".
    precondition {
      condition     = local.argo_cd_owner == null
      error_message = "Release ${local.release} in ${local.namespace} is applied by Argo CD's Application ${coalesce(local.argo_cd_owner, "null")}: set deploy_with = \"argo-cd\", or delete the Application first."
    }

    precondition {
      condition     = local.pin == null || local.pin == local.commit || var.ignore_pin
      error_message = "Release ${local.release} in ${local.namespace} is pinned at commit ${coalesce(local.pin, "null")} by a deliberate rollback: deploy that commit, lift the pin (cmd/deploy --unpin), or set ignore_pin."
    }

    precondition {
      condition     = local.live_run == null || local.live_digest == local.digest || var.replace_digest != null
      error_message = "Release ${local.release} in ${local.namespace} runs ${coalesce(local.live_digest, "an unmarked image")}, which ${coalesce(local.live_run, "null")} put there: give that commit's image_tag, or replace_digest = \"${coalesce(local.live_digest, "sha256:…")}\" to replace it knowingly."
    }

    precondition {
      condition     = var.replace_digest == null || local.live_digest == var.replace_digest || local.live_digest == local.digest
      error_message = "replace_digest is ${coalesce(var.replace_digest, "null")}, but release ${local.release} in ${local.namespace} runs ${coalesce(local.live_digest, "no marked image")}: somebody has deployed since you looked."
    }
  }

  depends_on = [kubernetes_role_binding_v1.deployer, kubernetes_role_binding_v1.reader]
}
