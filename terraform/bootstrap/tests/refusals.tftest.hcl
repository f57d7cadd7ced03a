# Every bad value is refused before anything is planned.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "name_too_long" {
  command = plan
  variables {
    name = "abcdefghijklmnopqrstu"
  }
  expect_failures = [var.name]
}

run "name_with_capitals" {
  command = plan
  variables {
    name = "OneDigest"
  }
  expect_failures = [var.name]
}

run "name_with_wildcard" {
  command = plan
  variables {
    name = "one*"
  }
  expect_failures = [var.name]
}

run "region_unknown_form" {
  command = plan
  variables {
    region = "frankfurt"
  }
  expect_failures = [var.region]
}

run "account_too_short" {
  command = plan
  variables {
    allowed_account_ids = ["12345"]
  }
  expect_failures = [var.allowed_account_ids]
}

run "bucket_with_dots" {
  command = plan
  variables {
    bucket_name = "example.states"
  }
  expect_failures = [var.bucket_name]
}

run "bucket_with_capitals" {
  command = plan
  variables {
    bucket_name = "Example"
  }
  expect_failures = [var.bucket_name]
}

run "bucket_too_short" {
  command = plan
  variables {
    bucket_name = "ab"
  }
  expect_failures = [var.bucket_name]
}

run "bucket_too_long" {
  command = plan
  variables {
    bucket_name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }
  expect_failures = [var.bucket_name]
}

run "bucket_with_reserved_prefix" {
  command = plan
  variables {
    bucket_name = "xn--example"
  }
  expect_failures = [var.bucket_name]
}

run "bucket_with_reserved_suffix" {
  command = plan
  variables {
    bucket_name = "example-s3alias"
  }
  expect_failures = [var.bucket_name]
}

run "encryption_unknown" {
  command = plan
  variables {
    encryption = "none"
  }
  expect_failures = [var.encryption]
}

run "versions_gone_too_soon" {
  command = plan
  variables {
    noncurrent_days = 6
  }
  expect_failures = [var.noncurrent_days]
}

run "versions_kept_too_long" {
  command = plan
  variables {
    noncurrent_days = 3651
  }
  expect_failures = [var.noncurrent_days]
}

run "versions_negative_days" {
  command = plan
  variables {
    noncurrent_days = -1
  }
  expect_failures = [var.noncurrent_days]
}

run "versions_half_days" {
  command = plan
  variables {
    noncurrent_days = 7.5
  }
  expect_failures = [var.noncurrent_days]
}

run "no_older_version" {
  command = plan
  variables {
    noncurrent_versions = 0
  }
  expect_failures = [var.noncurrent_versions]
}

run "too_many_older_versions" {
  command = plan
  variables {
    noncurrent_versions = 101
  }
  expect_failures = [var.noncurrent_versions]
}

run "log_bucket_as_url" {
  command = plan
  variables {
    access_log_bucket = "s3://example-logs"
  }
  expect_failures = [var.access_log_bucket]
}

run "log_bucket_with_path" {
  command = plan
  variables {
    access_log_bucket = "example-logs/states"
  }
  expect_failures = [var.access_log_bucket]
}

run "tag_of_aws" {
  command = plan
  variables {
    tags = { "aws:owner" = "x" }
  }
  expect_failures = [var.tags]
}
