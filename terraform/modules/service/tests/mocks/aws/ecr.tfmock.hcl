# A registry with one image, built from commit 0123…, promoted to production.
mock_data "aws_ecr_repository" {
  defaults = {
    repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
  }
}

mock_data "aws_ecr_images" {
  defaults = {
    image_ids = [
      { image_tag = "0123456789abcdef0123456789abcdef01234567", image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" },
      { image_tag = "staging-0123456789abcdef0123456789abcdef01234567", image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" },
      { image_tag = "production-0123456789abcdef0123456789abcdef01234567", image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" },
      { image_tag = "1.0.0-prod", image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" },
      { image_tag = null, image_digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222" },
    ]
  }
}

mock_data "aws_ecr_image" {
  defaults = {
    image_digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
    image_tags   = ["0123456789abcdef0123456789abcdef01234567", "production-0123456789abcdef0123456789abcdef01234567"]
  }
}

mock_data "aws_kms_alias" {
  defaults = {
    target_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }
}

mock_data "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::123456789012:role/onedigest-staging-secrets-reader"
  }
}

mock_data "aws_route53_zone" {
  defaults = {
    zone_id = "Z0123456789ABCDEFGHIJ"
    name    = "example.com."
  }
}

mock_data "aws_lb_hosted_zone_id" {
  defaults = {
    id = "Z3F0SRJ5LGBH90"
  }
}
