# What is refused, before anything is read.

mock_provider "aws" {
  source = "./tests/mocks"
}
mock_provider "helm" {}
mock_provider "kubernetes" {}

run "a_cluster_that_aws_infra_does_not_make" {
  command = plan
  variables {
    cluster_name = "somebody-elses"
  }
  expect_failures = [var.cluster_name]
}

run "two_environments_on_one_environments_cluster" {
  command = plan
  variables {
    cluster_name = "onedigest-staging"
  }
  expect_failures = [var.environments]
}

run "the_other_environment_on_a_cluster" {
  command = plan
  variables {
    cluster_name = "onedigest-staging"
    environments = { production = { namespace = "production" } }
  }
  expect_failures = [var.environments]
}

run "an_environment_in_an_add_ons_namespace" {
  command = plan
  variables {
    environments = { staging = { namespace = "monitoring" } }
  }
  expect_failures = [var.environments]
}

run "an_environment_in_kubernetes_own_namespace" {
  command = plan
  variables {
    environments = { staging = { namespace = "kube-system" } }
  }
  expect_failures = [var.environments]
}

run "an_environment_with_the_name_of_argo_cds_closed_project" {
  command = plan
  variables {
    environments = { default = { namespace = "shop" } }
    argo_cd      = { address = "https://argocd.example.com" }
  }
  expect_failures = [var.argo_cd]
}

run "no_environment" {
  command = plan
  variables {
    environments = {}
  }
  expect_failures = [var.environments]
}

run "a_negative_volume" {
  command = plan
  variables {
    metrics = { volume_gib = -50 }
  }
  expect_failures = [var.metrics]
}

run "no_prometheus" {
  command = plan
  variables {
    metrics = { replicas = 0 }
  }
  expect_failures = [var.metrics]
}

run "half_a_day_of_metrics" {
  command = plan
  variables {
    metrics = { days = 0.5 }
  }
  expect_failures = [var.metrics]
}

run "logs_for_no_time" {
  command = plan
  variables {
    logs = { days = 0 }
  }
  expect_failures = [var.logs]
}

run "a_negative_log_volume" {
  command = plan
  variables {
    logs = { volume_gib = -1 }
  }
  expect_failures = [var.logs]
}

run "no_load_balancer_controller" {
  command = plan
  variables {
    load_balancer_controller_replicas = -1
  }
  expect_failures = [var.load_balancer_controller_replicas]
}

run "a_topic_in_another_region" {
  command = plan
  variables {
    without_alerts  = false
    alert_topic_arn = "arn:aws:sns:us-east-1:123456789012:alerts"
  }
  expect_failures = [var.alert_topic_arn]
}

run "an_autoscaler_of_no_version" {
  command = plan
  variables {
    cluster_autoscaler_image_tag = "latest"
  }
  expect_failures = [var.cluster_autoscaler_image_tag]
}

# Not refused, but reported: the plan goes on with a warning.
run "an_autoscaler_of_another_kubernetes" {
  command = plan
  variables {
    cluster_autoscaler_image_tag = "v1.34.0"
  }
  expect_failures = [check.cluster_autoscaler_fits]
}

run "a_region_that_is_none" {
  command = plan
  variables {
    region = "Frankfurt"
  }
  expect_failures = [var.region]
}

run "an_account_of_eleven_digits" {
  command = plan
  variables {
    allowed_account_ids = ["12345678901"]
  }
  expect_failures = [var.allowed_account_ids]
}

run "a_cluster_name_too_long_for_its_bucket" {
  command = plan

  variables {
    cluster_name = "onedigest-a-very-long-name-of-an-environment"
  }

  expect_failures = [var.cluster_name]
}

run "alerts_that_reach_nobody" {
  command = plan
  variables {
    without_alerts = false
  }
  expect_failures = [var.alert_topic_arn]
}

run "a_topic_and_nobody" {
  command = plan
  variables {
    alert_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alerts"
    without_alerts  = true
  }
  expect_failures = [var.alert_topic_arn]
}

# ── Argo CD ────────────────────────────────────────────────────────────────────────────────────────────────────

run "an_application_of_an_environment_that_is_not_here" {
  command = plan
  variables {
    argo_cd = { applications = { shop-qa = { environment = "qa", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["shop/staging.yaml"] } } }
  }
  expect_failures = [var.argo_cd]
}

run "two_applications_of_one_release" {
  command = plan
  variables {
    argo_cd = { applications = { a = { environment = "staging", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["shop/staging.yaml"] }, b = { environment = "staging", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["shop/staging.yaml"] } } }
  }
  expect_failures = [var.argo_cd]
}

run "a_configuration_repository_with_a_token_in_it" {
  command = plan
  variables {
    argo_cd = { applications = { a = { environment = "staging", release = "shop", repository = "https://x:token@git.example.com/team/config.git", path = "charts/service", values = ["shop/staging.yaml"] } } }
  }
  expect_failures = [var.argo_cd]
}

run "every_configuration_repository" {
  command = plan
  variables {
    argo_cd = { applications = { a = { environment = "staging", release = "shop", repository = "*", path = "charts/service", values = ["shop/staging.yaml"] } } }
  }
  expect_failures = [var.argo_cd]
}

run "values_from_outside_of_the_chart" {
  command = plan
  variables {
    argo_cd = { applications = { a = { environment = "staging", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["../../etc/passwd"] } } }
  }
  expect_failures = [var.argo_cd]
}

run "secrets_by_a_commit" {
  command = plan
  variables {
    argo_cd = { kinds = [{ group = "", kind = "Secret" }] }
  }
  expect_failures = [var.argo_cd]
}

run "permissions_by_a_commit" {
  command = plan
  variables {
    argo_cd = { kinds = [{ group = "rbac.authorization.k8s.io", kind = "RoleBinding" }] }
  }
  expect_failures = [var.argo_cd]
}

run "every_kind" {
  command = plan
  variables {
    argo_cd = { kinds = [{ group = "*", kind = "*" }] }
  }
  expect_failures = [var.argo_cd]
}

run "viewers_of_no_issuer" {
  command = plan
  variables {
    argo_cd = { viewers = ["developers"] }
  }
  expect_failures = [var.argo_cd]
}

run "a_group_that_is_a_policy" {
  command = plan
  variables {
    argo_cd = { viewers = ["a, role:admin"], oidc = { issuer = "https://login.example.com", client_id = "argo-cd" } }
  }
  expect_failures = [var.argo_cd]
}

run "an_issuer_without_tls" {
  command = plan
  variables {
    argo_cd = { oidc = { issuer = "http://login.example.com", client_id = "argo-cd" } }
  }
  expect_failures = [var.argo_cd]
}
