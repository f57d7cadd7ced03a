#!/bin/bash -p
# run.sh VERB: finds, downloads or compiles the program of a verb, and replaces itself with it.
#
# In this order: ONEDIGEST_BIN; the runner's tool cache; the release that checksums.txt names; the sources, with Go. checksums.txt is in
# the commits that releases are tagged at (scripts/release.sh), so an action that is pinned by a commit pins the program too: what was
# kept or downloaded runs only if it has the SHA-256 digest of that file.
#
# The settings are INPUT_* variables, which this script does not read. The last line is an exec, because the runner sends SIGINT
# and SIGTERM to the step's own process only.
#
# An earlier step may have set any variable of the job, and the work tree may hold anything, but the verbs have credentials. So
# nothing of the work tree is executed, and what downloads or compiles gets an environment of its own. `bash -p` takes no functions,
# options or start-up file from the environment; until PATH is clean, only builtins are used. Bash 3.2, which macOS has, is enough.
set -euo pipefail

# say LEVEL TEXT: one line: on GitHub an annotation of that level (error, warning), elsewhere and for the level "note" plain text.
say() {
  local text=${2//[[:cntrl:]]/ }
  if [[ $1 != note && ${GITHUB_ACTIONS:-} == true ]]; then
    printf '::%s title=onedigest::%s\n' "$1" "${text//\%/%25}"
  else
    printf 'onedigest: %s\n' "$text" >&2
  fi
}

fail() {
  say error "$1"
  exit "$2"
}

[[ $# -eq 1 ]] || fail "usage: run.sh build|deploy|smoke|promote|scan|preview" 2
verb=$1
case $verb in
  build | deploy | smoke | promote | scan | preview) ;;
  *) fail "command $(printf '%q' "$verb") is not one of build, deploy, smoke, promote, scan, preview" 2 ;;
esac
# INPUT_COMMAND and INPUT_RELEASES are the actions' own inputs; no verb knows them. The others load code into the programs that a verb starts.
unset INPUT_COMMAND INPUT_RELEASES BASH_ENV ENV LD_AUDIT LD_LIBRARY_PATH LD_PRELOAD

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

# 1. Programs that the runner has.
if [[ -n ${ONEDIGEST_BIN:-} ]]; then
  for program in "$ONEDIGEST_BIN/$verb" "$ONEDIGEST_BIN/onedigest"; do
    [[ -x $program ]] || continue
    real=$(directory "$ONEDIGEST_BIN") || fail "ONEDIGEST_BIN cannot be read" 2
    ! inside_workspace "$real" || fail "ONEDIGEST_BIN $(printf '%q' "$ONEDIGEST_BIN") is in the work tree, whose programs get no credentials; use a directory outside" 2
    [[ $program != */onedigest ]] || set -- "$verb"
    [[ $program == */onedigest ]] || set --
    # shellcheck disable=SC2093 # the first program ends the loop
    exec "$program" "$@"
  done
fi

# The runner empties RUNNER_TEMP before every job and lets no step change the variable, so what is there is this job's own.
[[ -n ${RUNNER_TEMP:-} ]] || fail "RUNNER_TEMP is not set; outside of GitHub Actions use: go run ./cmd/$verb" 2
source=${BASH_SOURCE[0]}
[[ $source == */* ]] || source=./$source
root=$(cd -P -- "${source%/*}/.." && pwd -P)
shared=$RUNNER_TEMP/onedigest

# How to reach the network is all that is passed on.
network=(PATH="$PATH" HOME="$shared/home" TMPDIR="$shared/tmp" LC_ALL=C)
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy ALL_PROXY all_proxy SSL_CERT_FILE SSL_CERT_DIR; do
  [[ -z ${!name:-} ]] || network+=("$name=${!name}")
done

# await COMMAND...: runs a command in the background, because bash handles a signal only after its foreground command has ended.
child='' part=''
await() {
  local status=0
  "$@" &
  child=$!
  wait "$child" || status=$?
  child=''
  return "$status"
}
stop() {
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
  [[ -z $part ]] || rm -f -- "$part" "$part".*
  exit 130
}

# 2. and 3. The released program.

# digest FILE: its SHA-256 digest; an error if there is no program that computes one.
digest() {
  local sum
  if command -v sha256sum >/dev/null; then
    sum=$(sha256sum <"$1")
  elif command -v shasum >/dev/null; then
    sum=$(shasum -a 256 <"$1")
  elif command -v openssl >/dev/null; then
    sum=$(openssl dgst -sha256 -r <"$1")
  else
    return 1
  fi
  printf '%s' "${sum%%[!0-9a-f]*}"
}

# read_checksums: reads checksums.txt into version, address, and the digests of this platform's program and of its download.
version='' address='' program_digest='' download_digest=''
read_checksums() {
  local key value os arch
  [[ -r $root/actions/checksums.txt ]] || { why="this checkout of the action is not a release"; return 1; }
  case $(uname -s 2>/dev/null) in Linux) os=linux ;; Darwin) os=darwin ;; *) os='' ;; esac
  case $(uname -m 2>/dev/null) in x86_64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch='' ;; esac
  asset=onedigest_${os}_$arch
  while read -r key value; do
    case $key in
      version) version=$value ;;
      address) address=$value ;;
      *)
        [[ $key =~ ^[0-9a-f]{64}$ ]] || continue
        [[ $value != "$asset" ]] || program_digest=$key
        [[ $value != "$asset.gz" ]] || download_digest=$key
        ;;
    esac
  done <"$root/actions/checksums.txt"
  [[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ && $address =~ ^https?://[^[:space:]]+$ ]] || fail "$root/actions/checksums.txt is damaged" 3
  [[ -n $program_digest && -n $download_digest ]] || { why="release $version has no program for $(uname -sm 2>/dev/null)"; return 1; }
}

# fetch ADDRESS FILE SECONDS: downloads into FILE, at most 256 MiB. The HTTP status, if it is known, goes to FILE.answer, and errors to FILE.told.
fetch() {
  local program
  ulimit -f 262144
  exec 2>"$2.told" </dev/null
  if program=$(command -v curl); then
    exec env -i "${network[@]}" "$program" -q --silent --show-error --fail --location --max-redirs 5 --proto =http,https --proto-redir =http,https \
      --connect-timeout 10 --speed-limit 1024 --speed-time 20 --max-time "$3" --output "$2" --write-out '%{http_code}' -- "$1" >"$2.answer"
  fi
  program=$(command -v wget)
  set -- "$1" "$2" "$3" "$program" -q -T 20
  case $("$program" --version 2>&1) in *"GNU Wget"*) set -- "$@" --no-config -t 1 --max-redirect=5 ;; esac
  # wget has no limit of its own for the whole download.
  ! command -v timeout >/dev/null || set -- "$1" "$2" "$3" timeout "$3" "${@:4}"
  exec env -i "${network[@]}" "${@:4}" -O "$2" "$1"
}

# download: gets this platform's program, verified, as $program; otherwise $why says why not. A wrong digest ends the script: somebody, or
# something, changed what was released.
download() {
  local hosts host from pause=1 limit=${ONEDIGEST_DOWNLOAD_SECONDS:-120} answer told got
  [[ $limit =~ ^[1-9][0-9]{0,3}$ ]] || fail "ONEDIGEST_DOWNLOAD_SECONDS is not a number of seconds" 2
  command -v curl >/dev/null || command -v wget >/dev/null || { why="there is neither curl nor wget to download release $version"; return 1; }
  command -v gzip >/dev/null || { why="there is no gzip to unpack release $version"; return 1; }
  # A server of its own may have the action and its releases, or get the action from where it was released.
  hosts=("$address")
  if [[ -n ${ONEDIGEST_RELEASES:-} ]]; then
    [[ $ONEDIGEST_RELEASES =~ ^https?://[^[:space:]]+$ ]] || fail "releases $(printf '%q' "$ONEDIGEST_RELEASES") is not an http or https address" 2
    hosts=("${ONEDIGEST_RELEASES%/}")
  elif [[ ${GITHUB_SERVER_URL:-} =~ ^https?://[^/[:space:]]+$ && $address != "$GITHUB_SERVER_URL"/* && $address =~ ^https?://[^/]+(/.*)$ ]]; then
    hosts=("$GITHUB_SERVER_URL${BASH_REMATCH[1]}" "$address")
  fi
  mkdir -p -- "$cache" "$shared/home" "$shared/tmp"
  part=$cache/.onedigest.$$
  local end=$((SECONDS + limit))
  while :; do
    for host in "${hosts[@]}"; do
      from=$host/$version/$asset.gz
      ((SECONDS < end)) || break 2
      rm -f -- "$part.gz.answer"
      if await fetch "$from" "$part.gz" "$((end - SECONDS))"; then
        got=$(digest "$part.gz")
        if [[ $got != "$download_digest" ]]; then
          rm -f -- "$part.gz"*
          fail "$from is not what release $version was published as: its SHA-256 digest is $got, not $download_digest. Nothing of it was run. Look at what is between this runner and the release: a proxy, or the mirror in the input releases" 3
        fi
        unpack || fail "unpacking $from failed: is the disk full?" 3
        return 0
      fi
      answer='' told=''
      read -r answer 2>/dev/null <"$part.gz.answer" || true
      read -r told 2>/dev/null <"$part.gz.told" || true
      why="$from cannot be downloaded: ${told:-no answer}"
      rm -f -- "$part.gz"*
    done
    # Asking again helps against none of these. With two hosts, the answer is that of the last one.
    [[ ! $answer =~ ^(400|401|403|404|410|451)$ ]] || break
    ((SECONDS + pause < end && pause <= 8)) || break
    await sleep "$pause"
    pause=$((pause * 2))
  done
  part=''
  return 1
}

unpack() {
  ulimit -f 1048576
  gzip -dc <"$part.gz" >"$part" && rm -f -- "$part.gz"* && [[ $(digest "$part") == "$program_digest" ]] && chmod 755 "$part" && mv -f -- "$part" "$cache/onedigest"
}

# released: replaces the script with the verified program of the release; otherwise $why says why that is not possible.
released() {
  local tools=${RUNNER_TOOL_CACHE:-} real
  read_checksums || return 1
  digest /dev/null >/dev/null || { why="there is no sha256sum, shasum or openssl to verify release $version"; return 1; }
  cache=$shared/$version
  if [[ -f $cache/onedigest && -x $cache/onedigest ]]; then
    [[ $(digest "$cache/onedigest") != "$program_digest" ]] || exec "$cache/onedigest" "$verb"
    say warning "$cache/onedigest is not the program of release $version and is replaced"
  fi
  # A cache in the work tree, or one that cannot be written to, is not used.
  if [[ $tools == /* ]] && real=$(directory "$tools") && ! inside_workspace "$real"; then
    case $asset in *_amd64) tools+=/onedigest/${version#v}/x64 ;; *) tools+=/onedigest/${version#v}/arm64 ;; esac
  else
    tools=''
  fi
  trap stop INT TERM
  mkdir -p -- "$cache"
  if ! from_tool_cache "$tools"; then
    download || return 1
    [[ -z $tools ]] || to_tool_cache "$tools" 2>/dev/null || true
  fi
  trap - INT TERM
  exec "$cache/onedigest" "$verb"
}

# from_tool_cache DIRECTORY: copies the program from the tool cache and verifies the copy, because other jobs can change what is there between
# a look at it and its start.
from_tool_cache() {
  [[ -n $1 && -f $1/onedigest ]] || return 1
  part=$cache/.onedigest.$$
  if cat -- "$1/onedigest" >"$part" && [[ $(digest "$part") == "$program_digest" ]]; then
    chmod 755 "$part" && mv -f -- "$part" "$cache/onedigest" && part=''
    return
  fi
  rm -f -- "$part"
  part=''
  say warning "$1/onedigest is not the program of release $version and is replaced"
  return 1
}

# to_tool_cache DIRECTORY: puts the program into the tool cache, for other jobs. It writes to no file that is there, and through no link.
to_tool_cache() {
  local new=$1/.onedigest.$$.$RANDOM
  mkdir -p -- "$1" || return
  if (set -o noclobber && cat -- "$cache/onedigest" >"$new") && chmod 755 "$new"; then
    mv -f -- "$new" "$1/onedigest" && return
  fi
  rm -f -- "$new"
  return 1
}

why='' asset='' cache=''
released || true

# 4. The sources.
read -r key _ < <(printf '%s' "$root" | cksum)
dir=$shared/$key
binary=$dir/$verb
if [[ -x $binary ]]; then
  exec "$binary"
fi

# go.mod has the version that the sources need.
needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")
advice="add actions/setup-go with go-version '${needed%.*}' before this step, or set ONEDIGEST_BIN to a directory with the binaries"
if [[ -n $version ]]; then
  advice="let the runner reach $address, give a mirror as the input releases, or set ONEDIGEST_BIN to a directory with the binaries"
fi
go=$(command -v go) || fail "$why; building $verb needs Go $needed and there is no go on the PATH; $advice" 3
if [[ -n $version ]]; then
  say warning "compiling $verb, which takes minutes: $why. To avoid it, $advice"
else
  say note "compiling $verb: $why"
fi
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
  "${network[@]}"
  GOENV=off GOFLAGS='-mod=readonly -trimpath -modcacherw' GOWORK=off GOTOOLCHAIN="$toolchain" CGO_ENABLED=0
  GOCACHE="$shared/cache" GOPATH="$shared/go" GOMODCACHE="$shared/modules" GOPROXY="$proxy"
  GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
)

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
compile() {
  if command -v flock >/dev/null; then
    exec 9>"$dir/lock"
    flock 9
    [[ ! -x $binary ]] || exit 0
  fi
  cd -- "$root"
  exec env -i "${environment[@]}" "$go" build -buildvcs=false -ldflags='-s -w' -o "$part" "./cmd/$verb"
}
trap stop INT TERM
await compile || fail "building $verb from $root failed" 3
trap - INT TERM
# Moved atomically: a concurrent step must not start an incomplete binary.
[[ ! -e $part ]] || mv -f -- "$part" "$binary"
exec "$binary"
