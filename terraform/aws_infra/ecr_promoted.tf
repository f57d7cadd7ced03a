# Where production's tags are believed. ECR has no permission by tag, and by repository only (Service Authorization Reference, "Condition keys
# for Amazon ECR": aws:ResourceTag, aws:RequestTag, aws:TagKeys and ecr:ResourceTag; none is the image's tag). So what the highest environment
# runs is looked up in a repository of its own (terraform/modules/service, image.tf), into which promote copies what is proved.
#
# The policies of the roles give nobody but that environment's role a way to write there. The repository's own policy denies it to everybody
# else, so that a role which may push to every repository of the account, as AmazonEC2ContainerRegistryPowerUser lets, may not push to this one.
# An administrator can change the policy: CloudTrail then has a SetRepositoryPolicy.

locals {
  # By repository: its service and the one that is promoted from.
  promoted_repositories = merge([
    for service, repositories in local.service_repositories : {
      for repository in repositories : "${local.highest}/${repository}" => { service = service, of = repository } if contains(keys(var.environments), local.highest)
    }
  ]...)

  ecr_promoters = {
    for name, it in local.promoted_repositories : name => concat([aws_iam_role.deploy[local.keys[it.service][local.highest]].arn], sort(var.cluster_admin_arns))
  }
}

#trivy:ignore:AWS-0031
resource "aws_ecr_repository" "promoted" {
  for_each = local.promoted_repositories

  name                 = each.key
  image_tag_mutability = length(var.ecr_moving_tags) > 0 ? "IMMUTABLE_WITH_EXCLUSION" : "IMMUTABLE"
  force_delete         = false

  dynamic "image_tag_mutability_exclusion_filter" {
    for_each = var.ecr_moving_tags

    content {
      filter      = image_tag_mutability_exclusion_filter.value
      filter_type = "WILDCARD"
    }
  }

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.images.arn
  }
}

# No lifecycle policy: nothing expires that was promoted.
resource "aws_ecr_repository_policy" "promoted" {
  for_each = aws_ecr_repository.promoted

  repository = each.value.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OnlyPromotersWrite"
        Effect    = "Deny"
        Principal = "*"
        Action    = concat(local.ecr_push, ["ecr:BatchDeleteImage"])
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = local.ecr_promoters[each.key] } }
      }],
      [
        for ids in [sort(var.ecr_pull_account_ids)] : {
          Sid       = "OtherAccountsPull"
          Effect    = "Allow"
          Principal = { AWS = [for id in ids : "arn:${local.partition}:iam::${id}:root"] }
          Action    = local.ecr_pull
        } if length(ids) > 0
      ],
    )
  })
}
