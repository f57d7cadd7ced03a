# The names under which environments are served, and their certificates. The listener itself is made from the chart's Service or
# Ingress: output chart_values has what it needs.

locals {
  # The highest environment has the domain itself.
  hosts = var.domain == "" ? {} : {
    for environment in local.ladder : environment => environment == local.highest ? var.domain : "${environment}.${var.domain}"
  }
}

data "aws_route53_zone" "this" {
  count = var.domain == "" ? 0 : 1

  zone_id = var.zone_id

  lifecycle {
    postcondition {
      condition     = var.domain == trimsuffix(self.name, ".") || endswith(var.domain, ".${trimsuffix(self.name, ".")}")
      error_message = "The zone ${coalesce(var.zone_id, "null")} is for ${self.name}, in which ${var.domain} does not lie: the certificate could not be proved."
    }

    postcondition {
      condition     = !coalesce(self.private_zone, false)
      error_message = "The zone ${coalesce(var.zone_id, "null")} is private: the authority that signs the certificate cannot see it."
    }
  }
}

# One for each environment, so that none has another's key. ACM renews it as long as the record stays.
resource "aws_acm_certificate" "this" {
  for_each = local.hosts

  domain_name       = each.value
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true # a certificate in use cannot be removed
  }
}

resource "aws_route53_record" "certificate" {
  for_each = local.hosts

  zone_id         = data.aws_route53_zone.this[0].zone_id
  name            = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_name
  type            = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_type
  records         = [one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_value]
  ttl             = 300
  allow_overwrite = true # the record is the same for every certificate of a name in an account
}

# ACM renews a certificate 60 days before its end while its record stands. Days that are left below 30 mean that it did not.
# https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
resource "aws_cloudwatch_metric_alarm" "certificate" {
  for_each = local.hosts

  alarm_name          = "${var.name}-${each.key}-certificate"
  alarm_description   = "The certificate of ${each.value} has less than 30 days left and was not renewed: look at its DNS record."
  namespace           = "AWS/CertificateManager"
  metric_name         = "DaysToExpiry"
  dimensions          = { CertificateArn = aws_acm_certificate.this[each.key].arn }
  statistic           = "Minimum"
  period              = 86400
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 30
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

# Waits until the certificate is signed, so that nothing is given one that is not.
resource "aws_acm_certificate_validation" "this" {
  for_each = local.hosts

  certificate_arn         = aws_acm_certificate.this[each.key].arn
  validation_record_fqdns = [aws_route53_record.certificate[each.key].fqdn]
}
