# Names and certificates, and what the chart is given of them.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  override_data {
    target = data.aws_route53_zone.this[0]
    values = { zone_id = "Z0123456789ABCDEFGHIJ", name = "example.com" }
  }

  override_resource {
    target = aws_acm_certificate.this["staging"]
    values = {
      arn = "arn:aws:acm:eu-central-1:123456789012:certificate/staging"
      domain_validation_options = [{
        domain_name           = "staging.shop.example.com"
        resource_record_name  = "_proof.staging.shop.example.com."
        resource_record_type  = "CNAME"
        resource_record_value = "_staging.acm-validations.aws."
      }]
    }
  }

  override_resource {
    target = aws_acm_certificate.this["production"]
    values = {
      arn = "arn:aws:acm:eu-central-1:123456789012:certificate/production"
      domain_validation_options = [{
        domain_name           = "shop.example.com"
        resource_record_name  = "_proof.shop.example.com."
        resource_record_type  = "CNAME"
        resource_record_value = "_production.acm-validations.aws."
      }]
    }
  }
}

variables {
  domain  = "shop.example.com"
  zone_id = "Z0123456789ABCDEFGHIJ"
}

run "a_certificate_for_each_environment" {
  command = plan

  assert {
    condition     = output.hosts == tomap({ production = "shop.example.com", staging = "staging.shop.example.com" })
    error_message = "Environments are not served under the names that are theirs: ${jsonencode(output.hosts)}"
  }

  assert {
    condition = tomap({ for environment, certificate in aws_acm_certificate.this : environment => certificate.domain_name }) == output.hosts && alltrue([
      for certificate in values(aws_acm_certificate.this) : certificate.validation_method == "DNS"
    ])
    error_message = "A certificate is for another name, or proved another way than by DNS."
  }

  assert {
    condition = {
      for environment, record in aws_route53_record.certificate : environment => "${record.zone_id} ${record.name} ${record.type} ${join(",", record.records)}"
      } == {
      staging    = "Z0123456789ABCDEFGHIJ _proof.staging.shop.example.com. CNAME _staging.acm-validations.aws."
      production = "Z0123456789ABCDEFGHIJ _proof.shop.example.com. CNAME _production.acm-validations.aws."
    }
    error_message = "The records do not prove the certificates."
  }

  assert {
    condition     = alltrue([for environment, validation in aws_acm_certificate_validation.this : validation.certificate_arn == aws_acm_certificate.this[environment].arn])
    error_message = "What waits for a certificate waits for another's."
  }

  assert {
    condition     = data.aws_route53_zone.this[0].zone_id == var.zone_id
    error_message = "Another zone is looked up than the one that was given."
  }
}

run "values_for_the_chart" {
  command = plan

  assert {
    condition = yamldecode(output.chart_values["production"]) == {
      service = {
        type     = "LoadBalancer"
        scheme   = "internet-facing"
        hostname = "shop.example.com"
        tls = {
          enabled         = true
          certificateArns = ["arn:aws:acm:eu-central-1:123456789012:certificate/production"]
          policy          = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
        }
      }
      networkPolicy = {
        enabled   = true
        fromCIDRs = ["10.20.224.0/22", "10.20.228.0/22", "10.20.232.0/22"]
      }
    }
    error_message = "The chart would not serve HTTPS: ${output.chart_values["production"]}"
  }
}

run "the_load_balancer_may_connect" {
  command = plan

  variables {
    vpc_cidr = "10.60.0.0/16"
    zones    = ["a", "b"]
    subnets = {
      a = { public = "10.60.0.0/24", private = "10.60.64.0/18" }
      b = { public = "10.60.1.0/24", private = "10.60.128.0/18" }
    }
  }

  assert {
    condition     = yamldecode(output.chart_values["production"]).networkPolicy.fromCIDRs == ["10.60.0.0/24", "10.60.1.0/24"]
    error_message = "The pods would refuse the load balancer of another address plan: ${output.chart_values["production"]}"
  }
}

run "the_ladder_says_who_has_the_domain" {
  command = plan

  variables {
    ladder = ["production", "staging"]
  }

  assert {
    condition     = output.hosts == tomap({ production = "production.shop.example.com", staging = "shop.example.com" })
    error_message = "The highest environment has not the domain: ${jsonencode(output.hosts)}"
  }
}

run "without_domain_no_https" {
  command = plan

  variables {
    domain  = ""
    zone_id = null
  }

  assert {
    condition     = length(aws_acm_certificate.this) == 0 && length(data.aws_route53_zone.this) == 0 && length(output.hosts) == 0 && length(output.chart_values) == 0
    error_message = "Something is made for a domain that there is not."
  }
}

run "another_policy" {
  command = plan

  variables {
    tls_policy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
  }

  assert {
    condition     = output.tls_policy == "ELBSecurityPolicy-TLS13-1-3-2021-06" && strcontains(output.chart_values["staging"], "ELBSecurityPolicy-TLS13-1-3-2021-06")
    error_message = "The chart is given another policy."
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "zone_of_another_domain" {
  command = plan

  override_data {
    target          = data.aws_route53_zone.this[0]
    override_during = plan
    values          = { zone_id = "Z0123456789ABCDEFGHIJ", name = "example.org" }
  }

  expect_failures = [data.aws_route53_zone.this[0]]
}

# The last letters are the same, the zone is not.
run "zone_of_a_domain_that_ends_alike" {
  command = plan

  variables {
    domain = "shop.myexample.com"
  }

  expect_failures = [data.aws_route53_zone.this[0]]
}

run "domain_without_zone" {
  command = plan

  variables {
    zone_id = null
  }

  expect_failures = [var.zone_id]
}

run "zone_without_domain" {
  command = plan

  variables {
    domain = ""
  }

  expect_failures = [var.zone_id]
}

run "zone_as_a_path" {
  command = plan

  variables {
    zone_id = "/hostedzone/Z0123456789ABCDEFGHIJ"
  }

  expect_failures = [var.zone_id]
}

run "zone_as_a_name" {
  command = plan

  variables {
    zone_id = "example.com"
  }

  expect_failures = [var.zone_id]
}

run "domain_wildcard" {
  command = plan

  variables {
    domain = "*.example.com"
  }

  expect_failures = [var.domain]
}

run "domain_as_url" {
  command = plan

  variables {
    domain = "https://shop.example.com"
  }

  expect_failures = [var.domain]
}

run "domain_with_final_dot" {
  command = plan

  variables {
    domain = "shop.example.com."
  }

  expect_failures = [var.domain]
}

run "policy_with_old_tls" {
  command = plan

  variables {
    tls_policy = "ELBSecurityPolicy-2016-08"
  }

  expect_failures = [var.tls_policy]
}

run "policy_with_tls_1_1" {
  command = plan

  variables {
    tls_policy = "ELBSecurityPolicy-TLS13-1-1-2021-06"
  }

  expect_failures = [var.tls_policy]
}

run "policy_with_tls_1_0" {
  command = plan

  variables {
    tls_policy = "ELBSecurityPolicy-TLS13-1-0-PQ-2025-09"
  }

  expect_failures = [var.tls_policy]
}

run "policy_with_weak_ciphers" {
  command = plan

  variables {
    tls_policy = "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"
  }

  expect_failures = [var.tls_policy]
}

run "policy_empty" {
  command = plan

  variables {
    tls_policy = ""
  }

  expect_failures = [var.tls_policy]
}

run "an_expiring_certificate_is_told" {
  command = plan

  variables {
    domain  = "shop.example.com"
    zone_id = "Z0123456789ABCDEFGHIJ"
  }

  assert {
    condition = toset(keys(aws_cloudwatch_metric_alarm.certificate)) == toset(["staging", "production"]) && alltrue([
      for alarm in values(aws_cloudwatch_metric_alarm.certificate) : alarm.metric_name == "DaysToExpiry" && alarm.threshold == 30 &&
      alarm.treat_missing_data == "breaching" && tolist(alarm.alarm_actions) == tolist(["arn:aws:sns:eu-central-1:123456789012:alerts"])
    ])
    error_message = "Each certificate's end must be told, also if ACM tells nothing of it."
  }
}

run "a_domain_and_nobody_to_tell" {
  command = plan

  variables {
    domain          = "shop.example.com"
    zone_id         = "Z0123456789ABCDEFGHIJ"
    alarm_topic_arn = null
  }

  expect_failures = [var.alarm_topic_arn]
}
