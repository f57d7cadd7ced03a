# shellcheck shell=bash
# The tools that the checks use, each pinned, built once into bin/tools from its Go module. Sourced by the scripts.
root=$(pwd -P)

declare -A tools=(
  [golangci-lint]=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
  [gosec]=github.com/securego/gosec/v2/cmd/gosec@v2.30.0
  [actionlint]=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
  [act]=github.com/nektos/act@v0.2.89
  [gotestsum]=gotest.tools/gotestsum@v1.13.0
  [helm]=helm.sh/helm/v3/cmd/helm@v3.22.0
)

# tool prints the path of a tool and builds it first if this version is not there.
tool() {
  local module=${tools[$1]:?no such tool} at
  at=$root/bin/tools/$1-${module##*@}
  if [[ ! -x $at ]]; then
    echo "building $module (once)" >&2
    GOBIN=$root/bin/tools/building GOFLAGS="" go install "$module" >&2 || return 1
    mv "$root/bin/tools/building/$1" "$at" || return 1
  fi
  echo "$at"
}

# The Go modules of the repository.
# shellcheck disable=SC2034 # for the scripts that source this
modules=(. app sandbox)

# packages_of lists a module's packages, as patterns relative to it. Kubernetes itself (sandbox/kube) is left out: it
# compiles for minutes, and `sandbox up` builds it when it is needed.
packages_of() {
  (cd "$root/$1" && go list -f '{{.Dir}}' ./... | sed "s#^$(pwd -P)#.#" | grep -v '^\./kube$')
}
