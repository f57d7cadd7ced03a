# The digest of the tag. A tag can move, a digest identifies the image: nothing after this file uses the tag.
#
# Where a promotion is required, tags are looked up in another repository than the one that builds push to: ECR has no permission by tag, but
# one by repository, and only ENVIRONMENT's own role and the administrators may write to that one (terraform/aws_infra, ecr.tf). What runs is the
# digest in var.repository, as by the actions: whoever else writes there cannot make other bytes of it.

locals {
  # The commit that the tag itself names, and the tag that promote gives it.
  named_commit   = try(regex("^(?:[a-z0-9-]+-)?([0-9a-f]{40})$", var.image_tag)[0], null)
  promotion      = "^${var.environment}-[0-9a-f]{40}$"
  tag_repository = !var.require_promotion || startswith(var.repository, "${var.environment}/") ? var.repository : "${var.environment}/${var.repository}"
  tag            = var.require_promotion && can(regex("^[0-9a-f]{40}$", var.image_tag)) ? "${var.environment}-${var.image_tag}" : var.image_tag
}

data "aws_ecr_repository" "this" {
  count = local.deploys ? 1 : 0
  name  = var.repository
}

# The provider's own error for an absent tag names neither what to do nor where it looked, so the tags are listed first.
data "aws_ecr_images" "this" {
  count           = local.deploys ? 1 : 0
  repository_name = local.tag_repository
}

data "aws_ecr_image" "this" {
  count           = local.deploys ? 1 : 0
  repository_name = local.tag_repository
  image_tag       = local.tag

  lifecycle {
    precondition {
      condition = contains(data.aws_ecr_images.this[0].image_ids[*].image_tag, local.tag)
      error_message = (var.require_promotion ?
        "No image in ECR repository ${local.tag_repository} has the tag ${coalesce(local.tag, "null")}: promote the image there first (promote --repository …/${var.repository} --to ${var.environment} --target-repository …/${local.tag_repository}), or give another tag. Tags in ${var.repository} do not count, because others may write them." :
        "No image in ECR repository ${local.tag_repository} has the tag ${coalesce(local.tag, "null")}: build that commit first (actions/build), or give another."
      )
    }

    postcondition {
      condition     = can(regex("^sha256:[0-9a-f]{64}$", self.image_digest))
      error_message = "ECR answered ${jsonencode(self.image_digest)} for tag ${coalesce(local.tag, "null")} of ${local.tag_repository}, which is no sha256 digest."
    }

    # A tag that is no commit's: what promote tagged says which commit it is, else the image's own tag does.
    postcondition {
      condition = local.named_commit != null || length([
        for tag in self.image_tags : tag if can(regex("^${anytrue([for other in self.image_tags : can(regex(local.promotion, other))]) ? "${var.environment}-" : ""}[0-9a-f]{40}$", tag))
      ]) <= 1
      error_message = "The image of tag ${coalesce(var.image_tag, "null")} belongs to several commits (${join(", ", self.image_tags)}): give one of them as image_tag, so that it is known which is deployed."
    }

    postcondition {
      condition = !var.require_promotion || (
        local.named_commit != null ? contains(self.image_tags, "${var.environment}-${local.named_commit}") : anytrue([for tag in self.image_tags : can(regex(local.promotion, tag))])
      )
      error_message = "The image of ${local.named_commit == null ? "tag ${coalesce(var.image_tag, "null")}" : "commit ${local.named_commit}"} is not promoted to ${var.environment}: it has no tag ${var.environment}-${coalesce(local.named_commit, "COMMIT")}. The promote action gives it once staging has proved the digest."
    }
  }
}

locals {
  deploys = var.deploy_with == "terraform"

  # The commit: the tag's own, else the one that promote tagged the image with, else the one that the image's tags name. An image of no
  # known commit is deployed without the label.
  image_tags = local.deploys ? data.aws_ecr_image.this[0].image_tags : []
  promoted   = [for tag in local.image_tags : trimprefix(tag, "${var.environment}-") if can(regex(local.promotion, tag))]
  built      = [for tag in local.image_tags : tag if can(regex("^[0-9a-f]{40}$", tag))]

  commit = try(coalesce(local.named_commit, one(local.promoted), one(local.built)), null)
  digest = one(data.aws_ecr_image.this[*].image_digest)
}
