#!/usr/bin/env bash
# Everything: static checks, unit tests with the race detector, and the chain on a real Kubernetes node.
# Needs Linux, root, Go and git. The last lines say what ran and what was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=()

cat <<TXT
onedigest tests
  builds    the test tools into bin/tools, Kubernetes itself once (about 8 minutes on 2 cores, then cached by Go)
  installs  if absent, these Debian packages: containerd runc containernetworking-plugins nftables iptables conntrack iproute2
TXT

# stage NAME COMMAND...: runs one stage; a failure is remembered, and the others still run.
stage() {
  local name=$1 began=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "== $name: passed in $((SECONDS - began)) s"
  else
    echo "== $name: FAILED after $((SECONDS - began)) s"
    failed+=("$name")
  fi
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
  for module in "${modules[@]}"; do
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
  for module in "${modules[@]}"; do
    mapfile -t packages < <(packages_of "$module" | grep -v '^\./e2e$')
    tests "$module" "unit-${module//[.]/root}" -race "${packages[@]}" || status=1
  done
  return "$status"
}

# On the node: the tests start a cluster of their own beside nothing else, and take it away.
node() {
  scripts/build.sh && bin/sandbox build
}

gotestsum=$(tool gotestsum)
stage formatting formatting
stage lint lint
stage workflows "$(tool actionlint)"
stage unit unit
stage kubernetes node
stage sandbox env ONEDIGEST_SANDBOX_TEST=1 bash -c "$(declare -f tests); cd '$root'; gotestsum='$gotestsum' results='$results'; tests sandbox sandbox -count=1 -timeout 15m ./..."
stage end-to-end env ONEDIGEST_E2E=1 bash -c "$(declare -f tests); cd '$root'; gotestsum='$gotestsum' results='$results'; tests . e2e -count=1 -timeout 25m ./e2e"
stage "nothing left behind" bin/sandbox leftovers

count() { cat "$results"/*.json | grep -F '"Test":' | grep -cF "\"Action\":\"$1\"" || true; }
echo
if ((${#failed[@]})); then printf 'FAILED: %s\n' "${failed[@]}"; fi
echo "$(count pass) passed, $(count fail) failed, $(count skip) skipped"
((${#failed[@]} == 0))
