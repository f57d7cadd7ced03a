# Where images live. A tag stays on the image that it was given to; only moving tags move. What is expired, and why not more:
#
# - An image that is live in the lowest environment has no other tag than its commit's, and nothing in the registry says that it
#   is live. So the images of commits are never expired. They share their layers and cost some 0.10 USD a GB and month.
# - Evidence is a referrer of its image and has no tag. AWS documents that referrers are removed with their image, and nowhere
#   that a rule for untagged images leaves them alone before. Nothing else here is untagged but the parts of an index, which ECR
#   keeps as long as the index. So there is no rule for untagged images.
# - Images of uncommitted work are no release: promote refuses them. They are expired by age.

locals {
  # Larger than a repository's quota of images (100,000): a rule with it selects images and never has one to expire.
  ecr_never = 999999

  # ECR, "Lifecycle policy evaluation rules": an image that matches the tags of a rule is never expired by a rule with a higher
  # number, so these come first and what they match stays, whatever other tags it carries. A list's patterns must all match, hence
  # a rule for each.
  ecr_kept_tags = distinct(concat(
    [for environment in concat(local.ladder, var.environments_above) : "${environment}*"], # production-<commit> and the moving tag production
    [for tag in var.ecr_moving_tags : "${tag}*" if !anytrue([for environment in concat(local.ladder, var.environments_above) : startswith(tag, environment)])],
  ))

  ecr_lifecycle_rules = concat(
    [
      for index, pattern in local.ecr_kept_tags : {
        rulePriority = index + 1
        description  = "Keep what is or was released: ${pattern}"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = [pattern]
          countType      = "imageCountMoreThan"
          countNumber    = local.ecr_never
        }
        action = { type = "expire" }
      }
    ],
    [
      for days in var.ecr_dirty_days == null ? [] : [var.ecr_dirty_days] : {
        rulePriority = length(local.ecr_kept_tags) + 1
        description  = "Uncommitted work"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*-dirty-*"]
          countType      = "sinceImagePushed"
          countUnit      = "days"
          countNumber    = days
        }
        action = { type = "expire" }
      }
    ],
  )

  # By name, here or in the state below.
  repositories = {
    for name in flatten(values(local.service_repositories)) : name => {
      arn = local.makes_builds ? aws_ecr_repository.this[name].arn : var.below.repositories[name].arn
      url = local.makes_builds ? aws_ecr_repository.this[name].repository_url : var.below.repositories[name].url
    }
  }

  # ListImageReferrers and the referrers of the registry API are covered by BatchGetImage.
  ecr_pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  ecr_look = ["ecr:DescribeImages", "ecr:GetLifecyclePolicy"] # which record was pushed last, and whether a rule deletes what is released
  ecr_push = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
}

# Tags are immutable but for ecr_moving_tags ("staging", "production"), which say where something is and are never
# deployed: releases are pinned by digest.
#trivy:ignore:AWS-0031
resource "aws_ecr_repository" "this" {
  for_each = toset(local.makes_builds ? flatten(values(local.service_repositories)) : [])

  name                 = each.key
  image_tag_mutability = length(var.ecr_moving_tags) > 0 ? "IMMUTABLE_WITH_EXCLUSION" : "IMMUTABLE"
  force_delete         = false # a repository that holds images is not removed by a typing error

  dynamic "image_tag_mutability_exclusion_filter" {
    for_each = var.ecr_moving_tags

    content {
      filter      = image_tag_mutability_exclusion_filter.value
      filter_type = "WILDCARD" # the only type; without a * it matches that one tag
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

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = var.ecr_dirty_days == null ? {} : aws_ecr_repository.this

  repository = each.value.name
  policy     = jsonencode({ rules = local.ecr_lifecycle_rules })
}

resource "aws_ecr_repository_policy" "pull" {
  for_each = length(var.ecr_pull_account_ids) == 0 ? {} : aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = [for id in sort(var.ecr_pull_account_ids) : "arn:${local.partition}:iam::${id}:root"] }
      Action    = local.ecr_pull
    }]
  })
}
