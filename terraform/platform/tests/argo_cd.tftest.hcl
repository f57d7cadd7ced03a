# Argo CD: not there unless asked for, and then able to touch what its applications name and nothing else.

mock_provider "aws" {
  source = "./tests/mocks"
}
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  argo_cd = {
    address   = "https://argo.example.com"
    oidc      = { issuer = "https://login.example.com", client_id = "argo-cd", secret = "argocd-oidc" }
    viewers   = ["developers"]
    operators = ["platform team"]
    applications = {
      shop-staging    = { environment = "staging", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["shop/common.yaml", "shop/staging.yaml"] }
      shop-production = { environment = "production", release = "shop", repository = "git@git.example.com:team/production.git", branch = "live", path = "rendered/production" }
    }
  }
}

run "argo_cd_is_left_out_unless_asked_for" {
  command = plan

  variables {
    argo_cd = null
  }

  assert {
    condition = (
      length(helm_release.argo_cd) == 0 && length(helm_release.argo_cd_objects) == 0 && length(kubernetes_network_policy_v1.argo_cd) == 0 &&
      !contains(keys(kubernetes_namespace_v1.this), "argocd") && output.argo_cd == null && length(output.applications) == 0
    )
    error_message = "Without Argo CD there is neither a release nor a namespace."
  }
}

run "argo_cd_without_applications_reaches_nothing" {
  command = plan

  variables {
    argo_cd = {}
  }

  assert {
    condition = (
      [for object in yamldecode(helm_release.argo_cd_objects[0].values[0]).objects : "${object.kind} ${object.metadata.name}"] == ["AppProject default"] &&
      yamldecode(helm_release.argo_cd[0].values[0]).configs.clusterCredentials == {} && !can(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["oidc.config"])
    )
    error_message = "Argo CD must be given nothing to synchronise."
  }
}

run "nobody_is_an_administrator_and_nobody_gets_a_shell" {
  command = plan

  assert {
    condition = (
      yamldecode(helm_release.argo_cd[0].values[1]).configs.cm["admin.enabled"] == false && yamldecode(helm_release.argo_cd[0].values[1]).configs.cm["exec.enabled"] == false &&
      yamldecode(helm_release.argo_cd[0].values[1]).configs.cm["users.anonymous.enabled"] == false && yamldecode(helm_release.argo_cd[0].values[1]).configs.rbac["policy.default"] == "" &&
      !anytrue([for key in keys(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm) : contains(["admin.enabled", "exec.enabled"], key)])
    )
    error_message = "There is no local administrator, no anonymous user, no default role and no exec."
  }

  assert {
    condition = yamldecode(helm_release.argo_cd[0].values[0]).configs.rbac["policy.csv"] == join("\n", [
      "p, role:viewer, applications, get, */*, allow",
      "p, role:viewer, projects, get, *, allow",
      "p, role:operator, applications, sync, */*, allow",
      "g, role:operator, role:viewer",
      "g, \"developers\", role:viewer",
      "g, \"platform team\", role:operator",
    ])
    error_message = "Groups look and sync, and nothing else."
  }
}

run "people_sign_in_by_their_issuer" {
  command = plan

  assert {
    condition = yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["oidc.config"]) == {
      name                     = "SSO"
      issuer                   = "https://login.example.com"
      clientID                 = "argo-cd"
      clientSecret             = "$argocd-oidc:clientSecret"
      requestedScopes          = ["openid", "profile", "email", "groups"]
      enablePKCEAuthentication = false
    }
    error_message = "The client's secret is read from its Secret; no secret is in a value."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd[0].values[0]).configs.cm.url == "https://argo.example.com"
    error_message = "The issuer sends people back to the address."
  }
}

run "a_public_client_has_no_secret" {
  command = plan

  variables {
    argo_cd = { oidc = { issuer = "https://login.example.com", client_id = "argo-cd" } }
  }

  assert {
    condition = (
      yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["oidc.config"]).enablePKCEAuthentication &&
      !can(yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["oidc.config"]).clientSecret)
    )
    error_message = "Without a secret the client proves itself by PKCE."
  }
}

run "a_project_touches_its_namespace_alone" {
  command = plan

  assert {
    condition = {
      for object in yamldecode(helm_release.argo_cd_objects[0].values[0]).objects : object.metadata.name => [object.spec.sourceRepos, [for to in object.spec.destinations : "${to.server} ${to.namespace}"]]
      if object.kind == "AppProject"
      } == {
      default    = [[], []]
      staging    = [["https://git.example.com/team/config.git"], ["https://kubernetes.default.svc staging"]]
      production = [["git@git.example.com:team/production.git"], ["https://kubernetes.default.svc production"]]
    }
    error_message = "A project has its environment's repositories and namespace; the one that Argo CD makes itself is closed."
  }

  assert {
    condition = alltrue([
      for object in yamldecode(helm_release.argo_cd_objects[0].values[0]).objects : object.spec.clusterResourceWhitelist == [] && object.metadata.namespace == "argocd" && alltrue([
        for each in try(object.spec.namespaceResourceWhitelist, []) :
        !contains(["Secret", "*"], each.kind) && !contains(["*", "rbac.authorization.k8s.io", "argoproj.io"], each.group)
      ]) if object.kind == "AppProject"
    ])
    error_message = "No object outside of a namespace, no Secret and no permission comes from a configuration repository."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd_objects[0].values[0]).objects[0].spec.namespaceResourceBlacklist == [{ group = "*", kind = "*" }]
    error_message = "The project default is open."
  }
}

# The resources are those of the deploy's Role for charts/service, but Secrets and permissions.
run "the_kinds_are_the_charts" {
  command = plan

  assert {
    condition = sort([for each in local.argo_cd_kinds : "${each.group}/${lower(each.kind)}"]) == sort([
      for each in flatten([
        for rule in yamldecode(split("\n---\n", file("../../docs/rbac/role.yaml"))[1]).rules : [for resource in rule.resources : "${rule.apiGroups[0]}/${resource == "ingresses" ? "ingress" : resource == "networkpolicies" ? "networkpolicy" : trimsuffix(resource, "s")}"]
      ]) : each if !contains(["/secret", "rbac.authorization.k8s.io/role", "rbac.authorization.k8s.io/rolebinding"], each)
    ])
    error_message = "Argo CD's kinds are not those of docs/rbac/role.yaml without Secrets, Roles and RoleBindings."
  }

  assert {
    condition = alltrue([
      for each in yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["resource.inclusions"]) :
      !can(each.clusters) && !contains(each.kinds, "Secret") && !contains(each.kinds, "*") && !contains(each.apiGroups, "*")
    ]) && length(yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["resource.inclusions"])) == length(local.argo_cd_kinds) + 2
    error_message = "Argo CD watches what it applies, pods and ReplicaSets, in whatever cluster: with an address that is not the one it connects to, it would watch everything."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd[0].values[0]).configs.clusterCredentials.in-cluster.namespaces == "production,staging"
    error_message = "Argo CD looks into the namespaces of its applications only."
  }
}

run "an_application_owns_a_release" {
  command = plan

  assert {
    condition = yamldecode(helm_release.argo_cd_objects[0].values[0]).objects[4] == {
      apiVersion = "argoproj.io/v1alpha1"
      kind       = "Application"
      metadata   = { name = "shop-staging", namespace = "argocd" }
      spec = {
        project     = "staging"
        destination = { server = "https://kubernetes.default.svc", namespace = "staging" }
        source = {
          repoURL = "https://git.example.com/team/config.git", targetRevision = "main", path = "charts/service"
          helm    = { releaseName = "shop", valueFiles = ["/shop/common.yaml", "/shop/staging.yaml"] }
        }
        syncPolicy = { automated = { prune = true, selfHeal = true }, retry = { limit = 5 } }
      }
    }
    error_message = "The Application must apply the chart with the values files, as deploy --via argo-cd expects it."
  }

  assert {
    condition = yamldecode(helm_release.argo_cd_objects[0].values[0]).objects[3].spec.source == {
      repoURL = "git@git.example.com:team/production.git", targetRevision = "live", path = "rendered/production", directory = { recurse = false }
    }
    error_message = "Without values files the Application applies rendered manifests."
  }

  assert {
    condition = output.applications == {
      shop-production = "--via argo-cd --application argocd/shop-production --environment production --namespace production --release shop --config-repository git@git.example.com:team/production.git --config-branch live --config-path rendered/production"
      shop-staging    = "--via argo-cd --application argocd/shop-staging --environment staging --namespace staging --release shop --config-repository https://git.example.com/team/config.git --config-branch main --chart charts/service --values shop/common.yaml --values shop/staging.yaml"
    }
    error_message = "The output does not name the deploy's settings."
  }

  assert {
    condition     = helm_release.argo_cd_objects[0].take_ownership && yamldecode(helm_release.argo_cd[0].values[0]).crds.keep
    error_message = "The project that Argo CD makes is taken over, and an uninstall leaves the definitions."
  }
}

run "argo_cd_is_not_reachable_from_outside" {
  command = plan

  assert {
    condition = (
      yamldecode(helm_release.argo_cd[0].values[0]).server.service.type == "ClusterIP" && !yamldecode(helm_release.argo_cd[0].values[0]).server.ingress.enabled &&
      !yamldecode(helm_release.argo_cd[0].values[1]).global.networkPolicy.create && contains(keys(kubernetes_network_policy_v1.default_deny), "argocd") &&
      toset(keys(kubernetes_network_policy_v1.argo_cd)) == toset(["argocd-redis", "argocd-repo-server"])
    )
    error_message = "Only Argo CD's own parts connect to one another."
  }
}

# ── What runs on a node ─────────────────────────────────────────────────────────────────────────────────────────────────

# argo_cd.json is what the end-to-end test TestGitOps gives to the real Argo CD: its ConfigMap, its credentials for the cluster and its objects.
run "the_end_to_end_tests_run_this" {
  command = plan

  variables {
    argo_cd = {
      applications = {
        shop-production = { environment = "production", release = "shop", repository = "https://git.example.com/team/config.git", path = "charts/service", values = ["shop/production.yaml"] }
      }
    }
  }

  assert {
    condition = jsonencode(jsondecode(file("tests/argo_cd.json"))) == jsonencode({
      cm          = { for key, value in merge(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm, yamldecode(helm_release.argo_cd[0].values[1]).configs.cm) : key => value if key != "resource.inclusions" }
      inclusions  = yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["resource.inclusions"])
      credentials = yamldecode(helm_release.argo_cd[0].values[0]).configs.clusterCredentials
      objects     = yamldecode(helm_release.argo_cd_objects[0].values[0]).objects
    })
    error_message = "tests/argo_cd.json is not what is planned, which is: ${jsonencode({
      cm          = { for key, value in merge(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm, yamldecode(helm_release.argo_cd[0].values[1]).configs.cm) : key => value if key != "resource.inclusions" }
      inclusions  = yamldecode(yamldecode(helm_release.argo_cd[0].values[0]).configs.cm["resource.inclusions"])
      credentials = yamldecode(helm_release.argo_cd[0].values[0]).configs.clusterCredentials
      objects     = yamldecode(helm_release.argo_cd_objects[0].values[0]).objects
    })}"
  }
}
