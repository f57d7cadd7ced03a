# The databases: none unless asked for, private, encrypted, backed up, and without a password in the state.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "none_unless_asked_for" {
  command = plan

  assert {
    condition = (
      length(aws_db_instance.this) == 0 &&
      length(aws_kms_key.database) == 0 &&
      length(aws_security_group.database) == 0 &&
      length(aws_iam_role.database_monitoring) == 0
    )
    error_message = "something of a database is made without one"
  }
}

run "for_one_environment" {
  command = plan

  variables {
    databases = { production = { engine_version = "17.6", backup_days = 30 } }
  }

  assert {
    condition     = keys(aws_db_instance.this) == ["production"] && aws_db_instance.this["production"].identifier == "onedigest-production"
    error_message = "databases: ${jsonencode(keys(aws_db_instance.this))}"
  }

  assert {
    condition = (
      toset(aws_db_subnet_group.this[0].subnet_ids) == toset(values(aws_subnet.private)[*].id) &&
      !aws_db_instance.this["production"].publicly_accessible
    )
    error_message = "the database is not in the private subnets, and in these only"
  }

  assert {
    condition     = toset(aws_db_instance.this["production"].vpc_security_group_ids) == toset([aws_security_group.database["production"].id])
    error_message = "the database is in other security groups than its own"
  }

  # One rule in: PostgreSQL, from the nodes' group; an address is not admitted.
  assert {
    condition = [
      for rule in values(aws_vpc_security_group_ingress_rule.database) :
      rule.security_group_id == aws_security_group.database["production"].id &&
      rule.referenced_security_group_id == aws_security_group.nodes["shared"].id &&
      rule.from_port == 5432 && rule.to_port == 5432 && rule.ip_protocol == "tcp" && rule.cidr_ipv4 == null && rule.cidr_ipv6 == null
    ] == [true]
    error_message = "others than the nodes can reach the database"
  }

  assert {
    condition = (
      aws_db_instance.this["production"].manage_master_user_password &&
      aws_db_instance.this["production"].password == null &&
      aws_db_instance.this["production"].password_wo == null
    )
    error_message = "the master user's password is in the state, or not rotated"
  }

  assert {
    condition = (
      aws_db_instance.this["production"].storage_encrypted &&
      aws_db_instance.this["production"].kms_key_id == aws_kms_key.database[0].arn &&
      aws_db_instance.this["production"].master_user_secret_kms_key_id == aws_kms_key.database[0].arn &&
      aws_kms_key.database[0].enable_key_rotation
    )
    error_message = "storage or the master user's secret is not encrypted with a key that rotates"
  }

  assert {
    condition = (
      aws_db_instance.this["production"].deletion_protection &&
      !aws_db_instance.this["production"].skip_final_snapshot &&
      !aws_db_instance.this["production"].delete_automated_backups &&
      aws_db_instance.this["production"].backup_retention_period == 30
    )
    error_message = "the database or its backups can be lost"
  }

  assert {
    condition     = aws_db_instance.this["production"].iam_database_authentication_enabled && aws_db_instance.this["production"].multi_az
    error_message = "no sign-in by IAM, or one zone"
  }

  assert {
    condition = (
      anytrue([
        for parameter in aws_db_parameter_group.this["production"].parameter : parameter.name == "rds.force_ssl" && parameter.value == "1"
      ]) &&
      aws_db_parameter_group.this["production"].family == "postgres17"
    )
    error_message = "the database takes connections without TLS"
  }

  assert {
    condition = (
      keys(aws_cloudwatch_log_group.database) == ["production/postgresql", "production/upgrade"] &&
      alltrue([
        for group in values(aws_cloudwatch_log_group.database) : group.kms_key_id == aws_kms_key.logs.arn && group.retention_in_days == 90
      ])
    )
    error_message = "the database's logs are not kept encrypted"
  }
}

run "each_environment_its_own_nodes_and_database" {
  command = plan

  variables {
    cluster_layout = "per-environment"
    databases      = { staging = { multi_az = false, instance_class = "db.t4g.small" }, production = {} }
  }

  assert {
    condition = alltrue([
      for environment, rule in aws_vpc_security_group_ingress_rule.database :
      rule.referenced_security_group_id == aws_security_group.nodes[environment].id &&
      rule.security_group_id == aws_security_group.database[environment].id
    ]) && aws_security_group.nodes["staging"].id != aws_security_group.nodes["production"].id
    error_message = "one environment's nodes can reach another's database"
  }

  assert {
    condition = (
      !aws_db_instance.this["staging"].multi_az &&
      aws_db_instance.this["staging"].instance_class == "db.t4g.small" &&
      aws_db_instance.this["production"].multi_az
    )
    error_message = "staging's settings were not used, or were used for production"
  }
}

run "a_major_version_goes_up_when_asked" {
  command = plan

  variables {
    databases = { staging = { engine_version = "18", major_upgrade = true }, production = {} }
  }

  assert {
    condition = (
      aws_db_instance.this["staging"].allow_major_version_upgrade && aws_db_parameter_group.this["staging"].family == "postgres18" &&
      !aws_db_instance.this["production"].allow_major_version_upgrade
    )
    error_message = "A major upgrade has to be possible where it is asked for, and nowhere else."
  }
}
