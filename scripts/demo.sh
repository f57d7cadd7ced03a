#!/usr/bin/env bash
# One commit to production on this machine. Needs Linux, root and Go; no AWS account and no Docker.
# The cluster and the registry stay up afterwards, for a second run and to look around; demo-down.sh deletes them.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/local.sh

began=$(date +%s)
cat <<TXT
onedigest demo: build -> staging -> smoke -> promote -> production -> smoke, every fact signed, for commit $(git rev-parse --short=12 HEAD)
  uses    its own Kubernetes node in $SANDBOX_DIR and a registry on $REGISTRY
  builds  Go programs into bin/; Kubernetes itself once, about 9 minutes on 2 cores, then cached by Go
  installs, if absent, these Debian packages: containerd runc containernetworking-plugins nftables
TXT
trap 'echo "the demo failed; the cluster may still be up (KUBECONFIG=$SANDBOX_DIR/kubeconfig); make demo-down deletes it" >&2' ERR
echo "building the tools (some 20 s on a fresh clone)"
scripts/build.sh
bin/localaws up --addr "$REGISTRY" --dir "$LOCALAWS_DIR" --repository shop=IMMUTABLE --key alias/evidence
# The node signs in to the registry with these credentials, as an EKS node does with its role.
# shellcheck source=/dev/null
source <(bin/localaws env --dir "$LOCALAWS_DIR")
bin/sandbox up --dir "$SANDBOX_DIR" --registry "$REGISTRY" --ecr-endpoint "http://$REGISTRY"
KUBECONFIG=$(bin/sandbox kubeconfig --dir "$SANDBOX_DIR")
export KUBECONFIG
bin/pipeline --repository "$REGISTRY/shop" --context app --builder go --platform "linux/$(go env GOARCH)" --checks app/smoke.yaml --pod-security restricted \
  --sign-key awskms:///alias/evidence --verify-key awskms:///alias/evidence \
  --values 'terraform/{environment}/values-{environment}.yaml,devenv/values-demo.yaml'
echo "what the registry says of it, with every signature verified:"
bin/history --repository "$REGISTRY/shop" --verify-key awskms:///alias/evidence --board bin/board.html
cat <<TXT
demo done in $(($(date +%s) - began)) s. Next:
  make demo                        again: reused, unchanged, unchanged
  export KUBECONFIG=$KUBECONFIG
  source <(bin/localaws env)       let the verbs in bin/ sign in to the registry
  ECR_REPOSITORY=$REGISTRY/shop ./deploy.sh --values terraform/staging/values-staging.yaml --values devenv/values-demo.yaml
  curl the addresses above, at / and /configs
  bin/board.html                   the same history as a page, for a browser
  docs/demo.md#your-own-service    a service of yours on the same cluster, to production and back
  make demo-down                   delete the cluster and the registry
TXT
