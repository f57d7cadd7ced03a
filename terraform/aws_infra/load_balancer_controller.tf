# The AWS Load Balancer Controller's permissions: what its project documents for 2.13 and later, less Cognito, WAF Classic and
# buying Shield protections. Where that asks for the controller's tag, this asks for this cluster's, so that two clusters of one
# account cannot touch each other's load balancers; rules of security groups are kept to this VPC.

locals {
  load_balancer_controller_tag = "elbv2.k8s.aws/cluster"

  elb_arn = "arn:${local.partition}:elasticloadbalancing:${var.region}:${local.account_id}"
  ec2_arn = "arn:${local.partition}:ec2:${var.region}:${local.account_id}"

  load_balancer_controller_policy = {
    for key, cluster in local.clusters : key => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "ServiceLinkedRole"
        Effect    = "Allow"
        Action    = ["iam:CreateServiceLinkedRole"]
        Resource  = ["arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"]
        Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
        }, {
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "acm:DescribeCertificate",
          "acm:ListCertificates",
          "ec2:DescribeAccountAttributes",
          "ec2:DescribeAddresses",
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeCoipPools",
          "ec2:DescribeInstances",
          "ec2:DescribeInternetGateways",
          "ec2:DescribeIpamPools",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets",
          "ec2:DescribeTags",
          "ec2:DescribeVpcPeeringConnections",
          "ec2:DescribeVpcs",
          "ec2:GetCoipPoolUsage",
          "ec2:GetSecurityGroupsForVpc",
          "elasticloadbalancing:DescribeCapacityReservation",
          "elasticloadbalancing:DescribeListenerAttributes",
          "elasticloadbalancing:DescribeListenerCertificates",
          "elasticloadbalancing:DescribeListeners",
          "elasticloadbalancing:DescribeLoadBalancerAttributes",
          "elasticloadbalancing:DescribeLoadBalancers",
          "elasticloadbalancing:DescribeRules",
          "elasticloadbalancing:DescribeSSLPolicies",
          "elasticloadbalancing:DescribeTags",
          "elasticloadbalancing:DescribeTargetGroupAttributes",
          "elasticloadbalancing:DescribeTargetGroups",
          "elasticloadbalancing:DescribeTargetHealth",
          "elasticloadbalancing:DescribeTrustStores",
          "iam:GetServerCertificate",
          "iam:ListServerCertificates",
          "shield:DescribeProtection",
          "shield:GetSubscriptionState",
          "waf-regional:GetWebACL",
          "waf-regional:GetWebACLForResource",
          "wafv2:GetWebACL",
          "wafv2:GetWebACLForResource",
        ]
        Resource = ["*"]
        }, {
        Sid      = "WebAclOfALoadBalancer"
        Effect   = "Allow"
        Action   = ["wafv2:AssociateWebACL", "wafv2:DisassociateWebACL", "elasticloadbalancing:SetWebAcl"]
        Resource = ["${local.elb_arn}:loadbalancer/app/*/*", "arn:${local.partition}:wafv2:${var.region}:${local.account_id}:regional/webacl/*/*"]
        }, {
        # Rules on groups that are not the controller's own: it opens the cluster's group to its load balancers.
        Sid       = "SecurityGroupRules"
        Effect    = "Allow"
        Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
        Resource  = ["${local.ec2_arn}:security-group/*"]
        Condition = { ArnEquals = { "ec2:Vpc" = aws_vpc.this.arn } }
        }, {
        Sid      = "MakeSecurityGroup"
        Effect   = "Allow"
        Action   = ["ec2:CreateSecurityGroup"]
        Resource = ["${local.ec2_arn}:security-group/*", aws_vpc.this.arn]
        }, {
        Sid      = "TagNewSecurityGroup"
        Effect   = "Allow"
        Action   = ["ec2:CreateTags"]
        Resource = ["${local.ec2_arn}:security-group/*"]
        Condition = {
          StringEquals = {
            "ec2:CreateAction"                                     = "CreateSecurityGroup"
            "aws:RequestTag/${local.load_balancer_controller_tag}" = cluster.name
          }
        }
        }, {
        # Its own groups: other tags may change, the one that says whose they are may not.
        Sid      = "TagOwnSecurityGroup"
        Effect   = "Allow"
        Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
        Resource = ["${local.ec2_arn}:security-group/*"]
        Condition = {
          Null         = { "aws:RequestTag/${local.load_balancer_controller_tag}" = "true" }
          StringEquals = { "aws:ResourceTag/${local.load_balancer_controller_tag}" = cluster.name }
        }
        }, {
        Sid       = "RemoveOwnSecurityGroup"
        Effect    = "Allow"
        Action    = ["ec2:DeleteSecurityGroup"]
        Resource  = ["${local.ec2_arn}:security-group/*"]
        Condition = { StringEquals = { "aws:ResourceTag/${local.load_balancer_controller_tag}" = cluster.name } }
        }, {
        Sid       = "MakeLoadBalancer"
        Effect    = "Allow"
        Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
        Resource  = ["*"]
        Condition = { StringEquals = { "aws:RequestTag/${local.load_balancer_controller_tag}" = cluster.name } }
        }, {
        Sid      = "TagNewLoadBalancer"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags"]
        Resource = ["${local.elb_arn}:targetgroup/*/*", "${local.elb_arn}:loadbalancer/net/*/*", "${local.elb_arn}:loadbalancer/app/*/*"]
        Condition = {
          StringEquals = {
            "elasticloadbalancing:CreateAction"                    = ["CreateTargetGroup", "CreateLoadBalancer"]
            "aws:RequestTag/${local.load_balancer_controller_tag}" = cluster.name
          }
        }
        }, {
        Sid      = "TagOwnLoadBalancer"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
        Resource = ["${local.elb_arn}:targetgroup/*/*", "${local.elb_arn}:loadbalancer/net/*/*", "${local.elb_arn}:loadbalancer/app/*/*"]
        Condition = {
          Null         = { "aws:RequestTag/${local.load_balancer_controller_tag}" = "true" }
          StringEquals = { "aws:ResourceTag/${local.load_balancer_controller_tag}" = cluster.name }
        }
        }, {
        Sid    = "ChangeOwnLoadBalancer"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:DeleteLoadBalancer",
          "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:ModifyCapacityReservation",
          "elasticloadbalancing:ModifyIpPools",
          "elasticloadbalancing:ModifyListenerAttributes",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "elasticloadbalancing:ModifyTargetGroup",
          "elasticloadbalancing:ModifyTargetGroupAttributes",
          "elasticloadbalancing:SetIpAddressType",
          "elasticloadbalancing:SetSecurityGroups",
          "elasticloadbalancing:SetSubnets",
        ]
        Resource  = ["*"]
        Condition = { StringEquals = { "aws:ResourceTag/${local.load_balancer_controller_tag}" = cluster.name } }
        }, {
        Sid    = "Listeners"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:AddListenerCertificates",
          "elasticloadbalancing:CreateListener",
          "elasticloadbalancing:CreateRule",
          "elasticloadbalancing:DeleteListener",
          "elasticloadbalancing:DeleteRule",
          "elasticloadbalancing:ModifyListener",
          "elasticloadbalancing:ModifyRule",
          "elasticloadbalancing:RemoveListenerCertificates",
          "elasticloadbalancing:SetRulePriorities",
        ]
        Resource = ["${local.elb_arn}:loadbalancer/*", "${local.elb_arn}:listener/*", "${local.elb_arn}:listener-rule/*"]
        }, {
        Sid      = "TagListeners"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
        Resource = flatten([for kind in ["net", "app"] : ["${local.elb_arn}:listener/${kind}/*/*/*", "${local.elb_arn}:listener-rule/${kind}/*/*/*"]])
        }, {
        # Target groups made by hand, bound by a TargetGroupBinding, carry no tag of the controller.
        Sid      = "Targets"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
        Resource = ["${local.elb_arn}:targetgroup/*/*"]
      }]
    })
  }
}
