#!/usr/bin/env bash
# Takes the demo's cluster and registry away, to the last file.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/local.sh

status=0
[[ -x bin/sandbox && -x bin/localaws ]] || scripts/build.sh
bin/sandbox down --dir "$SANDBOX_DIR" || status=$?
bin/localaws down --dir "$LOCALAWS_DIR" --purge || status=$?
exit "$status"
