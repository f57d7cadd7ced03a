#!/usr/bin/env bash
# Tries to bring an image to production that staging has not proved, as somebody who may push to the registry but has no key. Builds cosign once, which
# judges the same images. Starts a cluster and a registry of its own, and deletes them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

echo "building the programs, and cosign once, which takes minutes and is cached by Go afterwards"
scripts/build.sh
ONEDIGEST_COSIGN=$(tool cosign)
export ONEDIGEST_COSIGN ONEDIGEST_E2E=1
go test ./e2e -run '^TestTampering$' -count=1 -v -timeout 20m
