#!/usr/bin/env bash
# Runs gosec on every module.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

# Not reported: G104 (errcheck does it); G204, G304 and G703, because this project runs compilers and reads the files of a work
# tree; for the sandbox, G301 and G302, because the users of its containers need its directories, and G115, its one case of which
# is a hash.
gosec=$(tool gosec)
for module in "${linted[@]}"; do
  mapfile -t packages < <(packages_of "$module")
  exclude=G104,G204,G304,G703
  [[ $module != devenv/sandbox ]] || exclude+=,G115,G301,G302
  (cd "$module" && "$gosec" -quiet -confidence=medium -exclude="$exclude" "${packages[@]}")
done
