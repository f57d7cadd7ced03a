# One environment alone, as where each has an account of its own: then each account has its own state.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "an_environment_in_an_account_of_its_own" {
  command = plan

  variables {
    environments = { production = { namespace = "production" } }
  }

  assert {
    condition     = tomap(output.cluster_of) == tomap({ production = "onedigest" }) && toset([for deployment in values(local.deployments) : deployment.environment]) == toset(["production"])
    error_message = "Something of another environment is made."
  }

  assert {
    condition     = alltrue([for name in keys(output.github_variables) : !endswith(name, "_STAGING")])
    error_message = "The variables name an environment that is in another account: ${join(", ", keys(output.github_variables))}."
  }
}
