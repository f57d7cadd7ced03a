# PostgreSQL for the environments that ask for it (var.databases). No password passes through Terraform: RDS makes the master
# user's, keeps it in Secrets Manager and rotates it every seven days; workloads sign in by IAM (irsa.tf).

locals {
  database_logs = ["postgresql", "upgrade"]
}

resource "aws_kms_key" "database" {
  count = length(var.databases) > 0 ? 1 : 0

  description             = "${var.name}: databases, their backups and the master users' secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "database" {
  count = length(var.databases) > 0 ? 1 : 0

  name          = "alias/${var.name}-database"
  target_key_id = aws_kms_key.database[0].key_id
}

resource "aws_db_subnet_group" "this" {
  count = length(var.databases) > 0 ? 1 : 0

  name        = "${var.name}-private"
  description = "The private subnets of ${var.name}"
  subnet_ids  = values(aws_subnet.private)[*].id
}

resource "aws_security_group" "database" {
  for_each = var.databases

  name        = "${var.name}-${each.key}-database"
  description = "PostgreSQL of ${each.key}: from the nodes of its cluster, to nowhere"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = var.databases

  security_group_id            = aws_security_group.database[each.key].id
  description                  = "PostgreSQL from the nodes of cluster ${local.clusters[local.cluster_of[each.key]].name}"
  referenced_security_group_id = aws_security_group.nodes[local.cluster_of[each.key]].id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  for_each = var.databases

  name_prefix = "${var.name}-${each.key}-"
  family      = "postgres${split(".", each.value.engine_version)[0]}"
  description = "PostgreSQL of ${each.key}: TLS only, slow statements logged"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000" # milliseconds
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "database" {
  for_each = {
    for pair in setproduct(keys(var.databases), local.database_logs) : "${pair[0]}/${pair[1]}" => { environment = pair[0], log = pair[1] }
  }

  name              = "/aws/rds/instance/${var.name}-${each.value.environment}/${each.value.log}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "database_monitoring" {
  count = length(var.databases) > 0 ? 1 : 0

  name = "${var.name}-database-monitoring"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:rds:${var.region}:${local.account_id}:db:${var.name}-*" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "database_monitoring" {
  count = length(var.databases) > 0 ? 1 : 0

  role       = aws_iam_role.database_monitoring[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  for_each = var.databases

  identifier           = "${var.name}-${each.key}"
  engine               = "postgres"
  engine_version       = each.value.engine_version
  instance_class       = each.value.instance_class
  multi_az             = each.value.multi_az
  db_name              = each.value.database_name
  parameter_group_name = aws_db_parameter_group.this[each.key].name
  ca_cert_identifier   = "rds-ca-rsa2048-g1"

  username                            = "master"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = aws_kms_key.database[0].arn
  iam_database_authentication_enabled = true

  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.database[0].arn
  allocated_storage     = each.value.storage_gib
  max_allocated_storage = each.value.storage_max_gib

  db_subnet_group_name   = aws_db_subnet_group.this[0].name
  vpc_security_group_ids = [aws_security_group.database[each.key].id]
  publicly_accessible    = false
  port                   = 5432

  backup_retention_period   = each.value.backup_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-${each.key}-final"

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = each.value.major_upgrade
  apply_immediately           = false # in the maintenance window; a change that cannot wait is applied by hand, in the open

  # Seven days of Performance Insights cost nothing and answer "what was slow last night"; longer ones are charged by vCPU.
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.database[0].arn
  performance_insights_retention_period = 7
  database_insights_mode                = "standard"
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.database_monitoring[0].arn
  enabled_cloudwatch_logs_exports       = local.database_logs

  depends_on = [aws_cloudwatch_log_group.database, aws_iam_role_policy_attachment.database_monitoring]
}
