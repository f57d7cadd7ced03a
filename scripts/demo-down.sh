#!/usr/bin/env bash
# Takes the demo's cluster and registry away, to the last file.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/local.sh

status=0
if [[ -x bin/sandbox && -x bin/localaws ]]; then
  bin/sandbox down --dir "$SANDBOX_DIR" || status=$?
  bin/localaws down --dir "$LOCALAWS_DIR" --purge || status=$?
else
  scripts/build.sh
  exec "$0"
fi
exit "$status"
