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

    postcondition {
      condition     = !var.require_promotion || contains(self.image_tags, "${var.environment}-${local.commit}")
      error_message = "The image of commit ${coalesce(local.commit, "null")} is not promoted to ${var.environment}: it has no tag ${var.environment}-${coalesce(local.commit, "COMMIT")}. The promote action gives it once staging has proved the digest."
    }
  }
}

locals {
  deploys = var.deploy_with == "terraform"

  commit = try(regex("[0-9a-f]{40}$", var.image_tag), null)
  digest = one(data.aws_ecr_image.this[*].image_digest)
}
