#!/usr/bin/env bash
# Everything: static checks, unit tests with the race detector, and the chain on a real Kubernetes node.
# Needs Linux, root, Go and git. The last lines report what failed and what was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=() skipped=()

cat <<TXT
onedigest tests
  builds    the test tools into bin/tools, Kubernetes itself once (about 9 minutes on 2 cores, then cached by Go), Argo CD once (about 5 minutes), kube-router once (about 2)
  unpacks   Debian's prometheus and docker-registry into bin/, without installing them
  installs  if absent, these Debian packages: containerd runc containernetworking-plugins nftables shellcheck gcc libc6-dev
            chromium-headless-shell fonts-dejavu-core npm redis-server iptables ipset iproute2
  uses      Debian's postgresql if it is installed; without it, the tests of the sample's database are listed at the end as not run
TXT

# stage NAME COMMAND...: runs one stage. After a failure the other stages still run. Exit status 77 means that a part was skipped.
stage() {
  local name=$1 began=$SECONDS status=0
  shift
  echo "== $name"
  "$@" || status=$?
  case $status in
    0) echo "== $name: passed in $((SECONDS - began)) s" ;;
    77) echo "== $name: a part was SKIPPED (above), the rest passed in $((SECONDS - began)) s"; skipped+=("$name") ;;
    *) echo "== $name: FAILED after $((SECONDS - began)) s"; failed+=("$name") ;;
  esac
}

# tests MODULE NAME ARGUMENTS...: go test through gotestsum, which lists failures and skips at its end.
tests() {
  local module=$1 name=$2
  shift 2
  (cd "$module" && "$gotestsum" --format pkgname --jsonfile "$results/$name.json" -- "$@")
}

lint() {
  local module golangci
  golangci=$(tool golangci-lint)
  for module in "${linted[@]}"; do
    mapfile -t packages < <(packages_of "$module")
    (cd "$module" && go vet "${packages[@]}" && "$golangci" run --config "$root/.golangci.yaml" "${packages[@]}") || return 1
  done
}

formatting() {
  local unformatted
  unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
  [[ -z $unformatted ]] || { printf 'gofmt would change:\n%s\n' "$unformatted"; return 1; }
}

unit() {
  local module status=0
  ONEDIGEST_COSIGN=$(tool cosign) || return 1
  ONEDIGEST_DISTRIBUTION=$(scripts/unpack.sh docker-registry docker-registry)/docker-registry || return 1
  ONEDIGEST_DISTRIBUTION_3=$(tool registry) || return 1
  export ONEDIGEST_COSIGN ONEDIGEST_DISTRIBUTION ONEDIGEST_DISTRIBUTION_3
  local browser
  browser=$(scripts/browser.sh) || return 1
  eval "$browser"
  tool k6 >/dev/null || return 1 # which the checks of docs/checks run
  for module in "${modules[@]}"; do
    mapfile -t packages < <(packages_of "$module" | grep -v '^\./e2e')
    tests "$module" "unit-$(tr ./ r- <<<"$module")" -race "${packages[@]}" || status=1
  done
  return "$status"
}

# footprint lists what a cluster could leave behind on the machine: mounts, interfaces, rules and sets of its firewall, control groups, processes, files.
footprint() {
  cut -d' ' -f2 /proc/mounts | sort | sed 's/^/mount /'
  find /sys/class/net -mindepth 1 -printf 'interface %f\n' | sort
  if command -v iptables-save >/dev/null; then iptables-save | sed -nE 's/ \[[0-9:]+\]$//; s/^[*:-]/rule &/p'; fi
  if command -v nft >/dev/null; then nft list tables | sort | sed 's/^/firewall /'; fi
  if command -v ipset >/dev/null; then ipset list -name | sort | sed 's/^/ipset /'; fi
  find /sys/fs/cgroup -maxdepth 3 -type d \( -iname '*sandbox*' -o -iname '*onedigest*' -o -iname 'kubepods*' \) -printf 'cgroup %p\n' | sort
  grep -laE '[b]in/(kube|kube-router|sandbox|localaws)|[c]ontainerd.*onedigest' /proc/[0-9]*/cmdline 2>/dev/null | grep -v "^/proc/$$/" | sed 's/^/process /' || true
  find /var/lib /run /tmp -maxdepth 1 -name 'onedigest*' -printf 'file %p\n' | sort
}

nothing_left() { diff <(printf '%s\n' "$before") <(footprint) && echo "mounts, interfaces, firewall, control groups, processes and files are as before"; }

# The first start compiles Kubernetes and shows the progress; the tests after it use what it built.
kubernetes() { bin/sandbox up --dir /var/lib/onedigest-test && bin/sandbox down --dir /var/lib/onedigest-test; }

# The race detector needs a C compiler.
packages() {
  local missing=()
  command -v shellcheck >/dev/null || missing+=(shellcheck)
  command -v gcc >/dev/null || missing+=(gcc libc6-dev)
  ((${#missing[@]} == 0)) && return
  echo "installing ${missing[*]}"
  apt-get update -qq && apt-get install -y -qq "${missing[@]}" >/dev/null
}

shell() {
  shellcheck -x actions/run.sh deploy.sh scripts/*.sh charts/*.sh docs/checks/*.sh .ci/run
}

# Tests the rules of terraform/platform with Prometheus' own engine.
alerts() {
  local prometheus
  prometheus=$(scripts/unpack.sh prometheus promtool prometheus) && (cd terraform/platform/rules && "$prometheus/promtool" test rules slo_test.yaml)
}

# Deploys by commits that the real Argo CD applies, on a node of its own.
argocd() {
  if ! command -v redis-server >/dev/null; then
    echo "installing redis-server"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null
  fi
  ONEDIGEST_ARGOCD=$(scripts/argocd.sh) && tool helm >/dev/null || return 1
  ONEDIGEST_ARGOCD=$ONEDIGEST_ARGOCD tests . argocd -count=1 -timeout 10m -run '^TestGitOps$' ./e2e
}

# Enforces the NetworkPolicies of the environments and of the platform with kube-router, on a node of its own.
policies() {
  local missing=()
  command -v iptables >/dev/null || missing+=(iptables)
  command -v ipset >/dev/null || missing+=(ipset)
  command -v ip >/dev/null || missing+=(iproute2)
  if ((${#missing[@]})); then
    echo "installing ${missing[*]}"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  ONEDIGEST_KUBE_ROUTER=$(scripts/kuberouter.sh) || return 1
  ONEDIGEST_KUBE_ROUTER=$ONEDIGEST_KUBE_ROUTER tests . policies -count=1 -timeout 10m -run '^TestNetworkPolicies$' ./e2e
}

# Debian keeps the programs of PostgreSQL, which the tests of the sample's database need, outside of PATH.
for directory in /usr/lib/postgresql/*/bin; do PATH=$PATH:$directory; done
gotestsum=$(tool gotestsum)
before=$(footprint)
stage packages packages
stage formatting formatting
stage lint lint
stage "dead code" scripts/deadcode.sh
stage security scripts/security.sh
stage workflows "$(tool actionlint)"
stage shell shell
stage chart charts/check.sh
stage terraform scripts/terraform.sh
stage "platform's alerts" alerts
stage unit unit
stage build scripts/build.sh
stage kubernetes kubernetes
export ONEDIGEST_SANDBOX_TEST=1 ONEDIGEST_E2E=1
export CGO_ENABLED=0 # as scripts/build.sh, whose packages the tests below use
mapfile -t sandbox_packages < <(packages_of devenv/sandbox)
stage sandbox tests devenv/sandbox sandbox -count=1 -timeout 20m "${sandbox_packages[@]}"
stage release tests . release -count=1 -timeout 20m ./e2e/release
stage "argo cd" argocd
stage "network policies" policies
stage end-to-end tests . e2e -count=1 -timeout 55m ./e2e
stage "nothing left behind" nothing_left

# The tests that were skipped, by name: those of the unit stage that a later stage ran are not among them.
not_run() {
  local ran='"Action":"(pass|fail)"' name='s/.*"Package":"([^"]*)","Test":"([^"]*)".*/\1 \2/'
  comm -23 <(cat "$results"/*.json | grep -F '"Action":"skip"' | grep -F '"Test":' | sed -E "$name" | sort -u) \
    <(cat "$results"/*.json | grep -E "$ran" | grep -F '"Test":' | sed -E "$name" | sort -u)
}

count() { cat "$results"/*.json | grep -F '"Test":' | grep -cF "\"Action\":\"$1\"" || true; }
echo
if ((${#skipped[@]})); then printf 'SKIPPED in part: %s\n' "${skipped[@]}"; fi
if ((${#failed[@]})); then printf 'FAILED: %s\n' "${failed[@]}"; fi
not_run | sed 's/^/NOT RUN: /'
echo "$(count pass) passed, $(count fail) failed, $(count skip) skipped"
((${#failed[@]} == 0))
