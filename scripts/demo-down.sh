#!/usr/bin/env bash
# Stops the demo's cluster and registry and deletes all their files.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/local.sh

status=0
[[ -x bin/sandbox && -x bin/localaws ]] || scripts/build.sh
bin/sandbox down --dir "$SANDBOX_DIR" || status=$?
bin/localaws down --dir "$LOCALAWS_DIR" --purge || status=$?
exit "$status"
