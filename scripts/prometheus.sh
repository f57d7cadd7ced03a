#!/usr/bin/env bash
# Unpacks Prometheus and promtool from Debian's package into bin/prometheus, once, without installing it: no service, no user, no
# file outside bin/. Prints the path of prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."

at=bin/prometheus/prometheus
if [[ ! -x $at || ! -x bin/prometheus/promtool ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # The package lists may be missing, or older than the archive.
  fetch() { (cd "$scratch" && apt-get download -o APT::Sandbox::User=root prometheus) >&2; }
  fetch || { apt-get update -qq >&2 && fetch; }
  dpkg -x "$scratch"/prometheus_*.deb "$scratch/unpacked"
  mkdir -p bin/prometheus
  cp "$scratch/unpacked/usr/share/doc/prometheus/copyright" bin/prometheus/
  cp "$scratch/unpacked/usr/bin/promtool" bin/prometheus/promtool.new
  mv bin/prometheus/promtool.new bin/prometheus/promtool
  # Moved last and atomically, so that an interrupted run starts again.
  cp "$scratch/unpacked/usr/bin/prometheus" "$at.new"
  mv "$at.new" "$at"
fi
echo "$(pwd -P)/$at"
