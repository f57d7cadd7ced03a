#!/bin/bash -p
# run.sh VERB: finds or builds the verb's binary and replaces itself with it.
#
# The settings are INPUT_* variables, which this script does not read. The last line is an exec, because the runner sends SIGINT
# and SIGTERM to the step's own process only.
#
# An earlier step may have set any variable of the job, and the work tree may hold anything, but the verbs have credentials. So
# nothing of the work tree is executed, and what compiles the verbs gets an environment of its own. `bash -p` takes no functions,
# options or start-up file from the environment; until PATH is clean, only builtins are used.
set -euo pipefail

fail() {
  printf 'onedigest: %s\n' "$1" >&2
  exit "$2"
}

[[ $# -eq 1 ]] || fail "usage: run.sh build|deploy|smoke|promote" 2
verb=$1
case $verb in
  build | deploy | smoke | promote) ;;
  *) fail "command $(printf '%q' "$verb") is not one of build, deploy, smoke, promote" 2 ;;
esac
# INPUT_COMMAND is the root action's own input; no verb knows it. The others load code into the programs that a verb starts.
unset INPUT_COMMAND BASH_ENV ENV LD_AUDIT LD_LIBRARY_PATH LD_PRELOAD

workspace=$(cd -P -- "${GITHUB_WORKSPACE:-$PWD}" && pwd -P) || fail "the work tree $(printf '%q' "${GITHUB_WORKSPACE:-$PWD}") cannot be read" 2

# inside_workspace DIRECTORY: whether an absolute path without links is in the work tree.
inside_workspace() { [[ $1/ == "$workspace"/* ]]; }

# directory PATH: the path without links, or an error if it is no directory.
directory() { cd -P -- "$1" 2>/dev/null && pwd -P; }

clean_path='' rest=$PATH:
while [[ -n $rest ]]; do
  entry=${rest%%:*} rest=${rest#*:}
  [[ $entry == /* ]] || continue
  real=$(directory "$entry") || continue
  if inside_workspace "$real"; then
    printf 'onedigest: %q of PATH is in the work tree and is not used\n' "$entry" >&2
  else
    clean_path+=${clean_path:+:}$entry
  fi
done
export PATH=$clean_path

if [[ -n ${ONEDIGEST_BIN:-} && -x $ONEDIGEST_BIN/$verb ]]; then
  real=$(directory "$ONEDIGEST_BIN") || fail "ONEDIGEST_BIN cannot be read" 2
  ! inside_workspace "$real" || fail "ONEDIGEST_BIN $(printf '%q' "$ONEDIGEST_BIN") is in the work tree, whose programs get no credentials; use a directory outside" 2
  exec "$ONEDIGEST_BIN/$verb"
fi

# The runner empties RUNNER_TEMP before every job and lets no step change the variable, so the binary is built once for each job,
# from this job's sources.
[[ -n ${RUNNER_TEMP:-} ]] || fail "RUNNER_TEMP is not set; outside of GitHub Actions use: go run ./cmd/$verb" 2
source=${BASH_SOURCE[0]}
[[ $source == */* ]] || source=./$source
root=$(cd -P -- "${source%/*}/.." && pwd -P)
read -r key _ < <(printf '%s' "$root" | cksum)
shared=$RUNNER_TEMP/onedigest
dir=$shared/$key
binary=$dir/$verb
if [[ -x $binary ]]; then
  exec "$binary"
fi

# go.mod has the version that the sources need.
needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")
advice="add actions/setup-go with go-version '${needed%.*}' before this step, or set ONEDIGEST_BIN to a directory with the binaries"
go=$(command -v go) || fail "building $verb needs Go $needed and there is no go on the PATH; $advice" 3
mkdir -p -- "$dir" "$shared/home" "$shared/tmp"

# The caches are new in every job. Modules that another cache has are copied from it, and from GOPROXY otherwise: go.sum, and the
# checksum database for toolchains, say what they must contain, so neither has to be trusted.
# Without GOPROXY, the go command's own default holds.
proxy=${GOPROXY:-$(cd -- "$shared" && env -i PATH="$PATH" HOME="$shared/home" GOENV=off GOTOOLCHAIN=local "$go" env GOPROXY 2>/dev/null)} || true
proxy=${proxy:-direct}
seed=${GOMODCACHE:-${GOPATH:-${HOME:-}/go}/pkg/mod}/cache/download
plain='^/[^,|%:[:space:]]+$'
[[ ! $seed =~ $plain || ! -d $seed ]] || proxy="file://$seed|$proxy"
toolchain=auto
[[ ${GOTOOLCHAIN:-} != local ]] || toolchain=local
environment=(
  PATH="$PATH" HOME="$shared/home" TMPDIR="$shared/tmp" LC_ALL=C
  GOENV=off GOFLAGS='-mod=readonly -trimpath -modcacherw' GOWORK=off GOTOOLCHAIN="$toolchain" CGO_ENABLED=0
  GOCACHE="$shared/cache" GOPATH="$shared/go" GOMODCACHE="$shared/modules" GOPROXY="$proxy"
  GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
)
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR; do
  [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
done

# With GOTOOLCHAIN=auto, go downloads the version in go.mod; with local, which setup-go sets, it fails here.
if ! have=$(cd -- "$root" && env -i "${environment[@]}" "$go" env GOVERSION 2>&1); then
  fail "building $verb needs Go $needed: ${have##*$'\n'}; $advice" 3
fi
[[ ${have##*$'\n'} =~ go([0-9.]+) && $(printf '%s\n' "$needed" "${BASH_REMATCH[1]}" | sort -V | head -n 1) == "$needed" ]] ||
  fail "building $verb needs Go $needed and the PATH has ${have##*$'\n'}; $advice" 3
goroot=$(cd -- "$root" && env -i "${environment[@]}" "$go" env GOROOT 2>/dev/null) || goroot=''
if goroot=$(directory "$goroot") && inside_workspace "$goroot"; then
  fail "the Go of the PATH is in the work tree; $advice" 2
fi

part=$dir/.$verb.$$
# In the background, because bash handles a signal only after its foreground command has ended, and compiling takes long.
(
  if command -v flock >/dev/null; then
    exec 9>"$dir/lock"
    flock 9
    [[ ! -x $binary ]] || exit 0
  fi
  cd -- "$root"
  exec env -i "${environment[@]}" "$go" build -buildvcs=false -ldflags='-s -w' -o "$part" "./cmd/$verb"
) &
builder=$!
trap 'kill -TERM "$builder" 2>/dev/null || true; rm -f -- "$part"; exit 130' INT TERM
wait "$builder" || fail "building $verb from $root failed" 3
trap - INT TERM
# Moved atomically: a concurrent step must not start an incomplete binary.
[[ ! -e $part ]] || mv -f -- "$part" "$binary"
exec "$binary"
