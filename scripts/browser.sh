#!/usr/bin/env bash
# Makes a browser without a window and the accessibility checker axe available, for the tests of pages. Prints the variables that the tests read.
set -euo pipefail
cd "$(dirname "$0")/.."

# The package's program itself: the one on PATH is a script that outlives its signals.
browser=/usr/lib/chromium/chromium-headless-shell
if [[ ! -x $browser ]]; then
  echo "installing chromium-headless-shell and a font" >&2
  install() { apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core >/dev/null; }
  install || { apt-get update -qq >&2 && install; }
fi

version=4.10.3 sum=0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292
axe=bin/tools/axe-$version.js
if [[ ! -f $axe ]]; then
  if ! command -v npm >/dev/null; then
    echo "installing npm" >&2
    apt-get install -y -qq --no-install-recommends npm >/dev/null
  fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && npm pack --silent "axe-core@$version" >/dev/null)
  sha256sum --check --quiet <<<"$sum  $scratch/axe-core-$version.tgz"
  tar -xzf "$scratch/axe-core-$version.tgz" -C "$scratch" package/axe.min.js
  mkdir -p bin/tools
  mv "$scratch/package/axe.min.js" "$axe"
fi
echo "export ONEDIGEST_BROWSER=$browser ONEDIGEST_AXE=$(pwd -P)/$axe"
