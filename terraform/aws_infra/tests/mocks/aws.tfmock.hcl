# What AWS would answer, in its real shapes. Used by the tests with: mock_provider "aws" { source = "./tests/mocks" }

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

mock_data "aws_eks_addon_version" {
  defaults = { version = "v1.0.0-eksbuild.1" }
}

mock_resource "aws_vpc" {
  defaults = {
    id  = "vpc-0123456789abcdef0"
    arn = "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0123456789abcdef0"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    key_id = "11111111-2222-3333-4444-555555555555"
    arn    = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:example" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/example" }
}

mock_resource "aws_iam_openid_connect_provider" {
  defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE" }
}

mock_resource "aws_eks_cluster" {
  defaults = {
    arn                   = "arn:aws:eks:eu-central-1:123456789012:cluster/onedigest"
    endpoint              = "https://EXAMPLE.gr7.eu-central-1.eks.amazonaws.com"
    certificate_authority = [{ data = "ZXhhbXBsZQ==" }]
    identity              = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE" }] }]
  }
}

mock_resource "aws_launch_template" {
  defaults = {
    id             = "lt-0123456789abcdef0"
    latest_version = 1
  }
}

mock_resource "aws_db_instance" {
  defaults = {
    address            = "onedigest-production.example.eu-central-1.rds.amazonaws.com"
    resource_id        = "db-EXAMPLE"
    master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-example", kms_key_id = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555", secret_status = "active" }]
  }
}

# No values of their own: different ones are made up for each, so that a test can tell which subnet, table or group is meant.

mock_resource "aws_subnet" {
  defaults = {}
}

mock_resource "aws_internet_gateway" {
  defaults = {}
}

mock_resource "aws_route_table" {
  defaults = {}
}

mock_resource "aws_nat_gateway" {
  defaults = {}
}

mock_resource "aws_eip" {
  defaults = {}
}

mock_resource "aws_security_group" {
  defaults = {}
}

mock_resource "aws_db_subnet_group" {
  defaults = {}
}

mock_resource "aws_db_parameter_group" {
  defaults = {}
}

mock_resource "aws_vpc_endpoint" {
  defaults = {}
}

mock_data "aws_ssm_parameter" {
  defaults = { value = "1.36.0-20260801" }
}

mock_resource "aws_codestarconnections_connection" {
  defaults = { arn = "arn:aws:codestar-connections:eu-central-1:123456789012:connection/11111111-2222-3333-4444-555555555555" }
}

mock_resource "aws_codebuild_project" {
  defaults = {}
}
