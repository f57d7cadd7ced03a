# Repositories, and what their rules do to images: ECR's documented evaluation, played through on a table.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  commit = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

  # Images as ECR sees them, all 4,000 days old, older than any rule counts, and the oldest of a full repository: 99,999 newer
  # images match whatever they match.
  image_cases = [
    { what = "a build", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "live in staging, by digest", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "live in staging, moving tag", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", "staging"], expires = false },
    { what = "a release", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", "production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "a release, its other tag gone", tags = ["production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "a release of an environment below", tags = ["staging-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "live in production", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", "production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", "production"], expires = false },
    { what = "tagged by hand", tags = ["v1.2.3"], expires = false },
    { what = "evidence: a referrer, without a tag", tags = [], expires = false },
    { what = "an index's part, without a tag", tags = [], expires = false },
    { what = "uncommitted work", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00-dirty-20261123t065100.000"], expires = true },
    { what = "uncommitted work, released by hand", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00-dirty-20261123t065100.000", "production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"], expires = false },
    { what = "uncommitted work, live in staging by its moving tag", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00-dirty-20261123t065100.000", "staging"], expires = false },
    { what = "uncommitted work under the moving tag of another name", tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00-dirty-20261123t065100.000", "latest"], expires = false },
  ]

  # Tags, and whether ECR lets them move to another image.
  tag_cases = {
    "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"                           = false
    "production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"                = false
    "staging-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"                   = false
    "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00-dirty-20261123t065100.000" = false
    "v1.2.3"                                                             = false
    "production2"                                                        = false
    "pre-production"                                                     = false
    "staging"                                                            = true
    "production"                                                         = true
    "latest"                                                             = true
  }
}

run "repositories" {
  command = plan

  variables {
    ecr_repositories = ["shop", "team/checkout"]
  }

  assert {
    condition = toset(keys(aws_ecr_repository.this)) == toset(["shop", "team/checkout"]) && alltrue([
      for name, repository in aws_ecr_repository.this :
      repository.name == name && !repository.force_delete && repository.image_scanning_configuration[0].scan_on_push &&
      repository.encryption_configuration[0].encryption_type == "KMS" && repository.encryption_configuration[0].kms_key == aws_kms_key.images.arn
    ])
    error_message = "A repository is not scanned on push, not encrypted with its key, or removed with what it holds."
  }

  assert {
    condition     = toset(keys(aws_ecr_lifecycle_policy.this)) == toset(["shop", "team/checkout"]) && length(aws_ecr_repository_policy.pull) == 0
    error_message = "A repository is without rules, or others may pull from it without being asked for."
  }
}

run "immutable_but_for_moving_tags" {
  command = plan

  variables {
    ecr_moving_tags = ["staging", "production", "latest"]
  }

  assert {
    condition = aws_ecr_repository.this["shop"].image_tag_mutability == "IMMUTABLE_WITH_EXCLUSION" && alltrue([
      for tag, moves in var.tag_cases :
      moves == anytrue([
        for exclusion in aws_ecr_repository.this["shop"].image_tag_mutability_exclusion_filter :
        can(regex("^${replace(replace(exclusion.filter, ".", "\\."), "*", ".*")}$", tag))
      ])
    ])
    error_message = "A tag moves that must not, or cannot move that should: ${jsonencode(aws_ecr_repository.this["shop"].image_tag_mutability_exclusion_filter)}"
  }

  assert {
    condition     = alltrue([for exclusion in aws_ecr_repository.this["shop"].image_tag_mutability_exclusion_filter : exclusion.filter_type == "WILDCARD"])
    error_message = "ECR knows no other type of filter."
  }
}

run "immutable_without_exception" {
  command = plan

  variables {
    ecr_moving_tags = []
  }

  assert {
    condition     = aws_ecr_repository.this["shop"].image_tag_mutability == "IMMUTABLE" && length(aws_ecr_repository.this["shop"].image_tag_mutability_exclusion_filter) == 0
    error_message = "ECR refuses the one without the other."
  }
}

# ECR, "Lifecycle policy evaluation rules": every pattern of a rule must match one of the image's tags; the matching rule with the
# lowest number is the only one that may expire the image.
run "what_expires" {
  command = plan

  variables {
    ecr_moving_tags = ["staging", "production", "latest"]
  }

  assert {
    condition = alltrue([
      for image in var.image_cases : image.expires == anytrue([
        for rule in slice(concat([
          for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : rule
          if rule.selection.tagStatus == "any" || (rule.selection.tagStatus == "untagged" && length(image.tags) == 0) || (
            rule.selection.tagStatus == "tagged" && alltrue([
              for pattern in rule.selection.tagPatternList :
              anytrue([for tag in image.tags : can(regex("^${replace(replace(pattern, ".", "\\."), "*", ".*")}$", tag))])
            ])
          )
        ], [{ selection = { countType = "none", countNumber = 0 } }]), 0, 1) :
        rule.selection.countType == "sinceImagePushed" ? 4000 > rule.selection.countNumber :
        rule.selection.countType == "imageCountMoreThan" ? 100000 > rule.selection.countNumber : false
      ])
    ])
    error_message = "An image expires that must stay, or stays for ever: ${aws_ecr_lifecycle_policy.this["shop"].policy}"
  }

  # What the evaluation above, and ECR, take for granted.
  assert {
    condition = tolist([
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : rule.rulePriority
    ]) == tolist(range(1, length(jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules) + 1))
    error_message = "The rules are not in the order of their numbers, which ECR sorts them by."
  }

  assert {
    condition = length(distinct([
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : rule.selection.tagPatternList
      ])) == length(jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules) && alltrue(flatten([
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : [
        for pattern in rule.selection.tagPatternList : length(regexall("\\*", pattern)) <= 4
      ]
    ]))
    error_message = "ECR wants each pattern in one rule only, with at most four wildcards."
  }

  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : rule.selection.tagStatus == "tagged"])
    error_message = "A rule selects untagged images, which evidence is."
  }
}

run "what_expires_is_for_every_environment" {
  command = plan

  variables {
    environments = {
      dev        = { namespace = "dev" }
      staging    = { namespace = "staging" }
      production = { namespace = "production" }
    }
    ecr_moving_tags = ["newest"]
    ecr_dirty_days  = 7
  }

  assert {
    condition = [
      for rule in jsondecode(aws_ecr_lifecycle_policy.this["shop"].policy).rules : "${join(",", rule.selection.tagPatternList)} ${rule.selection.countNumber}"
    ] == ["dev* 999999", "staging* 999999", "production* 999999", "newest* 999999", "*-dirty-* 7"]
    error_message = "Not every environment's releases are kept: ${aws_ecr_lifecycle_policy.this["shop"].policy}"
  }
}

run "nothing_expires" {
  command = plan

  variables {
    ecr_dirty_days = null
  }

  assert {
    condition     = length(aws_ecr_lifecycle_policy.this) == 0
    error_message = "There are rules where nothing is to expire."
  }
}

run "other_accounts_pull" {
  command = plan

  variables {
    ecr_pull_account_ids = ["210987654321", "111122223333"]
  }

  assert {
    condition = jsondecode(aws_ecr_repository_policy.pull["shop"].policy).Statement == [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::111122223333:root", "arn:aws:iam::210987654321:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
    error_message = "Other accounts may do more than pull, or others than those: ${aws_ecr_repository_policy.pull["shop"].policy}"
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "no_repository" {
  command = plan

  variables {
    ecr_repositories = []
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_twice" {
  command = plan

  variables {
    ecr_repositories = ["shop", "shop"]
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_with_capitals" {
  command = plan

  variables {
    ecr_repositories = ["Shop"]
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_with_host" {
  command = plan

  variables {
    ecr_repositories = ["123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop:latest"]
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_with_tag" {
  command = plan

  variables {
    ecr_repositories = ["shop:latest"]
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_with_wildcard" {
  command = plan

  variables {
    ecr_repositories = ["*"]
  }

  expect_failures = [var.ecr_repositories]
}

run "repository_name_of_one_letter" {
  command = plan

  variables {
    ecr_repositories = ["s"]
  }

  expect_failures = [var.ecr_repositories]
}

run "moving_tag_wildcard" {
  command = plan

  variables {
    ecr_moving_tags = ["*"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tag_with_wildcard" {
  command = plan

  variables {
    ecr_moving_tags = ["production*"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tag_of_a_commit" {
  command = plan

  variables {
    ecr_moving_tags = ["c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tag_of_a_release" {
  command = plan

  variables {
    ecr_moving_tags = ["production-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tag_of_uncommitted_work" {
  command = plan

  variables {
    ecr_moving_tags = ["a-dirty-b"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tag_twice" {
  command = plan

  variables {
    ecr_moving_tags = ["latest", "latest"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "moving_tags_six" {
  command = plan

  variables {
    ecr_moving_tags = ["a", "b", "c", "d", "e", "f"]
  }

  expect_failures = [var.ecr_moving_tags]
}

run "dirty_days_none" {
  command = plan

  variables {
    ecr_dirty_days = 0
  }

  expect_failures = [var.ecr_dirty_days]
}

run "dirty_days_negative" {
  command = plan

  variables {
    ecr_dirty_days = -1
  }

  expect_failures = [var.ecr_dirty_days]
}

run "dirty_days_half" {
  command = plan

  variables {
    ecr_dirty_days = 1.5
  }

  expect_failures = [var.ecr_dirty_days]
}

run "dirty_days_too_many" {
  command = plan

  variables {
    ecr_dirty_days = 3651
  }

  expect_failures = [var.ecr_dirty_days]
}

run "pull_by_everybody" {
  command = plan

  variables {
    ecr_pull_account_ids = ["*"]
  }

  expect_failures = [var.ecr_pull_account_ids]
}

run "pull_by_an_arn" {
  command = plan

  variables {
    ecr_pull_account_ids = ["arn:aws:iam::210987654321:root"]
  }

  expect_failures = [var.ecr_pull_account_ids]
}
