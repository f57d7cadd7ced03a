# Shared by every directory: tflint --config="$PWD/terraform/.tflint.hcl" --chdir=terraform/aws_infra
# The Terraform rules come with tflint itself, so that no plugin is fetched.
tflint {
  required_version = ">= 0.60"
}

plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Variables, locals and outputs are kept in a file for each concern, not in one large one.
rule "terraform_standard_module_structure" {
  enabled = false
}
