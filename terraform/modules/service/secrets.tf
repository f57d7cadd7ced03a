# Where the application's secrets come from. Terraform makes the place and never the value, so that no value is in its state;
# External Secrets copies what is there into a Secret. The values file decides: what it names under existingSecrets the pods need, and
# they do not start without it. It is not the chart's externalSecret, because the values files are those of a machine without AWS too
# (`make demo`).

locals {
  shelf   = var.service == "" ? var.environment : "${var.service}/${var.environment}"
  secret  = "${local.release}-${var.environment}"
  secrets = contains([for needed in try(local.given.existingSecrets, []) : needed.name], local.secret)
}

data "aws_kms_alias" "secrets" {
  count = local.secrets ? 1 : 0
  name  = "alias/${var.name}-secrets-${local.place}"
}

data "aws_iam_role" "secrets_reader" {
  count = local.secrets ? 1 : 0
  name  = var.service == "" ? "${var.name}-${var.environment}-secrets-reader" : "${var.name}-${local.place}-secrets"
}

resource "aws_secretsmanager_secret" "this" {
  count = local.secrets ? 1 : 0

  name                    = "${var.name}/${local.shelf}/${local.release}"
  description             = "What release ${local.release} in ${var.environment} reads as environment variables: a JSON object of strings."
  kms_key_id              = data.aws_kms_alias.secrets[0].target_key_arn
  recovery_window_in_days = 7
}

# External Secrets asks for this account's token and is then its role, which reads this environment's secrets and no other's.
resource "kubernetes_service_account_v1" "secrets_reader" {
  count = local.secrets ? 1 : 0

  metadata {
    name        = "secrets-reader"
    namespace   = kubernetes_namespace_v1.this.metadata[0].name
    annotations = { "eks.amazonaws.com/role-arn" = data.aws_iam_role.secrets_reader[0].arn }
  }

  automount_service_account_token = false
}

resource "kubernetes_manifest" "external_secret" {
  count = local.secrets ? 1 : 0

  manifest = {
    apiVersion = "external-secrets.io/v1"
    kind       = "ExternalSecret"
    metadata = {
      name      = local.secret
      namespace = kubernetes_namespace_v1.this.metadata[0].name
    }
    spec = {
      refreshInterval = var.secrets.refresh_interval
      secretStoreRef  = { kind = "ClusterSecretStore", name = local.place }
      target          = { name = local.secret, creationPolicy = "Owner", deletionPolicy = "Retain" }
      dataFrom        = [{ extract = { key = aws_secretsmanager_secret.this[0].name } }]
    }
  }

  depends_on = [kubernetes_service_account_v1.secrets_reader]
}
