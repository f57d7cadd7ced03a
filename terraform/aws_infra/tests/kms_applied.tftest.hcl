# The public halves of the evidence keys are read once the keys are there, so this applies, against mocks.

mock_provider "aws" {
  source = "./tests/mocks"

  override_data {
    target = data.aws_kms_public_key.evidence["staging"]
    values = { public_key_pem = "-----BEGIN PUBLIC KEY-----\nstaging\n-----END PUBLIC KEY-----\n" }
  }

  override_data {
    target = data.aws_kms_public_key.build[""]
    values = { public_key_pem = "-----BEGIN PUBLIC KEY-----\nbuild\n-----END PUBLIC KEY-----\n" }
  }

  override_data {
    target = data.aws_kms_public_key.evidence["production"]
    values = { public_key_pem = "-----BEGIN PUBLIC KEY-----\nproduction\n-----END PUBLIC KEY-----\n" }
  }
}

run "public_keys_are_outputs" {
  assert {
    condition = alltrue([
      for environment in ["staging", "production"] :
      output.evidence_keys[environment].arn == aws_kms_key.evidence[environment].arn &&
      output.evidence_keys[environment].public_key == "-----BEGIN PUBLIC KEY-----\n${environment}\n-----END PUBLIC KEY-----\n"
    ])
    error_message = "The public key is missing from the output, or is another key's: ${jsonencode(output.evidence_keys)}"
  }

  assert {
    condition = output.build_keys == {
      build = { arn = aws_kms_key.build[""].arn, alias = "alias/onedigest-provenance", public_key = "-----BEGIN PUBLIC KEY-----\nbuild\n-----END PUBLIC KEY-----\n" }
    }
    error_message = "The builds' key is missing from the output: ${jsonencode(output.build_keys)}"
  }

  # What the workflows read, each under the name that .github/workflows/deployment.yaml looks for.
  assert {
    condition = toset(keys(output.github_variables)) == toset([
      "AWS_REGION", "ECR_REPOSITORY", "AWS_ROLE_BUILD", "AWS_ROLE_PLAN", "AWS_ROLE_STAGING", "AWS_ROLE_PRODUCTION", "EKS_CLUSTER_STAGING", "EKS_CLUSTER_PRODUCTION",
      "EVIDENCE_KEY_BUILD", "EVIDENCE_KEY_STAGING", "EVIDENCE_KEY_PRODUCTION", "DEPLOY_RUNNER_STAGING", "DEPLOY_RUNNER_PRODUCTION",
    ])
    error_message = "The workflows' variables have other names: ${jsonencode(keys(output.github_variables))}"
  }
}
