variable "name" {
  description = "Prefix of all names, the same as in terraform/aws_infra."
  type        = string
  default     = "onedigest"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "name must be 3 to 20 characters: lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "AWS region of the bucket, for example eu-central-1. The states in it may be of any region."
  type        = string
  default     = "eu-central-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2,4}(-[a-z]+)+-[1-9]$", var.region))
    error_message = "region must be the code of an AWS region, such as eu-central-1."
  }
}

variable "allowed_account_ids" {
  description = "Accounts that this may be applied to; with other credentials Terraform stops before it reads anything. null: any."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for id in coalesce(var.allowed_account_ids, []) : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be account ids of 12 digits."
  }
}

variable "bucket_name" {
  description = "Name of the bucket, unique in all of AWS. null: <name>-terraform-<account>-<region>."
  type        = string
  default     = null

  # General purpose buckets, "Bucket naming rules". Dots are allowed there and refused here: they break TLS by name.
  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 lower-case letters, digits and hyphens, without dots, beginning and ending with a letter or digit."
  }

  validation {
    condition = var.bucket_name == null || alltrue([
      for prefix in ["xn--", "sthree-", "amzn-s3-demo-"] : !startswith(coalesce(var.bucket_name, "none"), prefix)
      ]) && alltrue([
      for suffix in ["-s3alias", "--ol-s3", "--x-s3", "--table-s3"] : !endswith(coalesce(var.bucket_name, "none"), suffix)
    ])
    error_message = "bucket_name begins or ends with what S3 keeps for itself (xn--, sthree-, amzn-s3-demo-, -s3alias, --ol-s3, --x-s3, --table-s3)."
  }
}

variable "encryption" {
  description = <<-EOT
    `kms`: a separate key for this bucket, about 1 USD a month. Reading a state then requires the key in addition to access to the
    object, and CloudTrail records each use. `s3`: S3's keys, at no cost; access to the object is enough to read the state.
  EOT
  type        = string
  default     = "kms"
  nullable    = false

  validation {
    condition     = contains(["kms", "s3"], var.encryption)
    error_message = "encryption must be kms or s3."
  }
}

variable "noncurrent_days" {
  description = "Minimum number of days for which older versions of a state are kept. The newest of them stay longer, see noncurrent_versions."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 7 && var.noncurrent_days <= 3650 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number from 7 to 3650: with less, a damaged state may be found too late."
  }
}

variable "noncurrent_versions" {
  description = "Number of older versions of each state that are kept regardless of age."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.noncurrent_versions >= 1 && var.noncurrent_versions <= 100 && floor(var.noncurrent_versions) == var.noncurrent_versions
    error_message = "noncurrent_versions must be a whole number from 1 to 100, S3's limits."
  }
}

variable "access_log_bucket" {
  description = <<-EOT
    Bucket of the same account and region that receives this bucket's access log. null: none. Reads of a state are then visible in CloudTrail's
    data events, if the account records them, and with encryption = kms in its key events, which are always recorded.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be the name of a bucket, without s3:// and without a path."
  }
}

variable "lock_table" {
  description = <<-EOT
    Also create a DynamoDB table for locks. Only for Terraform before 1.10, which cannot lock in S3: Terraform has deprecated the
    table and will remove its support. The directories here need 1.11 and lock in S3 (`use_lockfile`).
  EOT
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags for all resources that support tags, in addition to those that name their origin."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for key, value in var.tags :
      length(key) >= 1 && length(key) <= 128 && length(value) <= 256 && !startswith(lower(key), "aws:")
    ])
    error_message = "tags: a key has 1 to 128 characters and does not begin with aws:, a value has at most 256."
  }

  # Tag Editor, "Tag naming limits and requirements": what every service accepts.
  validation {
    condition     = alltrue([for text in concat(keys(var.tags), values(var.tags)) : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$", text))])
    error_message = "tags: keys and values are of letters, digits, spaces and _ . : / = + - @."
  }
}

variable "github_connection" {
  description = "Whether to make the connection to GitHub by which CodeBuild runs the deploy jobs. It costs nothing. false: the deploy jobs have other runners."
  type        = bool
  default     = true
  nullable    = false
}
