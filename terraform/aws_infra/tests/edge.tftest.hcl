# API Gateway, VPC link, firewall: what is made before and after the load balancer is there, and who gets through.

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

  override_resource {
    target = aws_security_group.edge_link["production"]
    values = { id = "sg-link" }
  }

  override_resource {
    target = aws_security_group.edge_balancer["production"]
    values = { id = "sg-balancer" }
  }

  override_resource {
    target = aws_wafv2_web_acl.edge["production"]
    values = { arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/onedigest-production/1" }
  }

  override_resource {
    target = aws_apigatewayv2_domain_name.edge["production"]
    values = {
      domain_name_configuration = {
        target_domain_name = "d-example.execute-api.eu-central-1.amazonaws.com"
        hosted_zone_id     = "ZAPIGATEWAY"
      }
    }
  }

  override_resource {
    target = aws_apigatewayv2_api.edge["production"]
    values = { id = "api-1" }
  }

  override_resource {
    target = aws_apigatewayv2_vpc_link.edge["production"]
    values = { id = "link-1" }
  }

  override_resource {
    target = aws_apigatewayv2_integration.edge["production"]
    values = { id = "integration-1" }
  }

  override_resource {
    target = aws_apigatewayv2_stage.edge["production"]
    values = { id = "stage-1" }
  }

  override_resource {
    target = aws_cloudwatch_log_group.edge_api["production"]
    values = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:api" }
  }

  override_resource {
    target = aws_cloudwatch_log_group.edge_firewall["production"]
    values = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:firewall" }
  }

  override_data {
    target = data.aws_lb.edge_ingress["production"]
    values = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/k8s-production-shop/0123456789abcdef" }
  }

  override_data {
    target = data.aws_lb_listener.edge["production"]
    values = {
      arn               = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/k8s-production-shop/0123456789abcdef/fedcba9876543210"
      load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/k8s-production-shop/0123456789abcdef"
      protocol          = "HTTPS"
    }
  }

  override_data {
    target = data.aws_lb.edge["production"]
    values = {
      arn                = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/k8s-production-shop/0123456789abcdef"
      internal           = true
      load_balancer_type = "application"
    }
  }
}

variables {
  domain  = "shop.example.com"
  zone_id = "Z0123456789ABCDEFGHIJ"
}

run "no_edge_unless_asked_for" {
  command = plan

  assert {
    condition = (
      length(aws_wafv2_web_acl.edge) + length(aws_apigatewayv2_api.edge) + length(aws_security_group.edge_link) +
      length(aws_security_group.edge_balancer) + length(aws_cloudwatch_log_group.edge_firewall)
    ) == 0 && length(output.edge) == 0
    error_message = "There is something of an edge that nobody asked for."
  }
}

# First apply: what the chart needs to make the load balancer, and nothing that would lead nowhere.
run "before_the_load_balancer" {
  command = plan

  variables {
    edge = { production = {} }
  }

  assert {
    condition     = keys(aws_wafv2_web_acl.edge) == ["production"] && keys(aws_security_group.edge_balancer) == ["production"] && length(aws_apigatewayv2_api.edge) == 0 && length(aws_wafv2_web_acl_association.edge) == 0 && length(aws_route53_record.edge) == 0
    error_message = "The first apply makes too much or too little."
  }

  assert {
    condition = yamldecode(output.chart_values["production"]) == {
      service = { type = "ClusterIP" }
      ingress = {
        enabled         = true
        className       = "alb"
        scheme          = "internal"
        hosts           = ["shop.example.com"]
        certificateArns = ["arn:aws:acm:eu-central-1:123456789012:certificate/production"]
        policy          = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
        annotations = {
          "alb.ingress.kubernetes.io/security-groups"                     = "sg-balancer"
          "alb.ingress.kubernetes.io/manage-backend-security-group-rules" = "true"
          "alb.ingress.kubernetes.io/wafv2-acl-arn"                       = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/onedigest-production/1"
        }
      }
      networkPolicy = {
        enabled   = true
        fromCIDRs = ["10.20.0.0/19", "10.20.32.0/19", "10.20.64.0/19"]
      }
    }
    error_message = "The chart would not make an internal load balancer behind the firewall: ${output.chart_values["production"]}"
  }

  assert {
    condition     = toset(yamldecode(output.chart_values["production"]).networkPolicy.fromCIDRs) == toset(values(aws_subnet.private)[*].cidr_block)
    error_message = "The pods would refuse the internal load balancer: ${output.chart_values["production"]}"
  }

  assert {
    condition     = yamldecode(output.chart_values["staging"]).service.scheme == "internet-facing"
    error_message = "The environment without an edge is no longer reached."
  }

  assert {
    condition     = output.edge["production"] == { url = "https://shop.example.com", ready = false, web_acl_arn = aws_wafv2_web_acl.edge["production"].arn, balancer_security_group_id = "sg-balancer" }
    error_message = "The output says what is not so: ${jsonencode(output.edge)}"
  }
}

# Second apply: from the domain to the load balancer.
run "the_way_in" {
  command = plan

  variables {
    edge = { production = { ingress = "shop" } }
  }

  assert {
    condition = data.aws_lb.edge_ingress["production"].tags == tomap({
      "elbv2.k8s.aws/cluster"    = "onedigest"
      "ingress.k8s.aws/resource" = "LoadBalancer"
      "ingress.k8s.aws/stack"    = "production/shop"
    })
    error_message = "The load balancer is not looked for by the controller's tags."
  }

  assert {
    condition     = data.aws_lb_listener.edge["production"].port == 443 && data.aws_lb_listener.edge["production"].load_balancer_arn == data.aws_lb.edge_ingress["production"].arn
    error_message = "Another listener is taken than the load balancer's HTTPS."
  }

  assert {
    condition = (
      aws_apigatewayv2_integration.edge["production"].integration_type == "HTTP_PROXY" && aws_apigatewayv2_integration.edge["production"].integration_method == "ANY" &&
      aws_apigatewayv2_integration.edge["production"].connection_type == "VPC_LINK" &&
      aws_apigatewayv2_integration.edge["production"].connection_id == aws_apigatewayv2_vpc_link.edge["production"].id &&
      aws_apigatewayv2_integration.edge["production"].integration_uri == data.aws_lb_listener.edge["production"].arn &&
      aws_apigatewayv2_integration.edge["production"].api_id == aws_apigatewayv2_api.edge["production"].id &&
      aws_apigatewayv2_integration.edge["production"].timeout_milliseconds == 29000
    )
    error_message = "The API does not lead through the VPC link to the listener."
  }

  assert {
    condition     = aws_apigatewayv2_integration.edge["production"].tls_config[0].server_name_to_verify == "shop.example.com"
    error_message = "The way to the load balancer is not by TLS, or not checked."
  }

  assert {
    condition     = aws_apigatewayv2_route.edge["production"].route_key == "$default" && aws_apigatewayv2_route.edge["production"].target == "integrations/${aws_apigatewayv2_integration.edge["production"].id}"
    error_message = "Not everything is sent on."
  }

  assert {
    condition     = toset(aws_apigatewayv2_vpc_link.edge["production"].subnet_ids) == toset(values(aws_subnet.private)[*].id) && aws_apigatewayv2_vpc_link.edge["production"].security_group_ids == toset(["sg-link"])
    error_message = "The VPC link is not in the private subnets, or not in its group."
  }

  assert {
    condition     = aws_apigatewayv2_api.edge["production"].protocol_type == "HTTP" && aws_apigatewayv2_api.edge["production"].disable_execute_api_endpoint
    error_message = "There is a second way in."
  }

  assert {
    condition = (
      aws_apigatewayv2_domain_name.edge["production"].domain_name == "shop.example.com" &&
      aws_apigatewayv2_domain_name.edge["production"].domain_name_configuration[0].certificate_arn == "arn:aws:acm:eu-central-1:123456789012:certificate/production" &&
      aws_apigatewayv2_domain_name.edge["production"].domain_name_configuration[0].security_policy == "TLS_1_2" &&
      aws_apigatewayv2_api_mapping.edge["production"].api_id == aws_apigatewayv2_api.edge["production"].id &&
      aws_apigatewayv2_api_mapping.edge["production"].stage == aws_apigatewayv2_stage.edge["production"].id
    )
    error_message = "The domain does not lead to the API."
  }

  assert {
    condition = (
      aws_route53_record.edge["production"].name == "shop.example.com" && aws_route53_record.edge["production"].type == "A" &&
      aws_route53_record.edge["production"].zone_id == var.zone_id &&
      aws_route53_record.edge["production"].alias[0].name == "d-example.execute-api.eu-central-1.amazonaws.com" &&
      aws_route53_record.edge["production"].alias[0].zone_id == "ZAPIGATEWAY"
    )
    error_message = "The name does not resolve to the API."
  }

  assert {
    condition     = output.edge["production"].ready
    error_message = "The output says that it is not ready."
  }
}

# Only the link reaches the load balancer, only on 443; no group is open to addresses.
run "who_reaches_the_load_balancer" {
  command = plan

  variables {
    edge = { production = { ingress = "shop" } }
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.edge_balancer["production"].security_group_id == "sg-balancer" &&
      aws_vpc_security_group_ingress_rule.edge_balancer["production"].referenced_security_group_id == "sg-link" &&
      aws_vpc_security_group_ingress_rule.edge_balancer["production"].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.edge_balancer["production"].cidr_ipv6 == null &&
      aws_vpc_security_group_ingress_rule.edge_balancer["production"].ip_protocol == "tcp" &&
      aws_vpc_security_group_ingress_rule.edge_balancer["production"].from_port == 443 && aws_vpc_security_group_ingress_rule.edge_balancer["production"].to_port == 443
    )
    error_message = "Others than API Gateway reach the load balancer."
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.edge_link["production"].security_group_id == "sg-link" &&
      aws_vpc_security_group_egress_rule.edge_link["production"].referenced_security_group_id == "sg-balancer" &&
      aws_vpc_security_group_egress_rule.edge_link["production"].cidr_ipv4 == null &&
      aws_vpc_security_group_egress_rule.edge_link["production"].from_port == 443 && aws_vpc_security_group_egress_rule.edge_link["production"].to_port == 443
    )
    error_message = "Interfaces of API Gateway reach more than the load balancer."
  }

  assert {
    condition     = alltrue([for group in [aws_security_group.edge_link["production"], aws_security_group.edge_balancer["production"]] : group.vpc_id == aws_vpc.this.id])
    error_message = "A group is not in the VPC."
  }
}

run "firewall" {
  command = plan

  variables {
    edge = {
      production = {
        ingress         = "shop"
        address_limit   = 300
        address_seconds = 60
        managed_rules   = ["AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesSQLiRuleSet"]
        count_rules     = { AWSManagedRulesCommonRuleSet = ["SizeRestrictions_BODY", "NoUserAgent_HEADER"] }
      }
    }
  }

  # On the load balancer: WAF takes no HTTP API.
  assert {
    condition     = aws_wafv2_web_acl_association.edge["production"].resource_arn == data.aws_lb.edge["production"].arn && strcontains(aws_wafv2_web_acl_association.edge["production"].resource_arn, ":loadbalancer/app/") && aws_wafv2_web_acl_association.edge["production"].web_acl_arn == aws_wafv2_web_acl.edge["production"].arn
    error_message = "The firewall is not on the load balancer."
  }

  assert {
    condition     = aws_wafv2_web_acl.edge["production"].scope == "REGIONAL" && length(aws_wafv2_web_acl.edge["production"].default_action[0].allow) == 1
    error_message = "The firewall cannot be put on a load balancer, or lets nothing through."
  }

  assert {
    condition = {
      for rule in aws_wafv2_web_acl.edge["production"].rule : rule.priority => rule.name
      } == {
      0 = "not-through-the-api"
      1 = "too-many-from-one-address"
      2 = "AWSManagedRulesKnownBadInputsRuleSet"
      3 = "AWSManagedRulesCommonRuleSet"
      4 = "AWSManagedRulesSQLiRuleSet"
    }
    error_message = "The rules are not those that were asked for, in their order."
  }

  # The same header is written by the API, over what the caller sent, asked for, and counted by.
  assert {
    condition = (
      aws_apigatewayv2_integration.edge["production"].request_parameters["overwrite:header.x-client-address"] == "$context.identity.sourceIp" &&
      aws_apigatewayv2_integration.edge["production"].request_parameters["overwrite:header.Host"] == "shop.example.com"
    )
    error_message = "The caller's address, or the host that the Ingress is for, does not reach the load balancer: ${jsonencode(aws_apigatewayv2_integration.edge["production"].request_parameters)}"
  }

  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.edge["production"].rule :
      length(rule.action[0].block) == 1 &&
      rule.statement[0].not_statement[0].statement[0].size_constraint_statement[0].field_to_match[0].single_header[0].name == "x-client-address" &&
      rule.statement[0].not_statement[0].statement[0].size_constraint_statement[0].comparison_operator == "GE" &&
      rule.statement[0].not_statement[0].statement[0].size_constraint_statement[0].size == 2
      if rule.priority == 0
    ])
    error_message = "A request that has not come through the API is let in."
  }

  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.edge["production"].rule :
      rule.action[0].block[0].custom_response[0].response_code == 429 &&
      rule.statement[0].rate_based_statement[0].limit == 300 && rule.statement[0].rate_based_statement[0].evaluation_window_sec == 60 &&
      rule.statement[0].rate_based_statement[0].aggregate_key_type == "FORWARDED_IP" &&
      rule.statement[0].rate_based_statement[0].forwarded_ip_config[0].header_name == "x-client-address" &&
      rule.statement[0].rate_based_statement[0].forwarded_ip_config[0].fallback_behavior == "MATCH"
      if rule.priority == 1
    ])
    error_message = "The limit does not count by the caller's address."
  }

  assert {
    condition = {
      for rule in aws_wafv2_web_acl.edge["production"].rule : rule.name => {
        vendor   = rule.statement[0].managed_rule_group_statement[0].vendor_name
        group    = rule.statement[0].managed_rule_group_statement[0].name
        enforced = length(rule.override_action[0].none) == 1
        counted = join(" ", sort([
          for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : override.name if length(override.action_to_use[0].count) == 1
        ]))
      } if rule.priority > 1
      } == {
      AWSManagedRulesKnownBadInputsRuleSet = { vendor = "AWS", group = "AWSManagedRulesKnownBadInputsRuleSet", enforced = true, counted = "" }
      AWSManagedRulesCommonRuleSet         = { vendor = "AWS", group = "AWSManagedRulesCommonRuleSet", enforced = true, counted = "NoUserAgent_HEADER SizeRestrictions_BODY" }
      AWSManagedRulesSQLiRuleSet           = { vendor = "AWS", group = "AWSManagedRulesSQLiRuleSet", enforced = true, counted = "" }
    }
    error_message = "A rule group is not enforced, or other rules than those asked for only count."
  }
}

run "limits_and_logs" {
  command = plan

  variables {
    edge               = { production = { ingress = "shop", requests_per_second = 50, burst = 20 } }
    log_retention_days = 30
  }

  assert {
    condition = (
      aws_apigatewayv2_stage.edge["production"].name == "$default" && aws_apigatewayv2_stage.edge["production"].auto_deploy &&
      aws_apigatewayv2_stage.edge["production"].default_route_settings[0].throttling_rate_limit == 50 &&
      aws_apigatewayv2_stage.edge["production"].default_route_settings[0].throttling_burst_limit == 20
    )
    error_message = "The API is not throttled as asked for."
  }

  assert {
    condition = (
      aws_apigatewayv2_stage.edge["production"].access_log_settings[0].destination_arn == aws_cloudwatch_log_group.edge_api["production"].arn &&
      jsondecode(aws_apigatewayv2_stage.edge["production"].access_log_settings[0].format).status == "$context.status" &&
      jsondecode(aws_apigatewayv2_stage.edge["production"].access_log_settings[0].format).address == "$context.identity.sourceIp" &&
      !strcontains(aws_apigatewayv2_stage.edge["production"].access_log_settings[0].format, "querystring") &&
      !can(regex("authorizer|header", aws_apigatewayv2_stage.edge["production"].access_log_settings[0].format))
    )
    error_message = "Requests are not logged, or with more than who asked for what."
  }

  assert {
    condition = alltrue([
      for group in [aws_cloudwatch_log_group.edge_api["production"], aws_cloudwatch_log_group.edge_firewall["production"]] :
      group.retention_in_days == 30 && group.kms_key_id == aws_kms_key.logs.arn && strcontains(group.name, "onedigest")
    ]) && startswith(aws_cloudwatch_log_group.edge_firewall["production"].name, "aws-waf-logs-")
    error_message = "A log is kept for another time, not encrypted, or named so that the key or WAF refuses it."
  }

  assert {
    condition = (
      aws_wafv2_web_acl_logging_configuration.edge["production"].resource_arn == aws_wafv2_web_acl.edge["production"].arn &&
      toset(aws_wafv2_web_acl_logging_configuration.edge["production"].log_destination_configs) == toset([aws_cloudwatch_log_group.edge_firewall["production"].arn]) &&
      toset(aws_wafv2_web_acl_logging_configuration.edge["production"].redacted_fields[*].single_header[0].name) == toset(["authorization", "cookie"]) &&
      aws_wafv2_web_acl_logging_configuration.edge["production"].logging_filter[0].default_behavior == "DROP"
    )
    error_message = "The firewall does not log what it blocks, or logs credentials."
  }
}

run "a_listener_by_its_arn" {
  command = plan

  variables {
    edge = { production = { listener_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/k8s-production-shop/0123456789abcdef/fedcba9876543210" } }
  }

  assert {
    condition     = length(data.aws_lb.edge_ingress) == 0 && aws_apigatewayv2_integration.edge["production"].integration_uri == var.edge["production"].listener_arn
    error_message = "Another listener is taken than the one given."
  }
}

# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

run "load_balancer_that_faces_the_internet" {
  command = plan

  variables {
    edge = { production = { ingress = "shop" } }
  }

  override_data {
    target          = data.aws_lb.edge["production"]
    override_during = plan
    values          = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/1", internal = false, load_balancer_type = "application" }
  }

  expect_failures = [data.aws_lb.edge["production"]]
}

run "load_balancer_that_takes_no_firewall" {
  command = plan

  variables {
    edge = { production = { ingress = "shop" } }
  }

  override_data {
    target          = data.aws_lb.edge["production"]
    override_during = plan
    values          = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/a/1", internal = true, load_balancer_type = "network" }
  }

  expect_failures = [data.aws_lb.edge["production"]]
}

run "listener_without_tls" {
  command = plan

  variables {
    edge = { production = { ingress = "shop" } }
  }

  override_data {
    target          = data.aws_lb_listener.edge["production"]
    override_during = plan
    values          = { protocol = "HTTP", load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/1" }
  }

  expect_failures = [data.aws_lb_listener.edge["production"]]
}

run "edge_without_domain" {
  command = plan

  variables {
    domain  = ""
    zone_id = null
    edge    = { production = {} }
  }

  expect_failures = [var.edge]
}

run "edge_of_unknown_environment" {
  command = plan

  variables {
    edge = { test = {} }
  }

  expect_failures = [var.edge]
}

run "edge_with_two_origins" {
  command = plan

  variables {
    edge = { production = { ingress = "shop", listener_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/a/0123456789abcdef/fedcba9876543210" } }
  }

  expect_failures = [var.edge]
}

run "edge_ingress_with_namespace" {
  command = plan

  variables {
    edge = { production = { ingress = "production/shop" } }
  }

  expect_failures = [var.edge]
}

run "edge_ingress_wildcard" {
  command = plan

  variables {
    edge = { production = { ingress = "*" } }
  }

  expect_failures = [var.edge]
}

run "edge_listener_of_a_network_load_balancer" {
  command = plan

  variables {
    edge = { production = { listener_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/net/a/0123456789abcdef/fedcba9876543210" } }
  }

  expect_failures = [var.edge]
}

run "edge_listener_is_a_load_balancer" {
  command = plan

  variables {
    edge = { production = { listener_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/0123456789abcdef" } }
  }

  expect_failures = [var.edge]
}

run "edge_rate_zero" {
  command = plan

  variables {
    edge = { production = { requests_per_second = 0 } }
  }

  expect_failures = [var.edge]
}

run "edge_rate_negative" {
  command = plan

  variables {
    edge = { production = { requests_per_second = -1 } }
  }

  expect_failures = [var.edge]
}

run "edge_rate_above_quota" {
  command = plan

  variables {
    edge = { production = { requests_per_second = 10001 } }
  }

  expect_failures = [var.edge]
}

run "edge_burst_zero" {
  command = plan

  variables {
    edge = { production = { burst = 0 } }
  }

  expect_failures = [var.edge]
}

run "edge_burst_above_quota" {
  command = plan

  variables {
    edge = { production = { burst = 5001 } }
  }

  expect_failures = [var.edge]
}

run "edge_address_limit_too_low" {
  command = plan

  variables {
    edge = { production = { address_limit = 9 } }
  }

  expect_failures = [var.edge]
}

run "edge_address_limit_half" {
  command = plan

  variables {
    edge = { production = { address_limit = 10.5 } }
  }

  expect_failures = [var.edge]
}

run "edge_address_seconds_unknown" {
  command = plan

  variables {
    edge = { production = { address_seconds = 90 } }
  }

  expect_failures = [var.edge]
}

run "edge_without_managed_rules" {
  command = plan

  variables {
    edge = { production = { managed_rules = [] } }
  }

  expect_failures = [var.edge]
}

run "edge_managed_rules_unknown" {
  command = plan

  variables {
    edge = { production = { managed_rules = ["AWSManagedRulesEverything"] } }
  }

  expect_failures = [var.edge]
}

run "edge_managed_rules_by_address" {
  command = plan

  variables {
    edge = { production = { managed_rules = ["AWSManagedRulesAmazonIpReputationList"] } }
  }

  expect_failures = [var.edge]
}

run "edge_managed_rules_twice" {
  command = plan

  variables {
    edge = { production = { managed_rules = ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesCommonRuleSet"] } }
  }

  expect_failures = [var.edge]
}

run "edge_counts_in_a_group_it_has_not" {
  command = plan

  variables {
    edge = { production = { count_rules = { AWSManagedRulesSQLiRuleSet = ["SQLi_BODY"] } } }
  }

  expect_failures = [var.edge]
}

run "edge_counts_what_is_no_rule" {
  command = plan

  variables {
    edge = { production = { count_rules = { AWSManagedRulesCommonRuleSet = ["*"] } } }
  }

  expect_failures = [var.edge]
}

run "edge_timeout_zero" {
  command = plan

  variables {
    edge = { production = { timeout_ms = 0 } }
  }

  expect_failures = [var.edge]
}

run "edge_timeout_above_the_limit" {
  command = plan

  variables {
    edge = { production = { timeout_ms = 30001 } }
  }

  expect_failures = [var.edge]
}
