mock_data "aws_eks_cluster" {
  defaults = {
    endpoint              = "https://example.eks.amazonaws.com"
    certificate_authority = [{ data = "" }]
  }
}
