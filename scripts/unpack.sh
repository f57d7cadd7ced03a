#!/usr/bin/env bash
# unpack.sh PACKAGE PROGRAM...: unpacks programs of a Debian package into bin/PACKAGE, once, without installing it: no service, no user, no
# file outside bin/. Prints the directory.
set -euo pipefail
cd "$(dirname "$0")/.."

package=$1 at=bin/$1
shift
missing=0
for program; do [[ -x $at/$program ]] || missing=1; done
if ((missing)); then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # The package lists may be missing, or older than the archive.
  fetch() { (cd "$scratch" && apt-get download -o APT::Sandbox::User=root "$package") >&2; }
  fetch || { apt-get update -qq >&2 && fetch; }
  dpkg -x "$scratch/$package"_*.deb "$scratch/unpacked"
  mkdir -p "$at"
  cp "$scratch/unpacked/usr/share/doc/$package/copyright" "$at/"
  # Moved atomically, so that an interrupted run starts again.
  for program; do cp "$scratch/unpacked/usr/bin/$program" "$at/$program.new" && mv "$at/$program.new" "$at/$program"; done
fi
echo "$(pwd -P)/$at"
