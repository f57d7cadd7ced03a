#!/usr/bin/env bash
# run.sh VERB: finds or builds the verb's binary and replaces itself with it.
#
# The settings are INPUT_* variables, which this script does not read. The last line is an exec, because the runner sends SIGINT
# and SIGTERM to the step's own process only.
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

# The runner empties RUNNER_TEMP before every job, so the binary is built once for each job, from this job's sources.
[[ -n ${RUNNER_TEMP:-} ]] || fail "RUNNER_TEMP is not set; outside of GitHub Actions use: go run ./cmd/$verb" 2
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
read -r key _ < <(printf '%s' "$root" | cksum)
dir=$RUNNER_TEMP/onedigest/$key
binary=$dir/$verb
if [[ -x $binary ]]; then
  exec "$binary"
fi

# go.mod has the version that the sources need.
needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")
advice="add actions/setup-go with go-version '${needed%.*}' before this step, or set ONEDIGEST_BIN to a directory with the binaries"
command -v go >/dev/null || fail "building $verb needs Go $needed and there is no go on the PATH; $advice" 3
# With GOTOOLCHAIN=auto, go downloads the version in go.mod; with local, which setup-go sets, it fails here.
if ! have=$(cd -- "$root" && go env GOVERSION 2>&1); then
  fail "building $verb needs Go $needed: ${have##*$'\n'}; $advice" 3
fi
[[ ${have##*$'\n'} =~ go([0-9.]+) && $(printf '%s\n' "$needed" "${BASH_REMATCH[1]}" | sort -V | head -n 1) == "$needed" ]] ||
  fail "building $verb needs Go $needed and the PATH has ${have##*$'\n'}; $advice" 3

mkdir -p -- "$dir"
part=$dir/.$verb.$$
# In the background, because bash handles a signal only after its foreground command has ended, and compiling takes long. The
# caller's workspace, vendoring and target platform are settings for the caller's code and are reset here.
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
# Moved atomically: a concurrent step must not start an incomplete binary.
[[ ! -e $part ]] || mv -f -- "$part" "$binary"
exec "$binary"
