#!/usr/bin/env bash
# The fast inner loop: format, vet, unit tests, lint and dead code of every module, without the race detector and without a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
[[ -z $unformatted ]] || { printf 'gofmt would change:\n%s\n' "$unformatted"; exit 1; }
for module in "${linted[@]}"; do
  echo "== $module"
  mapfile -t packages < <(packages_of "$module")
  (
    cd "$module"
    go vet "${packages[@]}" # builds what it vets
    [[ " ${modules[*]} " != *" $module "* ]] || go test "${packages[@]}"
    "$(tool golangci-lint)" run --config "$root/.golangci.yaml" "${packages[@]}"
  )
done
echo "== dead code"
scripts/deadcode.sh
