#!/usr/bin/env bash
# release.sh build|verify|tag|publish VERSION DIRECTORY: makes a release of onedigest from the commit that is checked out. Anyone can run
# build and verify; the digests are those of the release.
#
#   build    compiles the program for every platform into DIRECTORY, with SHA256SUMS and software bills of materials
#   verify   compiles again, with an empty cache, and compares with SHA256SUMS
#   tag      commits actions/checksums.txt on top of HEAD, on no branch, and tags that commit VERSION and with the major version
#   publish  pushes the tags and publishes DIRECTORY as an immutable release; needs gh and GH_TOKEN
#
# The program does not depend on checksums.txt, which is committed after it was built: no package embeds it, and the commit that the
# program names is the last one that changed anything else. So the tagged commit builds the very program whose digest it contains.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

usage() {
  sed -n '2,9s/^# \{0,1\}//p' scripts/release.sh >&2
  exit 2
}
fail() {
  echo "release: $1" >&2
  exit 1
}

[[ $# -eq 3 && $2 =~ ^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] || usage
case $1 in build | verify | tag | publish) ;; *) usage ;; esac
command=$1 version=$2 major=v${BASH_REMATCH[1]} prerelease=${BASH_REMATCH[4]}
mkdir -p "$3"
directory=$(cd "$3" && pwd -P)
checksums=actions/checksums.txt
# Another set of platforms is for tests.
read -r -a platforms <<<"${ONEDIGEST_PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}"
# The bytes depend on the toolchain, so it is pinned; the go command downloads it where it is missing.
toolchain=go1.26.8
repository=${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_REPOSITORY:-onedigest/onedigest}

[[ $(git rev-parse --is-shallow-repository) == false ]] || fail "the clone is shallow; fetch the whole history, which says from which commit the program is"
[[ -z $(git status --porcelain) ]] || fail "the work tree has changes that are not committed"
commit=$(git rev-list -1 HEAD -- . ":!$checksums")

asset() { # asset PLATFORM: the program's file name
  local name=onedigest_${1%/*}_${1#*/}
  [[ $1 != windows/* ]] || name+=.exe
  echo "$name"
}

# compile PLATFORM DIRECTORY
compile() {
  env -u GOROOT -u GO111MODULE -u GOEXPERIMENT -u GODEBUG GOENV=off GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=$toolchain CGO_ENABLED=0 \
    GOOS="${1%/*}" GOARCH="${1#*/}" GOAMD64=v1 GOARM64=v8.0 \
    go build -trimpath -buildvcs=false -o "$2/$(asset "$1")" \
    -ldflags="-s -w -buildid= -X github.com/onedigest/onedigest/internal/app/onedigest.version=$version -X github.com/onedigest/onedigest/internal/app/onedigest.commit=$commit" \
    ./cmd/onedigest
}

build() {
  local platform name trivy
  trivy=$(tool trivy)
  for platform in "${platforms[@]}"; do
    name=$(asset "$platform")
    echo "building $name"
    compile "$platform" "$directory"
    gzip -9 -n -c "$directory/$name" >"$directory/$name.gz"
    # Trivy reads the modules from the program itself, and needs no database for it.
    (cd "$directory" && rm -rf "onedigest-$version" && mkdir "onedigest-$version" && ln "$name" "onedigest-$version/" &&
      "$trivy" rootfs --quiet --offline-scan --skip-version-check --format spdx-json --output "$name.spdx.json" "onedigest-$version" && rm -rf "onedigest-$version")
  done
  (cd "$directory" && sha256sum onedigest_* | LC_ALL=C sort -k 2 >SHA256SUMS)
}

verify() {
  local platform name again status=0
  (cd "$directory" && sha256sum --check --strict --quiet SHA256SUMS) || fail "a file is not the one that SHA256SUMS names"
  for platform in "${platforms[@]}"; do
    name=$(asset "$platform")
    gzip -dc "$directory/$name.gz" | cmp --silent - "$directory/$name" || fail "$name.gz contains another program than $name"
  done
  again=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory
  trap "chmod -R u+w '$again'; rm -rf '$again'" EXIT
  for platform in "${platforms[@]}"; do
    name=$(asset "$platform")
    GOCACHE=$again/cache compile "$platform" "$again"
    if (cd "$again" && grep -E "^[0-9a-f]{64}  $name\$" "$directory/SHA256SUMS" | sha256sum --check --strict --quiet); then
      echo "$name is the same again"
    else
      echo "$name differs" && status=1
    fi
  done
  return "$status"
}

# tag makes the same commit again if it is called again: its author and dates are those of HEAD.
tag() {
  local index blob tree made
  index=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory
  trap "rm -rf '$index'" EXIT
  [[ $commit == "$(git rev-parse HEAD)" ]] || fail "HEAD is a release's commit already"
  blob=$({
    echo "# Written by scripts/release.sh into the commit of a release; actions/run.sh verifies the program by it."
    echo "version $version"
    echo "commit $commit"
    echo "toolchain $toolchain"
    echo "address $repository/releases/download"
    grep -E '^[0-9a-f]{64}  onedigest_[a-z0-9_.]+(\.gz)?$' "$directory/SHA256SUMS" | grep -v '\.spdx\.json$'
  } | git hash-object -w --stdin)
  export GIT_INDEX_FILE=$index/index
  git read-tree HEAD
  git update-index --add --cacheinfo "100644,$blob,$checksums"
  tree=$(git write-tree)
  unset GIT_INDEX_FILE
  made=$(
    GIT_AUTHOR_NAME=onedigest GIT_AUTHOR_EMAIL=onedigest@users.noreply.github.com GIT_AUTHOR_DATE=$(git log -1 --format=%cI)
    GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
    export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
    git commit-tree "$tree" -p HEAD -m "Release $version"
  )
  if git rev-parse --quiet --verify "refs/tags/$version" >/dev/null && [[ $(git rev-parse "$version^{commit}") != "$made" ]]; then
    fail "$version is another commit already: $(git rev-parse "$version^{commit}")"
  fi
  git tag --force "$version" "$made" >/dev/null
  [[ -n $prerelease ]] || git tag --force "$major" "$made" >/dev/null
  echo "$made"
}

# notes prints the section of CHANGELOG.md for this version.
notes() { awk -v heading="## ${version#v}" '/^## / { inside = index($0, heading) == 1 } inside' CHANGELOG.md; }

# The release is a draft until it has every file, because a published one cannot be changed where releases are immutable. The major tag
# moves last: until then, it names a release whose files are there.
publish() {
  local -a draft=(--draft)
  [[ -z $prerelease ]] || draft+=(--prerelease)
  gh auth setup-git
  git push origin "refs/tags/$version"
  notes >"$directory/.notes"
  gh release view "$version" >/dev/null 2>&1 || gh release create "$version" "${draft[@]}" --verify-tag --title "$version" --notes-file "$directory/.notes"
  gh release upload "$version" --clobber "$directory"/onedigest_*.gz "$directory"/onedigest_*.spdx.json "$directory/SHA256SUMS"
  gh release edit "$version" --draft=false
  [[ -n $prerelease ]] || git push --force origin "refs/tags/$major"
}

"$command"
