#!/usr/bin/env bash
# Pulls the third-party charts that terraform/platform installs, each at its pinned version (terraform/platform/charts.tf), renders them with Terraform's
# values and checks what their accounts may do. It needs the charts' repositories; the output says which versions were rendered.
#
# With ONEDIGEST_CHARTS set to a directory that has the charts already, each under its name, nothing is pulled, and a version that is not the pinned one is
# rendered and named.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

if [[ -z ${ONEDIGEST_CHARTS:-} ]]; then
  helm=$(tool helm)
  ONEDIGEST_CHARTS=$(mktemp -d)
  trap 'rm -rf "$ONEDIGEST_CHARTS"' EXIT
  export ONEDIGEST_CHARTS
  while read -r repository chart version; do
    "$helm" pull "$chart" --repo "$repository" --version "$version" --untar --untardir "$ONEDIGEST_CHARTS"
  done < <(sed -nE 's/.*repository = "(https:[^"]+)", chart = "([^"]+)", version = "([^"]+)".*/\1 \2 \3/p' terraform/platform/charts.tf)
fi
cd charts/tests
go test -count=1 -v -run '^(TestNobodyReadsEverySecret|TestEveryPinnedChartIsRendered)$' .
