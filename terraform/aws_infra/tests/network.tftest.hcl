# The network: which subnets there are, where each one's way out leads, and what is open to whom.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "a_public_and_a_private_subnet_in_each_zone" {
  command = plan

  assert {
    condition = (
      keys(aws_subnet.public) == ["eu-central-1a", "eu-central-1b", "eu-central-1c"] &&
      keys(aws_subnet.private) == keys(aws_subnet.public)
    )
    error_message = "not one public and one private subnet in each zone: ${jsonencode([keys(aws_subnet.public), keys(aws_subnet.private)])}"
  }

  assert {
    condition = alltrue([
      for zone, subnet in merge(aws_subnet.public, aws_subnet.private) :
      subnet.availability_zone == zone && subnet.vpc_id == aws_vpc.this.id
    ])
    error_message = "a subnet is in another zone or VPC than its key says"
  }

  assert {
    condition = {
      for zone, subnet in aws_subnet.private : zone => subnet.cidr_block
    } == { "eu-central-1a" = "10.20.0.0/19", "eu-central-1b" = "10.20.32.0/19", "eu-central-1c" = "10.20.64.0/19" }
    error_message = "private ranges: ${jsonencode(values(aws_subnet.private)[*].cidr_block)}"
  }

  assert {
    condition = {
      for zone, subnet in aws_subnet.public : zone => subnet.cidr_block
    } == { "eu-central-1a" = "10.20.224.0/22", "eu-central-1b" = "10.20.228.0/22", "eu-central-1c" = "10.20.232.0/22" }
    error_message = "public ranges: ${jsonencode(values(aws_subnet.public)[*].cidr_block)}"
  }

  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private)) : subnet.map_public_ip_on_launch == false])
    error_message = "a subnet gives out public addresses"
  }

  # What the AWS Load Balancer Controller finds subnets by.
  assert {
    condition = alltrue([
      for subnet in values(aws_subnet.public) :
      subnet.tags["kubernetes.io/role/elb"] == "1" && !contains(keys(subnet.tags), "kubernetes.io/role/internal-elb")
    ])
    error_message = "public subnets are not marked for load balancers that face the internet, and for these only"
  }

  assert {
    condition = alltrue([
      for subnet in values(aws_subnet.private) :
      subnet.tags["kubernetes.io/role/internal-elb"] == "1" && !contains(keys(subnet.tags), "kubernetes.io/role/elb")
    ])
    error_message = "private subnets are not marked for internal load balancers, and for these only"
  }
}

run "public_subnets_leave_by_the_internet_gateway" {
  command = plan

  assert {
    condition = (
      aws_route.public_internet.destination_cidr_block == "0.0.0.0/0" &&
      aws_route.public_internet.gateway_id == aws_internet_gateway.this.id &&
      aws_route.public_internet.route_table_id == aws_route_table.public.id
    )
    error_message = "the public default route does not lead to the internet gateway"
  }

  assert {
    condition = alltrue([
      for zone, association in aws_route_table_association.public :
      association.subnet_id == aws_subnet.public[zone].id && association.route_table_id == aws_route_table.public.id
    ]) && length(aws_route_table_association.public) == 3
    error_message = "a public subnet is not in the public route table"
  }
}

run "private_subnets_leave_by_their_own_zones_nat_gateway" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_eip.nat) == 3
    error_message = "not one NAT gateway in each zone: ${jsonencode(keys(aws_nat_gateway.this))}"
  }

  assert {
    condition = alltrue([
      for zone, gateway in aws_nat_gateway.this :
      gateway.subnet_id == aws_subnet.public[zone].id && gateway.allocation_id == aws_eip.nat[zone].id
    ])
    error_message = "a NAT gateway is not in its zone's public subnet"
  }

  assert {
    condition = alltrue([
      for zone, route in aws_route.private_nat : route.destination_cidr_block == "0.0.0.0/0" &&
      route.nat_gateway_id == aws_nat_gateway.this[zone].id && route.route_table_id == aws_route_table.private[zone].id
    ]) && length(aws_route.private_nat) == 3
    error_message = "a private default route does not lead to its zone's NAT gateway"
  }

  assert {
    condition     = length(distinct(values(aws_route.private_nat)[*].nat_gateway_id)) == 3
    error_message = "zones share a NAT gateway"
  }

  assert {
    condition = alltrue([
      for zone, association in aws_route_table_association.private :
      association.subnet_id == aws_subnet.private[zone].id && association.route_table_id == aws_route_table.private[zone].id
    ]) && length(aws_route_table_association.private) == 3
    error_message = "a private subnet is not in its zone's route table"
  }

  assert {
    condition     = length(setintersection(values(aws_route_table.private)[*].id, [aws_route_table.public.id])) == 0
    error_message = "a private subnet would use the public route table"
  }
}

run "one_nat_gateway_for_all_where_asked" {
  command = plan

  variables {
    nat_gateways = "single"
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && keys(aws_eip.nat) == ["eu-central-1a"]
    error_message = "not one NAT gateway, in the first zone: ${jsonencode(keys(aws_nat_gateway.this))}"
  }

  assert {
    condition = (
      keys(aws_route.private_nat) == ["eu-central-1a", "eu-central-1b", "eu-central-1c"] &&
      alltrue([for route in values(aws_route.private_nat) : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id])
    )
    error_message = "not every private subnet leaves by it"
  }
}

run "two_zones_in_the_order_given" {
  command = plan

  variables {
    zones    = ["b", "a"]
    vpc_cidr = "10.64.0.0/20"
  }

  assert {
    condition = (
      { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } ==
      { "eu-central-1b" = "10.64.0.0/23", "eu-central-1a" = "10.64.2.0/23" }
    )
    error_message = "private ranges: ${jsonencode({ for zone, subnet in aws_subnet.private : zone => subnet.cidr_block })}"
  }

  assert {
    condition = (
      { for zone, subnet in aws_subnet.public : zone => subnet.cidr_block } ==
      { "eu-central-1b" = "10.64.14.0/26", "eu-central-1a" = "10.64.14.64/26" }
    )
    error_message = "public ranges: ${jsonencode({ for zone, subnet in aws_subnet.public : zone => subnet.cidr_block })}"
  }
}

run "ranges_of_an_address_plan" {
  command = plan

  variables {
    zones = ["a", "b"]
    subnets = {
      a = { public = "10.20.0.0/26", private = "10.20.16.0/20" }
      b = { public = "10.20.0.64/26", private = "10.20.32.0/20" }
    }
  }

  assert {
    condition = (
      aws_subnet.public["eu-central-1b"].cidr_block == "10.20.0.64/26" &&
      aws_subnet.private["eu-central-1a"].cidr_block == "10.20.16.0/20"
    )
    error_message = "the given ranges were not taken"
  }
}

run "nothing_is_open_to_the_world" {
  command = plan

  variables {
    interface_endpoints   = ["ecr.api", "ecr.dkr", "sts"]
    endpoint_public_cidrs = ["198.51.100.0/24"]
    databases             = { production = {} }
  }

  assert {
    condition = alltrue([
      for rule in concat(
        aws_vpc_security_group_ingress_rule.endpoints,
        values(aws_vpc_security_group_ingress_rule.cluster_api),
        values(aws_vpc_security_group_ingress_rule.database)
      ) :
      !contains(["0.0.0.0/0", "::/0"], coalesce(rule.cidr_ipv4, "none")) && rule.ip_protocol == "tcp" && rule.from_port == rule.to_port
    ])
    error_message = "a security group admits the world, or more than one port"
  }

  # Rules written inside a group would escape the check above. null: none written.
  assert {
    condition = alltrue([
      for group in concat(aws_security_group.endpoints, values(aws_security_group.nodes), values(aws_security_group.database)) :
      !strcontains(jsonencode([group.ingress, group.egress]), "/0\"")
    ])
    error_message = "a security group has rules for the world"
  }

  assert {
    condition = (
      length(aws_default_security_group.this.ingress) == 0 &&
      length(aws_default_security_group.this.egress) == 0 &&
      aws_default_security_group.this.vpc_id == aws_vpc.this.id
    )
    error_message = "the VPC's default security group has rules"
  }
}

run "s3_by_a_gateway_endpoint_from_every_subnet" {
  command = plan

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-central-1.s3"
    error_message = "S3's endpoint is not a gateway"
  }

  assert {
    condition     = toset(aws_vpc_endpoint.s3.route_table_ids) == toset(concat([aws_route_table.public.id], values(aws_route_table.private)[*].id))
    error_message = "S3's endpoint is not in every route table"
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "interface endpoints cost and were not asked for"
  }
}

run "interface_endpoints_where_asked" {
  command = plan

  variables {
    interface_endpoints = ["ecr.api", "sts"]
  }

  assert {
    condition = (
      [for endpoint in values(aws_vpc_endpoint.interface) : endpoint.service_name] ==
      ["com.amazonaws.eu-central-1.ecr.api", "com.amazonaws.eu-central-1.sts"]
    )
    error_message = "endpoints: ${jsonencode(values(aws_vpc_endpoint.interface)[*].service_name)}"
  }

  assert {
    condition = alltrue([
      for endpoint in values(aws_vpc_endpoint.interface) : endpoint.vpc_endpoint_type == "Interface" && endpoint.private_dns_enabled &&
      toset(endpoint.subnet_ids) == toset(values(aws_subnet.private)[*].id) &&
      toset(endpoint.security_group_ids) == toset([aws_security_group.endpoints[0].id])
    ])
    error_message = "an interface endpoint is not in the private subnets, under its usual name, behind its group"
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.endpoints[0].cidr_ipv4 == "10.20.0.0/16" &&
      aws_vpc_security_group_ingress_rule.endpoints[0].from_port == 443
    )
    error_message = "interface endpoints do not admit HTTPS from the VPC, and that only"
  }
}

run "flow_logs_are_kept_encrypted" {
  command = plan

  variables {
    log_retention_days = 90
  }

  assert {
    condition = (
      aws_flow_log.this.vpc_id == aws_vpc.this.id &&
      aws_flow_log.this.traffic_type == "REJECT" &&
      aws_flow_log.this.log_destination == aws_cloudwatch_log_group.flow.arn
    )
    error_message = "the connections that the VPC refuses are not logged"
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow.kms_key_id == aws_kms_key.logs.arn && aws_cloudwatch_log_group.flow.retention_in_days == 90
    error_message = "flow logs are not encrypted with the key for logs, or not kept as long as asked"
  }

  assert {
    condition     = aws_kms_key.logs.enable_key_rotation
    error_message = "the key for logs does not rotate"
  }

  # The service may use the key for groups of this account that carry the name.
  assert {
    condition = (
      jsondecode(aws_kms_key.logs.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] ==
      "arn:aws:logs:eu-central-1:123456789012:log-group:*onedigest*"
    )
    error_message = "CloudWatch Logs may use the key for other groups"
  }

  assert {
    condition     = jsondecode(aws_iam_role.flow.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "the flow logs of another account could take the role"
  }
}
