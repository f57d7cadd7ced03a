#!/usr/bin/env bash
# Deploys one image to one environment manually: shows the cluster and the release, asks for confirmation, deploys, checks the served
# address and prints it. A release that fails smoke is rolled back. The verbs build, deploy and smoke do the work; this script only asks.
set -euo pipefail

usage() {
  cat <<'TXT'
Usage: ./deploy.sh [options]

Without options: to staging, on the cluster of the current context, the image that HEAD built. It asks for no proof that another environment
smoke-tested the image, for production neither: the workflows and deploy --proved-in do.

  --image IMAGE          image to run: REPOSITORY@sha256:…, REPOSITORY:TAG, a TAG or a digest; a tag is resolved to its digest
                         (default: the image of HEAD, which must have been built)
  --repository REPO      repository of a tag, of a digest and of HEAD's image (default $ECR_REPOSITORY)
  --environment NAME     environment to deploy to (default staging)
  --values FILE          values file; repeatable, a later one wins
                         (default terraform/ENVIRONMENT/values-ENVIRONMENT.yaml, if it exists)
  --checks FILE          checks that the release must pass (default app/smoke.yaml: / and /configs of the sample service)
  --release NAME         Helm release (default: the last part of the image's repository)
  --namespace NAME       namespace, created if absent (default: the environment's name)
  --kubeconfig FILE      kubeconfig (default $KUBECONFIG, else ~/.kube/config)
  --context NAME         context of the kubeconfig (default: its current one)
  --allow-rollback       deploy a commit older than the live one, and pin the release there
  --allow-diverged       deploy although the live commit is not in the history of the new one
  --unpin                remove the pin of a rollback
  --yes                  do not ask
  --help                 this text

Paths are relative to this repository. ONEDIGEST_BIN names a directory with built verbs; without it they are built first.
Exit codes: 0 done, 1 failed, refused or declined, 2 bad input, 3 fault (network, registry, AWS, cluster).
TXT
}

bad_input() {
  printf 'deploy.sh: bad input: %s\n' "$1" >&2
  exit 2
}

# current_context FILES prints the current context of the first kubeconfig that has one, like kubectl.
current_context() {
  local -a files
  local file found
  IFS=: read -r -a files <<<"$1"
  for file in "${files[@]}"; do
    [[ -r $file ]] || continue
    found=$(sed -n "s/^[[:space:]]*[\"']\{0,1\}current-context[\"']\{0,1\}:[[:space:]]*[\"']\{0,1\}\([^\"',]*\).*/\1/p" "$file" | head -n 1)
    if [[ -n $found ]]; then
      printf '%s\n' "$found"
      return
    fi
  done
  return 1
}

# field NAME prints a field of the verb's JSON result on standard input.
field() { sed -n "s/^  \"$1\": \"\(.*\)\",\{0,1\}$/\1/p"; }

cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
environment=staging checks=app/smoke.yaml image='' repository=${ECR_REPOSITORY:-} release='' namespace='' kubeconfig='' context='' yes=''
values=()
order=()
while (($#)); do
  case $1 in
    --help | -h) usage && exit 0 ;;
    --yes) yes=true && shift && continue ;;
    --allow-rollback | --allow-diverged | --unpin) order+=("$1") && shift && continue ;;
    --environment | --image | --repository | --release | --namespace | --kubeconfig | --context | --values | --checks) ;;
    --environment=* | --image=* | --repository=* | --release=* | --namespace=* | --kubeconfig=* | --context=* | --values=* | --checks=*)
      set -- "${1%%=*}" "${1#*=}" "${@:2}"
      ;;
    *) bad_input "$(printf '%q' "$1"): unknown option; --help lists the options" ;;
  esac
  [[ -n ${2:-} ]] || bad_input "$1: needs a value"
  case $1 in
    --values) values+=("$2") ;;
    *) printf -v "${1#--}" '%s' "$2" ;;
  esac
  shift 2
done

# Of the image, what is not given is the repository of --repository and HEAD's commit.
tag=''
case $image in
  *@*)
    [[ $image =~ ^[^@]+@sha256:[0-9a-f]{64}$ ]] || bad_input "--image: $(printf '%q' "$image") carries no digest of the form @sha256: and 64 hex digits"
    repository=${image%@*}
    ;;
  sha256:*)
    [[ $image =~ ^sha256:[0-9a-f]{64}$ ]] || bad_input "--image: $(printf '%q' "$image") is not sha256: and 64 hex digits"
    [[ -n $repository ]] || bad_input "--image: a digest alone needs --repository, or ECR_REPOSITORY"
    image=$repository@$image
    ;;
  */*:*) repository=${image%:*} tag=${image##*:} ;;
  *:* | */*) bad_input "--image: $(printf '%q' "$image") is neither REPOSITORY@sha256:…, REPOSITORY:TAG, a tag nor a digest" ;;
  *)
    [[ -n $repository ]] || bad_input "--repository: missing; give it, or ECR_REPOSITORY, or --image REPOSITORY@sha256:…"
    tag=$image
    if [[ -z $tag ]]; then
      tag=$(git rev-parse --verify --quiet HEAD) || bad_input "--image: missing, and this is no git repository with a commit, whose image could be deployed"
    fi
    ;;
esac
[[ -z $tag || $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || bad_input "--image: $(printf '%q' "$tag") is not a tag"
if ((${#values[@]} == 0)) && [[ -f terraform/$environment/values-$environment.yaml ]]; then
  values=("terraform/$environment/values-$environment.yaml")
fi
release=${release:-${repository##*/}}
namespace=${namespace:-$environment}
kubeconfig=${kubeconfig:-${KUBECONFIG:-$HOME/.kube/config}}
context=${context:-$(current_context "$kubeconfig")} ||
  bad_input "--kubeconfig: $(printf '%q' "$kubeconfig") does not exist or has no current context; give --kubeconfig or --context"

[[ -n $yes || -t 0 ]] || bad_input "no terminal to ask on; --yes deploys without asking"

bin=${ONEDIGEST_BIN:-}
if [[ -z $bin ]]; then
  bin=$(mktemp -d)
  trap 'rm -rf -- "$bin"' EXIT
  # Settings of the go command, from the environment or by `go env -w`, are for the caller's own code.
  env -u GOROOT -u GO111MODULE GOENV=off GOFLAGS='-mod=readonly -trimpath' GOWORK=off CGO_ENABLED=0 go build -o "$bin/" ./cmd/build ./cmd/deploy ./cmd/smoke || exit 3
fi

if [[ -n $tag ]]; then
  found=$("$bin/build" --repository "$repository" --find "$tag" --output json) || exit
  image=$(field image <<<"$found")
fi

cat <<TXT
Kubernetes context  $context ($kubeconfig)
environment         $environment
namespace           $namespace, created if absent
release             $release: Deployment, Service, ConfigMap and everything else that charts/service renders with
                    ${values[*]:-no values file}
image               $image${tag:+, which is $tag}
TXT
if [[ -z $yes ]]; then
  read -r -p "Deploy? [y/N] " answer || answer=''
  case $answer in
    y | Y | yes) ;;
    *) echo "Nothing was changed." && exit 1 ;;
  esac
fi

common=(--release "$release" --namespace "$namespace" --kubeconfig "$kubeconfig" --kube-context "$context" --environment "$environment")
chart=(--image "$image" --create-namespace --pod-security restricted)
for file in ${values[@]+"${values[@]}"}; do
  chart+=(--values "$file")
done
chart+=(${order[@]+"${order[@]}"})
deployed=$("$bin/deploy" "${common[@]}" "${chart[@]}" --output json)
if [[ $(field outcome <<<"$deployed") == superseded ]]; then
  echo "Nothing was changed: a newer commit is live (--allow-rollback deploys the older one)." >&2
  exit 1
fi
commit=$(field commit <<<"$deployed")
code=0
"$bin/smoke" "${common[@]}" --checks "$checks" ${commit:+--expect-commit="$commit"} || code=$?
if ((code)); then
  "$bin/deploy" "${common[@]}" --rollback-failed-smoke
  exit "$code"
fi
printf '\n%s is served at %s, and passed %s\n' "$release" "$(field url <<<"$deployed")" "$checks"
