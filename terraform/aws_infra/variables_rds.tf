variable "databases" {
  description = <<-EOT
    PostgreSQL databases by environment, at most one each. Empty: none. A db.t4g.medium in two zones costs about
    120 USD a month in eu-central-1. `major_upgrade` lets `engine_version` go to another major version, in the maintenance window: set
    it for that apply, after a snapshot and a trial on a copy, and take it out again.
  EOT
  type = map(object({
    engine_version  = optional(string, "17")
    instance_class  = optional(string, "db.t4g.medium")
    multi_az        = optional(bool, true)
    storage_gib     = optional(number, 20)
    storage_max_gib = optional(number, 100)
    backup_days     = optional(number, 14)
    database_name   = optional(string, "app")
    major_upgrade   = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.databases), keys(var.environments))) == 0
    error_message = "databases names an environment that var.environments does not have."
  }

  validation {
    condition     = alltrue([for db in values(var.databases) : can(regex("^1[5-9](\\.[0-9]+)?$", db.engine_version))])
    error_message = "databases: engine_version must be a PostgreSQL version from 15 to 19, such as 17 or 17.6."
  }

  validation {
    condition     = alltrue([for db in values(var.databases) : can(regex("^db\\.[a-z0-9-]+\\.[a-z0-9]+$", db.instance_class))])
    error_message = "databases: instance_class must be one of RDS, such as db.t4g.medium."
  }

  validation {
    condition     = alltrue([for db in values(var.databases) : db.storage_gib >= 20 && db.storage_gib <= 65536])
    error_message = "databases: storage_gib must be 20 to 65536 (gp3)."
  }

  validation {
    condition     = alltrue([for db in values(var.databases) : db.storage_max_gib >= db.storage_gib && db.storage_max_gib <= 65536])
    error_message = "databases: storage_max_gib, up to which RDS grows the storage, must be storage_gib or more, and at most 65536."
  }

  validation {
    condition = alltrue([
      for db in values(var.databases) : db.backup_days >= 1 && db.backup_days <= 35 && floor(db.backup_days) == db.backup_days
    ])
    error_message = "databases: backup_days must be 1 to 35; 0 would switch backups off."
  }

  validation {
    condition = alltrue([
      for db in values(var.databases) :
      can(regex("^[a-z][a-z0-9_]{0,62}$", db.database_name)) &&
      !contains(["postgres", "rdsadmin", "template0", "template1"], db.database_name)
    ])
    error_message = "databases: database_name must be a lower-case PostgreSQL name, and none of the server's own."
  }
}
