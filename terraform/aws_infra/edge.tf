# API Gateway → VPC link → the release's internal Application Load Balancer → pods, for the environments in var.edge.
#
# AWS WAF cannot be put on an HTTP API: it takes Application Load Balancers, REST APIs, CloudFront and some others. So the firewall
# is on the load balancer, which every request passes, by whatever way it came. Seen from there every request comes from the VPC
# link, so the API writes the caller's address into a header of its own, over whatever the caller wrote there, and the limit by
# address counts by that header. A request without it has not come through the API and is refused.

locals {
  edge_address_header = "x-client-address"

  # Environments whose load balancer is named: the second apply.
  edge_ready = { for environment, edge in var.edge : environment => edge if edge.ingress != null || edge.listener_arn != null }

  # Own rules come first: 0 and 1.
  edge_rule_groups = {
    for environment, edge in var.edge : environment => { for index, group in edge.managed_rules : group => index + 2 }
  }
}

# ── Who may reach the load balancer ─────────────────────────────────────────────────────────────────────────────────────

resource "aws_security_group" "edge_link" {
  for_each = var.edge

  name        = "${var.name}-${each.key}-edge-link"
  description = "Interfaces of API Gateway for ${each.key}"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}-edge-link" }
}

# For the Ingress (alb.ingress.kubernetes.io/security-groups). The way on to the pods is the controller's own group.
resource "aws_security_group" "edge_balancer" {
  for_each = var.edge

  name        = "${var.name}-${each.key}-edge-balancer"
  description = "Internal load balancer of ${each.key}: HTTPS from API Gateway and from nobody else"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}-edge-balancer" }
}

resource "aws_vpc_security_group_egress_rule" "edge_link" {
  for_each = var.edge

  security_group_id            = aws_security_group.edge_link[each.key].id
  description                  = "HTTPS to the load balancer"
  referenced_security_group_id = aws_security_group.edge_balancer[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "edge_balancer" {
  for_each = var.edge

  security_group_id            = aws_security_group.edge_balancer[each.key].id
  description                  = "HTTPS from API Gateway"
  referenced_security_group_id = aws_security_group.edge_link[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

# ── Firewall ────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_wafv2_web_acl" "edge" {
  for_each = var.edge

  name        = "${var.name}-${each.key}"
  description = "In front of ${each.key}, on its internal load balancer"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # WAF leaves out a rule on a forwarded address if the header is absent, so that is refused first.
  rule {
    name     = "not-through-the-api"
    priority = 0

    action {
      block {}
    }

    statement {
      not_statement {
        statement {
          size_constraint_statement {
            comparison_operator = "GE"
            size                = 2 # the shortest address is ::

            field_to_match {
              single_header {
                name = local.edge_address_header
              }
            }

            text_transformation {
              priority = 0
              type     = "NONE"
            }
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "not-through-the-api"
      sampled_requests_enabled   = true
    }
  }

  rule {
    name     = "too-many-from-one-address"
    priority = 1

    action {
      block {
        custom_response {
          response_code = 429
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = each.value.address_limit
        evaluation_window_sec = each.value.address_seconds
        aggregate_key_type    = "FORWARDED_IP"

        forwarded_ip_config {
          header_name       = local.edge_address_header
          fallback_behavior = "MATCH" # what is no address is not from the API
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "too-many-from-one-address"
      sampled_requests_enabled   = true
    }
  }

  dynamic "rule" {
    for_each = local.edge_rule_groups[each.key]
    iterator = group

    content {
      name     = group.key
      priority = group.value

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = group.key

          dynamic "rule_action_override" {
            for_each = try(each.value.count_rules[group.key], [])

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = group.key
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = "${var.name}-${each.key}"
    sampled_requests_enabled   = true
  }
}

# The chart names the same list in the Ingress (alb.ingress.kubernetes.io/wafv2-acl-arn), so that a load balancer that the
# controller creates again is not without it until the next apply.
resource "aws_wafv2_web_acl_association" "edge" {
  for_each = local.edge_ready

  resource_arn = data.aws_lb.edge[each.key].arn
  web_acl_arn  = aws_wafv2_web_acl.edge[each.key].arn
}

# WAF writes only to groups whose names begin so.
resource "aws_cloudwatch_log_group" "edge_firewall" {
  for_each = var.edge

  name              = "aws-waf-logs-${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

# What was blocked or would have been; what passed is in the API's own log.
resource "aws_wafv2_web_acl_logging_configuration" "edge" {
  for_each = var.edge

  resource_arn            = aws_wafv2_web_acl.edge[each.key].arn
  log_destination_configs = [aws_cloudwatch_log_group.edge_firewall[each.key].arn]

  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }

      condition {
        action_condition {
          action = "COUNT"
        }
      }

      condition {
        action_condition {
          action = "EXCLUDED_AS_COUNT"
        }
      }
    }
  }

  redacted_fields {
    single_header {
      name = "authorization"
    }
  }

  redacted_fields {
    single_header {
      name = "cookie"
    }
  }
}

# ── The load balancer that the chart's Ingress made ─────────────────────────────────────────────────────────────────────

data "aws_lb" "edge_ingress" {
  for_each = { for environment, edge in local.edge_ready : environment => edge if edge.ingress != null }

  # The AWS Load Balancer Controller's own tags.
  tags = {
    "elbv2.k8s.aws/cluster"    = local.clusters[local.cluster_of[each.key]].name
    "ingress.k8s.aws/resource" = "LoadBalancer"
    "ingress.k8s.aws/stack"    = "${var.environments[each.key].namespace}/${each.value.ingress}"
  }
}

data "aws_lb_listener" "edge" {
  for_each = local.edge_ready

  arn               = each.value.listener_arn
  load_balancer_arn = each.value.ingress == null ? null : data.aws_lb.edge_ingress[each.key].arn
  port              = each.value.ingress == null ? null : 443

  lifecycle {
    postcondition {
      condition     = self.protocol == "HTTPS"
      error_message = "edge: the listener of ${each.key} speaks ${self.protocol}, not HTTPS: give the chart the certificate (output chart_values)."
    }
  }
}

data "aws_lb" "edge" {
  for_each = local.edge_ready

  arn = data.aws_lb_listener.edge[each.key].load_balancer_arn

  lifecycle {
    postcondition {
      condition     = self.load_balancer_type == "application"
      error_message = "edge: the load balancer of ${each.key} is of type ${self.load_balancer_type}; a firewall can be put on application alone. Use the chart's Ingress."
    }

    postcondition {
      condition     = self.internal
      error_message = "edge: the load balancer of ${each.key} faces the internet, so that callers could go around the API. Set the Ingress's scheme to internal."
    }
  }
}

# ── API ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_apigatewayv2_vpc_link" "edge" {
  for_each = local.edge_ready

  name               = "${var.name}-${each.key}"
  subnet_ids         = values(aws_subnet.private)[*].id
  security_group_ids = [aws_security_group.edge_link[each.key].id]
}

resource "aws_apigatewayv2_api" "edge" {
  for_each = local.edge_ready

  name                         = "${var.name}-${each.key}"
  description                  = "In front of ${each.key}: ${local.hosts[each.key]}"
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = true # one way in: the domain
}

resource "aws_apigatewayv2_integration" "edge" {
  for_each = local.edge_ready

  api_id                 = aws_apigatewayv2_api.edge[each.key].id
  integration_type       = "HTTP_PROXY"
  integration_method     = "ANY"
  integration_uri        = data.aws_lb_listener.edge[each.key].arn
  connection_type        = "VPC_LINK"
  connection_id          = aws_apigatewayv2_vpc_link.edge[each.key].id
  payload_format_version = "1.0"
  timeout_milliseconds   = each.value.timeout_ms

  tls_config {
    server_name_to_verify = local.hosts[each.key]
  }

  request_parameters = {
    "overwrite:header.${local.edge_address_header}" = "$context.identity.sourceIp"
    "overwrite:header.Host"                         = local.hosts[each.key] # what the Ingress's rule is for
  }
}

resource "aws_apigatewayv2_route" "edge" {
  for_each = local.edge_ready

  api_id    = aws_apigatewayv2_api.edge[each.key].id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.edge[each.key].id}"
}

# Below /aws/vendedlogs/ CloudWatch does not fill up the policy by which services write logs.
resource "aws_cloudwatch_log_group" "edge_api" {
  for_each = local.edge_ready

  name              = "/aws/vendedlogs/${var.name}/${each.key}/edge"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_apigatewayv2_stage" "edge" {
  for_each = local.edge_ready

  api_id      = aws_apigatewayv2_api.edge[each.key].id
  name        = "$default" # no part of the path
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = each.value.requests_per_second
    throttling_burst_limit   = each.value.burst
    detailed_metrics_enabled = true
  }

  # Without query strings and headers, which may carry personal data.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.edge_api[each.key].arn
    format = jsonencode({
      time               = "$context.requestTime"
      requestId          = "$context.requestId"
      address            = "$context.identity.sourceIp"
      userAgent          = "$context.identity.userAgent"
      method             = "$context.httpMethod"
      path               = "$context.path"
      protocol           = "$context.protocol"
      status             = "$context.status"
      bytes              = "$context.responseLength"
      latency            = "$context.responseLatency"
      integrationStatus  = "$context.integrationStatus"
      integrationLatency = "$context.integrationLatency"
      error              = "$context.error.message"
      integrationError   = "$context.integrationErrorMessage"
    })
  }
}

# ── Name ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_apigatewayv2_domain_name" "edge" {
  for_each = local.edge_ready

  domain_name = local.hosts[each.key]

  domain_name_configuration {
    certificate_arn = aws_acm_certificate_validation.this[each.key].certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2" # the highest that an HTTP API has; it speaks TLS 1.3 too
  }
}

resource "aws_apigatewayv2_api_mapping" "edge" {
  for_each = local.edge_ready

  api_id      = aws_apigatewayv2_api.edge[each.key].id
  domain_name = aws_apigatewayv2_domain_name.edge[each.key].id
  stage       = aws_apigatewayv2_stage.edge[each.key].id
}

resource "aws_route53_record" "edge" {
  for_each = local.edge_ready

  zone_id = data.aws_route53_zone.this[0].zone_id
  name    = local.hosts[each.key]
  type    = "A"

  alias {
    name                   = aws_apigatewayv2_domain_name.edge[each.key].domain_name_configuration[0].target_domain_name
    zone_id                = aws_apigatewayv2_domain_name.edge[each.key].domain_name_configuration[0].hosted_zone_id
    evaluate_target_health = false # API Gateway has no health that Route 53 could see
  }
}
