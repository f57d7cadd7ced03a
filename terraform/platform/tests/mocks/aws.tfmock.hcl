mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition = "aws"
  }
}

mock_data "aws_eks_cluster" {
  defaults = {
    arn                   = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest"
    version               = "1.36"
    endpoint              = "https://example.eks.amazonaws.com"
    certificate_authority = [{ data = "" }]
    identity              = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE" }] }]
    vpc_config = [{
      vpc_id                    = "vpc-0123456789abcdef0"
      cluster_security_group_id = "sg-0123456789abcdef0"
      endpoint_private_access   = true
      endpoint_public_access    = false
      public_access_cidrs       = []
      security_group_ids        = []
      subnet_ids                = []
    }]
  }
}

mock_data "aws_iam_role" {
  defaults = {
    arn                = "arn:aws:iam::123456789012:role/found-by-name"
    assume_role_policy = "{\"Statement\":[{\"Action\":[\"sts:AssumeRoleWithWebIdentity\"]}]}"
  }
}

mock_resource "aws_iam_role" {
  override_during = plan
  defaults = {
    arn = "arn:aws:iam::123456789012:role/made-here"
  }
}

mock_resource "aws_s3_bucket" {
  override_during = plan
  defaults = {
    id  = "onedigest-logs-123456789012-eu-central-1"
    arn = "arn:aws:s3:::onedigest-logs-123456789012-eu-central-1"
  }
}

mock_resource "aws_kms_key" {
  override_during = plan
  defaults = {
    arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }
}

mock_data "aws_vpc" {
  defaults = { cidr_block = "10.20.0.0/16" }
}

mock_resource "aws_sns_topic" {
  override_during = plan
  defaults = {
    arn = "arn:aws:sns:eu-central-1:123456789012:onedigest-heartbeat"
  }
}
