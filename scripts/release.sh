#!/usr/bin/env bash
# release.sh build|verify|tag|push|publish|major VERSION DIRECTORY: makes a release of onedigest from the commit that is checked out. Anyone can run
# build and verify; the digests are those of the release.
#
#   build    compiles the program for every platform into DIRECTORY, with SHA256SUMS and software bills of materials
#   verify   compiles again, with an empty cache, and compares with SHA256SUMS
#   tag      commits actions/checksums.txt and the pinned workflows on top of HEAD, on no branch, and tags the last commit VERSION and with the
#            major version
#   push     pushes the tag VERSION; needs gh, and a GH_TOKEN that may push commits which change workflow files
#   publish  publishes DIRECTORY as an immutable release of the pushed tag; needs gh and GH_TOKEN
#   major    moves the pushed tag of the major version forward, to the published release; needs what push needs
#
# A release that was interrupted is taken up by the same commands on the same commit: what is there already is left as it is.
#
# The program does not depend on what is committed after it was built: no package embeds it, and the commit that the program names is the one
# before. So the tagged commit builds the very program whose digest it contains.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

usage() {
  sed -n '2,14s/^# \{0,1\}//p' scripts/release.sh >&2
  exit 2
}
fail() {
  echo "release: $1" >&2
  exit 1
}

[[ $# -eq 3 && $2 =~ ^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] || usage
case $1 in build | verify | tag | push | publish | major) ;; *) usage ;; esac
command=$1 version=$2 major=v${BASH_REMATCH[1]} prerelease=${BASH_REMATCH[4]}
mkdir -p "$3"
directory=$(cd "$3" && pwd -P)
checksums=actions/checksums.txt
# Reusable workflows, each before those that call it.
workflows=(environment service pipeline preview)
# Another set of platforms is for tests.
read -r -a platforms <<<"${ONEDIGEST_PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}"
# The bytes depend on the toolchain, so it is pinned; the go command downloads it where it is missing.
toolchain=go1.26.8
own=${GITHUB_REPOSITORY:-onedigest/onedigest}
repository=${GITHUB_SERVER_URL:-https://github.com}/$own

[[ $(git rev-parse --is-shallow-repository) == false ]] || fail "the clone is shallow; fetch the whole history, which says from which commit the program is"
[[ -z $(git status --porcelain) ]] || fail "the work tree has changes that are not committed"
# A release's own commits have the digests; main never has them.
commit=$(git rev-parse HEAD)
while git cat-file -e "$commit:$checksums" 2>/dev/null; do commit=$(git rev-parse "$commit^"); done

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

# commit_file PARENT FILE MESSAGE <CONTENT: commits one file on top of a commit, and prints the new commit. It makes the same commit again if it is
# called again: author and dates are those of HEAD.
commit_file() {
  local index blob tree
  index=$(mktemp -d)
  blob=$(git hash-object -w --stdin)
  export GIT_INDEX_FILE=$index/index
  git read-tree "$1"
  git update-index --add --cacheinfo "100644,$blob,$2"
  tree=$(git write-tree)
  unset GIT_INDEX_FILE
  rm -rf "$index"
  GIT_AUTHOR_NAME=onedigest GIT_AUTHOR_EMAIL=onedigest@users.noreply.github.com GIT_AUTHOR_DATE=$(git log -1 --format=%cI)
  GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
  export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
  git commit-tree "$tree" -p "$1" -m "$3"
}

# tag commits the digests, and then each reusable workflow with its references to this repository at the commit before it. So whoever pins
# pipeline.yaml by a commit pins the other workflows, the actions and the program.
tag() {
  local made actions workflow file called
  [[ $commit == "$(git rev-parse HEAD)" ]] || fail "HEAD is a release's commit already"
  made=$({
    echo "# Written by scripts/release.sh into the commit of a release; actions/run.sh verifies the program by it."
    echo "version $version"
    echo "commit $commit"
    echo "toolchain $toolchain"
    echo "address $repository/releases/download"
    grep -E '^[0-9a-f]{64}  onedigest_[a-z0-9_.]+(\.gz)?$' "$directory/SHA256SUMS" | grep -v '\.spdx\.json$'
  } | commit_file HEAD "$checksums" "Add the digests of $version")
  actions=$made called=$made
  for workflow in "${workflows[@]}"; do
    file=.github/workflows/$workflow.yaml
    made=$(git show "HEAD:$file" |
      sed -E "s|uses: \./(actions/[a-z]+)\$|uses: $own/\1@$actions # $version|; s|uses: \./(\.github/workflows/[a-z]+\.yaml)\$|uses: $own/\1@$called # $version|" |
      commit_file "$made" "$file" "Release $version: pin what $workflow.yaml uses")
    called=$made
    ! git show "$made:$file" | grep -q 'uses: \./' || fail "$file uses something by a path that is not pinned"
  done
  if git rev-parse --quiet --verify "refs/tags/$version" >/dev/null && [[ $(git rev-parse "$version^{commit}") != "$made" ]]; then
    fail "$version is another commit already: $(git rev-parse "$version^{commit}")"
  fi
  git tag --force "$version" "$made" >/dev/null
  [[ -n $prerelease ]] || git tag --force "$major" "$made" >/dev/null
  echo "$made"
}

# notes prints the section of CHANGELOG.md for this version.
notes() { awk -v heading="## ${version#v}" '/^## / { inside = index($0, heading) == 1 } inside' CHANGELOG.md; }

# remote_tag NAME: the commit of a tag at the remote; nothing if there is none.
remote_tag() { git ls-remote origin "refs/tags/$1" | cut -f 1; }

# The token of a job (GITHUB_TOKEN) may not push a commit that changes workflow files, and no permission of a job allows it.
log_in() {
  [[ -n ${GH_TOKEN:-} ]] || fail "GH_TOKEN is not set: it is a token that may write contents and workflows, the secret RELEASE_TOKEN of the environment release"
  gh auth setup-git
}

push() {
  local there
  log_in
  there=$(remote_tag "$version")
  if [[ -z $there ]]; then
    git push origin "refs/tags/$version"
  elif [[ $there != "$(git rev-parse "refs/tags/$version")" ]]; then
    fail "$version is another commit at the remote already: $there; release that commit's run again, or another version"
  fi
}

# The release is a draft until it has every file, because a published one cannot be changed where releases are immutable.
publish() {
  local -a draft=(--draft)
  local is_draft
  [[ -z $prerelease ]] || draft+=(--prerelease)
  is_draft=$(gh release view "$version" --json isDraft --jq .isDraft 2>/dev/null) || is_draft=none
  if [[ $is_draft == false ]]; then
    echo "$version is published already"
    return
  fi
  notes >"$directory/.notes"
  [[ $is_draft == true ]] || gh release create "$version" "${draft[@]}" --verify-tag --title "$version" --notes-file "$directory/.notes"
  gh release upload "$version" --clobber "$directory"/onedigest_*.gz "$directory"/onedigest_*.spdx.json "$directory/SHA256SUMS"
  gh release edit "$version" --draft=false
}

# major runs last: until then, the tag names a release whose files are there. A release of an older line leaves it where it is.
major() {
  local there current
  [[ -z $prerelease ]] || return 0
  log_in
  there=$(remote_tag "$major")
  current=$(git ls-remote origin "refs/tags/$major.*" | awk -v commit="$there" '$1 == commit { sub("refs/tags/", "", $2); print $2 }' | sort -V | tail -n 1)
  if [[ -n $current && $(printf '%s\n' "$current" "$version" | sort -V | tail -n 1) != "$version" ]]; then
    echo "$major stays at $current, which is newer"
    return
  fi
  git push --force origin "refs/tags/$major"
}

"$command"
