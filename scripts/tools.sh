# shellcheck shell=bash
# The pinned tools of the checks, built once into bin/tools from their Go modules. Sourced by the scripts.
root=$(pwd -P)

declare -A tools=(
  [golangci-lint]=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
  [deadcode]=golang.org/x/tools/cmd/deadcode@v0.40.0
  [gosec]=github.com/securego/gosec/v2/cmd/gosec@v2.30.0
  [actionlint]=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
  [act]=github.com/nektos/act@v0.2.89
  [gotestsum]=gotest.tools/gotestsum@v1.13.0
  [helm]=helm.sh/helm/v3/cmd/helm@v3.22.0
  [k6]=go.k6.io/k6@v1.8.1
  [helm-docs]=github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
  [kube-score]=github.com/zegl/kube-score/cmd/kube-score@v1.20.0
  [tflint]=github.com/terraform-linters/tflint@v0.64.0
  [terraform-docs]=github.com/terraform-docs/terraform-docs@v0.22.0
  [cosign]=github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
  [ko]=github.com/google/ko@v0.19.1
  [crane]=github.com/google/go-containerregistry/cmd/crane@v0.22.1
  [kubectl]=k8s.io/kubernetes/cmd/kubectl@v1.37.2
  [registry]=github.com/distribution/distribution/v3/cmd/registry@v3.1.1
  [trivy]=github.com/aquasecurity/trivy/cmd/trivy@v0.70.0
)

# Extra environment for a tool's build.
declare -A environments=(
  [trivy]="GOEXPERIMENT=jsonv2 CGO_ENABLED=0"
)

# tool prints the path of a tool, and builds this version first if necessary.
tool() {
  local module=${tools[$1]:?no such tool} at
  at=$root/bin/tools/$1-${module##*@}
  if [[ ! -x $at ]]; then
    echo "building $module (once)" >&2
    install_go "$1" "$module" >&2 || return 1
    mv "$root/bin/tools/building/$1" "$at" || return 1
  fi
  echo "$at"
}

# install_go builds a module's program. A module proxy that lists no versions of a module still serves a version that a go.mod
# requires.
install_go() {
  local name=$1 module=${2%@*} version=${2#*@} scratch status=0
  local -a extra=()
  read -r -a extra <<<"${environments[$name]:-}"
  env "${extra[@]}" GOBIN="$root/bin/tools/building" GOFLAGS="" go install "$2" && return
  scratch=$(mktemp -d)
  (
    cd "$scratch"
    printf 'module tool\n\ngo 1.26\n\nrequire %s %s\n' "${module%/cmd/*}" "$version" >go.mod
    # Kubernetes requires its own modules at v0.0.0; the sandbox's go.mod says which versions these are.
    [[ $module != k8s.io/kubernetes/* ]] || sed -n '/^replace (/,/^)/p' "$root/devenv/sandbox/go.mod" >>go.mod
    env "${extra[@]}" GOBIN="$root/bin/tools/building" GOFLAGS=-mod=mod go install "$module"
  ) || status=1
  rm -rf "$scratch"
  return "$status"
}

# The Go modules of the repository whose tests run by themselves.
# shellcheck disable=SC2034 # for the scripts that source this
modules=(. app charts/tests devenv/sandbox)

# The modules that are vetted and linted. The tests of docs/checks/contract need the service that they check;
# TestTheCommandsOfTheDocsRun in internal/app runs them.
# shellcheck disable=SC2034
linted=("${modules[@]}" docs/checks/contract)

# packages_of lists a module's packages, as patterns relative to it. Kubernetes itself (devenv/sandbox/kube) is left out: it
# compiles for minutes, and `sandbox up` builds it when it is needed.
packages_of() {
  (cd "$root/$1" && go list -f '{{.Dir}}' ./... | sed "s#^$(pwd -P)#.#" | grep -v '^\./kube$')
}
