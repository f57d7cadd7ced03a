#!/usr/bin/env bash
# The checks of the chart that are not Go tests: lint, its README against values.yaml (--write regenerates it), kube-score.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh
chart=charts/service
helm=$(tool helm) docs=$(tool helm-docs) score=$(tool kube-score)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# readme prints the chart's README. helm-docs writes beside values.yaml, so it works on a copy.
readme() {
  cp -r "$chart" "$work/chart"
  "$docs" --log-level warning --sort-values-order file --chart-search-root "$work/chart"
  cat "$work/chart/README.md"
}

if [[ ${1:-} == --write ]]; then
  readme >"$work/README.md"
  mv "$work/README.md" "$chart/README.md"
  exit
fi

failed=0
fail() { echo "$1" >&2; failed=1; }

readme | diff "$chart/README.md" - || fail "$chart/README.md does not match values.yaml; charts/check.sh --write regenerates it"

# A row that ends in an empty cell is a value without a description.
! grep -E '^\| .*\|  \|$' "$chart/README.md" || fail "$chart/values.yaml: these values have no description"

pinned=(--set-string image.repository=registry.example.com/shop --set-string "image.digest=sha256:$(printf '%064d' 0)")
for environment in staging production; do
  values=(--values "terraform/$environment/values-$environment.yaml" "${pinned[@]}")
  "$helm" lint --strict --quiet "$chart" "${values[@]}" || fail "$environment: lint"
  "$helm" template shop "$chart" --namespace "$environment" "${values[@]}" >"$work/$environment.yaml"
done
"$helm" lint --strict --quiet "$chart" --values "$chart/tests/everything.yaml" || fail "everything: lint"

mapfile -t exceptions < <(awk '/^[a-z]/ { print "--" $1 }' "$chart/tests/kube-score.txt")
# scored ENVIRONMENT EXCEPTION...: reports whether kube-score has no complaint.
scored() { "$score" score --kubernetes-version v1.37 --exit-one-on-warning --output-format ci "${@:2}" "$work/$1.yaml" >"$work/score"; }
for environment in staging production; do
  scored "$environment" "${exceptions[@]}" || { grep -Ev '^\[(OK|SKIPPED)\]' "$work/score" || true; fail "$environment: kube-score"; }
done
for exception in "${exceptions[@]}"; do
  others=()
  for other in "${exceptions[@]}"; do [[ $other == "$exception" ]] || others+=("$other"); done
  if scored staging "${others[@]}" && scored production "${others[@]}"; then
    fail "$chart/tests/kube-score.txt: ${exception#--} is not needed any more"
  fi
done

((failed == 0)) && echo "lint, README and kube-score with ${#exceptions[@]} exceptions: passed"
