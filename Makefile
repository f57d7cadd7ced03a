# A newcomer needs two commands: `make demo` and `make test`.
GO   ?= go
BIN  := $(CURDIR)/bin

.DEFAULT_GOAL := help
.PHONY: help demo demo-tampering demo-down test check build reference thirdparty publish-chart bench

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## one commit to production on this machine: a real Kubernetes node, a registry that behaves like ECR
	@scripts/demo.sh

demo-tampering: ## what somebody who may push, but has no key, can make production run: nothing
	@scripts/demo-tampering.sh

demo-down: ## stop and delete the demo's cluster and registry
	@scripts/demo-down.sh

test: ## everything: static checks, unit tests with the race detector, the chain on a real node
	@scripts/test.sh

check: ## the fast inner loop: format, vet, lint, dead code, unit tests
	@scripts/check.sh

build: ## build the verbs and the sandbox into bin/
	@scripts/build.sh

reference: ## regenerate action.yml of every action, docs/reference.md, docs/troubleshooting.md, docs/rbac/role.yaml, the chart's README, Terraform's tables
	$(GO) test ./internal/app -run 'TestReference' -update
	$(GO) test ./internal/release/causes -run 'TestTroubleshooting' -update
	$(GO) test ./internal/kube -run 'TestRoleFile' -update
	charts/check.sh --write
	scripts/terraform.sh --tables

thirdparty: ## pull and render the third-party charts of terraform/platform at their pinned versions, and check what they grant
	@scripts/thirdparty.sh

publish-chart: ## publish the common chart: TO=HOST/PATH/service, with the credentials of docker
	$(GO) run ./cmd/publishchart --to "$(TO)"

bench: ## the figures, against crane and helm in the same run
	@scripts/bench.sh
