# The Cluster Autoscaler's permissions (why this and not Karpenter: README). It finds the node groups' Auto Scaling groups by the
# tags that EKS puts on them, and may change only those that carry this cluster's.

locals {
  cluster_autoscaler_policy = {
    for key, cluster in local.clusters : key => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "autoscaling:DescribeAutoScalingGroups",
          "autoscaling:DescribeAutoScalingInstances",
          "autoscaling:DescribeLaunchConfigurations",
          "autoscaling:DescribeScalingActivities",
          "autoscaling:DescribeTags",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeLaunchTemplateVersions",
          "ec2:GetInstanceTypesFromInstanceRequirements",
        ]
        Resource = ["*"] # these actions take no narrower resource
        }, {
        Sid    = "LookAtEmptyGroups" # labels and taints of a group that has no node yet
        Effect = "Allow"
        Action = ["eks:DescribeNodegroup"]
        Resource = [
          "arn:${local.partition}:eks:${var.region}:${local.account_id}:nodegroup/${cluster.name}/*/*"
        ]
        }, {
        Sid    = "Scale"
        Effect = "Allow"
        Action = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource = [
          "arn:${local.partition}:autoscaling:${var.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/*"
        ]
        Condition = {
          StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${cluster.name}" = "owned" }
        }
      }]
    })
  }
}
