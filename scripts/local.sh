# shellcheck shell=bash
# The directories and the address of the demo's cluster and registry; sourced by the scripts.
export SANDBOX_DIR=${ONEDIGEST_SANDBOX_DIR:-/var/lib/onedigest-sandbox}
export LOCALAWS_DIR=${ONEDIGEST_LOCALAWS_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/onedigest/localaws}
export REGISTRY=${ONEDIGEST_REGISTRY:-127.0.0.1:5510}
