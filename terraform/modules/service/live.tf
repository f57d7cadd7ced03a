# What is live, and who put it there. The Helm provider compares its configuration with its own state and never looks at what a
# release runs, so without this a plan would say "no changes" after the actions had deployed, and the next unrelated change
# would take production back to Terraform's digest. A namespace or an object that is absent reads as an empty list.

data "kubernetes_resources" "deployment" {
  api_version    = "apps/v1"
  kind           = "Deployment"
  namespace      = local.namespace
  field_selector = "metadata.name=${local.release}"
}

# The Lease that the actions hold while they deploy; it also carries the pin of a deliberate rollback.
data "kubernetes_resources" "lease" {
  count          = local.deploys ? 1 : 0
  api_version    = "coordination.k8s.io/v1"
  kind           = "Lease"
  namespace      = local.namespace
  field_selector = "metadata.name=onedigest-${local.release}"
}

locals {
  # Both paths mark the pods with their digest. Only the actions name a run or an actor on the Deployment.
  live_digest = try(data.kubernetes_resources.deployment.objects[0].spec.template.metadata.annotations["onedigest.dev/digest"], null)
  live_marks  = try(data.kubernetes_resources.deployment.objects[0].metadata.annotations, {})
  live_run    = try(local.live_marks["onedigest.dev/run"], local.live_marks["onedigest.dev/actor"], null)

  argo_cd_owner = try(split(":", local.live_marks["argocd.argoproj.io/tracking-id"])[0], null)

  lease_holder = try(coalesce(data.kubernetes_resources.lease[0].objects[0].spec.holderIdentity, ""), "")
  # A minute for clocks that differ, as the actions allow. A Lease whose times cannot be read counts as held.
  lease_live = local.lease_holder != "" && try(timecmp(
    plantimestamp(),
    timeadd(data.kubernetes_resources.lease[0].objects[0].spec.renewTime, "${data.kubernetes_resources.lease[0].objects[0].spec.leaseDurationSeconds + 60}s")
  ) < 0, true)
  pin = try(data.kubernetes_resources.lease[0].objects[0].metadata.annotations["onedigest.dev/pin-commit"], null)
}
