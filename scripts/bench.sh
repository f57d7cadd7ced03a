#!/usr/bin/env bash
# The benchmarks, each next to the tool that it is compared with. Starts a cluster and a registry and deletes them at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

state=$(mktemp -d)
sandbox=/var/lib/onedigest-bench
registry=127.0.0.1:5520
finish() {
  bin/sandbox down --dir "$sandbox" || true
  bin/localaws down --dir "$state/aws" --purge || true
  rm -rf "$state"
}
trap finish EXIT

scripts/build.sh
helm=$(tool helm)
mkdir "$state/tools"
for name in ko crane helm kubectl; do
  at=$(tool "$name")
  ln -s "$at" "$state/tools/$name"
done
bin/localaws up --addr "$registry" --dir "$state/aws" --repository shop=IMMUTABLE --repository gitflow=IMMUTABLE --repository gitflow-peer=IMMUTABLE
# shellcheck source=/dev/null
source <(bin/localaws env --dir "$state/aws")
bin/sandbox up --dir "$sandbox" --registry "$registry" --ecr-endpoint "http://$registry"
KUBECONFIG=$(bin/sandbox kubeconfig --dir "$sandbox")
export KUBECONFIG
image=$(bin/build --repository "$registry/shop" --context app --builder go --platforms "linux/$(go env GOARCH)" --allow-dirty --output json | sed -n 's/^  "image": "\(.*\)",$/\1/p')
ONEDIGEST_BENCH_IMAGE=$image ONEDIGEST_BENCH_HELM=$helm ONEDIGEST_BENCH_TOOLS=$state/tools ONEDIGEST_BENCH_SANDBOX=$sandbox \
  go test ./bench/... -run '^$' -bench "${BENCH:-.}" -benchtime "${BENCHTIME:-10x}" -timeout 30m
