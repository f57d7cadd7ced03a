#!/usr/bin/env bash
# run.sh VERB: find or build the verb's binary and become it.
#
# The settings arrive as INPUT_* variables and are not looked at here. The last line is an exec: the runner sends SIGINT
# and SIGTERM to the step's own process only, so that process has to be the verb.
set -euo pipefail

fail() {
  printf 'onedigest: %s\n' "$1" >&2
  exit "$2"
}

[[ $# -eq 1 ]] || fail "usage: run.sh build|deploy|smoke|promote" 2
verb=$1
case $verb in
  build | deploy | smoke | promote) ;;
  *) fail "command $(printf '%q' "$verb") is none of build, deploy, smoke, promote" 2 ;;
esac
# The root action's own input; no verb knows it.
unset INPUT_COMMAND

if [[ -n ${ONEDIGEST_BIN:-} && -x $ONEDIGEST_BIN/$verb ]]; then
  exec "$ONEDIGEST_BIN/$verb"
fi

# RUNNER_TEMP is emptied before every job and belongs to it, so what is built here is built once a job and from nobody
# else's sources.
[[ -n ${RUNNER_TEMP:-} ]] || fail "RUNNER_TEMP is not set; outside of GitHub Actions use: go run ./cmd/$verb" 2
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
read -r key _ < <(printf '%s' "$root" | cksum)
dir=$RUNNER_TEMP/onedigest/$key
binary=$dir/$verb
if [[ -x $binary ]]; then
  exec "$binary"
fi

# go.mod's own word is what the sources need.
needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")
advice="add actions/setup-go with go-version '${needed%.*}' before this step, or set ONEDIGEST_BIN to a directory with the binaries"
command -v go >/dev/null || fail "building $verb needs Go $needed and there is no go on the PATH; $advice" 3
# With GOTOOLCHAIN=auto, go fetches what go.mod asks for; with local, which setup-go sets, it says no here.
if ! have=$(cd -- "$root" && go env GOVERSION 2>&1); then
  fail "building $verb needs Go $needed: ${have##*$'\n'}; $advice" 3
fi
[[ ${have##*$'\n'} =~ go([0-9.]+) && $(printf '%s\n' "$needed" "${BASH_REMATCH[1]}" | sort -V | head -n 1) == "$needed" ]] ||
  fail "building $verb needs Go $needed and the PATH has ${have##*$'\n'}; $advice" 3

mkdir -p -- "$dir"
part=$dir/.$verb.$$
# In the background, for bash hears a signal only when its foreground command has ended, and a compile is long. The caller's
# workspace, vendoring and target platform are about the caller's code; they are kept away from ours.
(
  if command -v flock >/dev/null; then
    exec 9>"$dir/lock"
    flock 9
    [[ ! -x $binary ]] || exit 0
  fi
  cd -- "$root"
  export GOWORK=off
  unset GOOS GOARCH
  exec go build -mod=readonly -buildvcs=false -ldflags='-s -w' -o "$part" "./cmd/$verb"
) &
builder=$!
trap 'kill -TERM "$builder" 2>/dev/null || true; rm -f -- "$part"; exit 130' INT TERM
wait "$builder" || fail "building $verb from $root failed" 3
trap - INT TERM
# Whole or not at all: a step that comes second must never start half a binary.
[[ ! -e $part ]] || mv -f -- "$part" "$binary"
exec "$binary"
