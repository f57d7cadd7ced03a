#!/usr/bin/env bash
# Lists the functions that neither a program nor a test can reach, and fails if there are any. The analysis takes most of a minute,
# so a module that passed is analysed again only after one of its Go files has changed (bin/deadcode has the marks).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

# fingerprint prints a hash of everything that the analysis of a module depends on.
fingerprint() {
  local path=$1 module
  local -a excluded=()
  for module in "${modules[@]}"; do
    [[ $module == "$1" || $module == . ]] || excluded+=(":!$module")
  done
  {
    go version
    echo "${tools[deadcode]}"
    git ls-files -z -co --exclude-standard -- "$path/*.go" "$path/go.mod" "$path/go.sum" "${excluded[@]}" | sort -z |
      xargs -0 sha256sum 2>/dev/null || true # a file that was deleted and is still in the index
  } | sha256sum | cut -d' ' -f1
}

deadcode=$(tool deadcode)
status=0
mkdir -p bin/deadcode
for module in "${modules[@]}"; do
  mark=bin/deadcode/$(fingerprint "$module")
  [[ ! -e $mark ]] || continue
  mapfile -t packages < <(packages_of "$module")
  found=$(cd "$module" && "$deadcode" -test "${packages[@]}")
  if [[ -n $found ]]; then
    printf 'unreachable in module %s:\n%s\n' "$module" "$found"
    status=1
    continue
  fi
  touch "$mark"
done
exit "$status"
