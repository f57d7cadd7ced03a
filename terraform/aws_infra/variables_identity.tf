variable "service_accounts" {
  description = <<-EOT
    Service accounts of workloads that need AWS, by a name of your choice: the environment, the account's name in its namespace,
    managed policies to attach, and the user of the environment's database as which it may sign in by IAM.
  EOT
  type = map(object({
    environment   = string
    name          = string
    policy_arns   = optional(set(string), [])
    database_user = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract([for account in values(var.service_accounts) : account.environment], keys(var.environments))) == 0
    error_message = "service_accounts names an environment that var.environments does not have."
  }

  validation {
    condition = alltrue([
      for account in values(var.service_accounts) :
      can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", account.name)) && length(account.name) <= 20
    ])
    error_message = "service_accounts: a name is at most 20 characters: lower-case letters, digits and hyphens; a wildcard would trust others too."
  }

  validation {
    condition = (
      length(distinct([for account in values(var.service_accounts) : "${account.environment}/${account.name}"])) ==
      length(var.service_accounts)
    )
    error_message = "service_accounts names one service account twice; it can have one role."
  }

  validation {
    condition     = alltrue([for account in values(var.service_accounts) : account.name != local.secrets_reader])
    error_message = "service_accounts: secrets-reader is made for every environment already."
  }

  validation {
    condition = alltrue(
      flatten([
        for account in values(var.service_accounts) :
        [for arn in account.policy_arns : can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9+=,.@_/-]+$", arn))]
      ])
    )
    error_message = "service_accounts: policy_arns must be ARNs of IAM policies."
  }

  validation {
    condition = alltrue([
      for account in values(var.service_accounts) :
      account.database_user == null || can(regex("^[a-z_][a-z0-9_]{0,62}$", account.database_user))
    ])
    error_message = "service_accounts: database_user must be a PostgreSQL role in lower case; a wildcard would let it sign in as any."
  }

  validation {
    condition = alltrue([
      for account in values(var.service_accounts) : account.database_user == null || contains(keys(var.databases), account.environment)
    ])
    error_message = "service_accounts: database_user is given for an environment that has no database in var.databases."
  }
}
