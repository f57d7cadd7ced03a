# Logs are kept in S3, and deleted there by Loki when their time is over.

locals {
  loki_url = "http://loki.monitoring.svc.cluster.local:3100"

  loki_bucket = "${var.cluster_name}-logs-${data.aws_caller_identity.current.account_id}-${var.region}"

  loki_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [aws_s3_bucket.logs.arn] },
      { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = ["${aws_s3_bucket.logs.arn}/*"] },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = [aws_kms_key.logs.arn] },
    ]
  })
}

resource "aws_kms_key" "logs" {
  description             = "${var.cluster_name}: logs that Loki keeps in S3"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "logs" {
  name          = "alias/${var.cluster_name}-loki"
  target_key_id = aws_kms_key.logs.key_id
}

# Not versioned: what Loki has deleted is to be gone, and chunks are written once. Without an access log: only Loki's role reads it,
# and each use of the key is in CloudTrail.
#trivy:ignore:AWS-0089
#trivy:ignore:AWS-0090
resource "aws_s3_bucket" "logs" {
  bucket = local.loki_bucket
}

resource "aws_s3_bucket_public_access_block" "logs" {
  bucket                  = aws_s3_bucket.logs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    bucket_key_enabled = true # one request to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.logs.arn
    }
  }
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyByTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.logs.arn, "${aws_s3_bucket.logs.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.logs]
}

# Loki deletes what is past its time; this takes what Loki has lost track of.
resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    id     = "past-retention"
    status = "Enabled"
    filter {}

    expiration {
      days = var.logs.days + 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

# One process with everything in it, which its project recommends up to some 20 GB of logs a day.
resource "helm_release" "loki" {
  name       = "loki"
  namespace  = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  repository = local.charts.loki.repository
  chart      = local.charts.loki.chart
  version    = local.charts.loki.version
  wait       = true
  timeout    = 600

  values = [yamlencode({
    fullnameOverride = "loki"
    deploymentMode   = "Monolithic"

    loki = {
      auth_enabled = false # one tenant; the Service is reached from inside the cluster alone
      commonConfig = { replication_factor = 1 }
      storage = {
        type        = "s3"
        s3          = { region = var.region }
        bucketNames = { chunks = aws_s3_bucket.logs.id, ruler = aws_s3_bucket.logs.id, admin = aws_s3_bucket.logs.id }
      }
      schemaConfig = {
        configs = [{ from = "2026-01-01", store = "tsdb", object_store = "s3", schema = "v13", index = { prefix = "index_", period = "24h" } }]
      }
      limits_config = { retention_period = "${var.logs.days * 24}h", allow_structured_metadata = true, volume_enabled = true }
      compactor     = { retention_enabled = true, delete_request_store = "s3" }
    }

    serviceAccount = { name = "loki", annotations = local.annotations["loki"] }

    singleBinary = merge(local.observability, {
      replicas    = 1
      resources   = { requests = { cpu = "100m", memory = "512Mi" }, limits = { memory = "2Gi" } }
      persistence = { enabled = true, size = "${var.logs.volume_gib}Gi", storageClass = kubernetes_storage_class_v1.gp3.metadata[0].name }
    })

    # Parts of the other modes, and what a single process does not need.
    read         = { replicas = 0 }
    write        = { replicas = 0 }
    backend      = { replicas = 0 }
    gateway      = { enabled = false }
    chunksCache  = { enabled = false }
    resultsCache = { enabled = false }
    lokiCanary   = { enabled = false }
    test         = { enabled = false }
    minio        = { enabled = false }

    monitoring = { serviceMonitor = { enabled = true } }
  }), file("${path.module}/values/loki.yaml")]

  depends_on = [helm_release.monitoring, aws_iam_role_policy.this, aws_s3_bucket_policy.logs]
}

# Reads every container's log on every node and sends it to Loki.
resource "helm_release" "alloy" {
  name       = "alloy"
  namespace  = kubernetes_namespace_v1.this["monitoring"].metadata[0].name
  repository = local.charts.alloy.repository
  chart      = local.charts.alloy.chart
  version    = local.charts.alloy.version
  wait       = true

  values = [yamlencode({
    fullnameOverride = "alloy"
    crds             = { create = false }

    alloy = {
      enableReporting = false
      storagePath     = "/var/lib/alloy" # how far each file was read, so that a restart sends nothing twice
      configMap       = { content = templatefile("${path.module}/alloy.tftpl", { loki_url = local.loki_url, cluster = var.cluster_name }) }
      mounts = {
        varlog = true
        extra  = [{ name = "positions", mountPath = "/var/lib/alloy" }]
      }
      securityContext = { allowPrivilegeEscalation = false, capabilities = { drop = ["ALL"] } }
      resources       = { requests = { cpu = "25m", memory = "128Mi" }, limits = { memory = "512Mi" } }
    }

    controller = merge(local.everywhere, {
      type    = "daemonset"
      volumes = { extra = [{ name = "positions", hostPath = { path = "/var/lib/alloy", type = "DirectoryOrCreate" } }] }
    })

    serviceMonitor = { enabled = true }
  }), file("${path.module}/values/alloy.yaml")]

  depends_on = [helm_release.loki]
}
