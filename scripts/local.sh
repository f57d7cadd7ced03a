# shellcheck shell=bash
# Where the demo keeps its cluster and its registry; sourced by the scripts.
export SANDBOX_DIR=${ONEDIGEST_SANDBOX_DIR:-/var/lib/onedigest-sandbox}
export LOCALAWS_DIR=${ONEDIGEST_LOCALAWS_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/onedigest/localaws}
export REGISTRY=${ONEDIGEST_REGISTRY:-127.0.0.1:5510}
