# What AWS would answer, in its real shapes.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
    arn        = "arn:aws:sts::123456789012:assumed-role/platform/session"
    user_id    = "AROAEXAMPLE:session"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition          = "aws"
    dns_suffix         = "amazonaws.com"
    reverse_dns_prefix = "com.amazonaws"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    key_id = "11111111-2222-3333-4444-555555555555"
    arn    = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
}

# The bucket's id is its name.
mock_resource "aws_s3_bucket" {
  defaults = {
    id  = "onedigest-terraform-123456789012-eu-central-1"
    arn = "arn:aws:s3:::onedigest-terraform-123456789012-eu-central-1"
  }
}
