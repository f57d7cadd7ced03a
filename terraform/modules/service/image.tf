# The digest of the tag. A tag can move, a digest identifies the image: nothing after this file uses the tag.

data "aws_ecr_repository" "this" {
  count = local.deploys ? 1 : 0
  name  = var.repository
}

# The provider's own error for an absent tag names neither what to do nor where it looked, so the tags are listed first.
data "aws_ecr_images" "this" {
  count           = local.deploys ? 1 : 0
  repository_name = var.repository
}

data "aws_ecr_image" "this" {
  count           = local.deploys ? 1 : 0
  repository_name = var.repository
  image_tag       = var.image_tag

  lifecycle {
    precondition {
      condition     = contains(data.aws_ecr_images.this[0].image_ids[*].image_tag, var.image_tag)
      error_message = "No image in ECR repository ${var.repository} has the tag ${coalesce(var.image_tag, "null")}: build that commit first (actions/build), or give another."
    }

    postcondition {
      condition     = can(regex("^sha256:[0-9a-f]{64}$", self.image_digest))
      error_message = "ECR answered ${jsonencode(self.image_digest)} for tag ${coalesce(var.image_tag, "null")} of ${var.repository}, which is no sha256 digest."
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
  named_commit = try(regex("^(?:[a-z0-9-]+-)?([0-9a-f]{40})$", var.image_tag)[0], null)
  promotion    = "^${var.environment}-[0-9a-f]{40}$"
  image_tags   = local.deploys ? data.aws_ecr_image.this[0].image_tags : []
  promoted     = [for tag in local.image_tags : trimprefix(tag, "${var.environment}-") if can(regex(local.promotion, tag))]
  built        = [for tag in local.image_tags : tag if can(regex("^[0-9a-f]{40}$", tag))]

  commit = try(coalesce(local.named_commit, one(local.promoted), one(local.built)), null)
  digest = one(data.aws_ecr_image.this[*].image_digest)
}
