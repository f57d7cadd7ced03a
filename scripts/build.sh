#!/usr/bin/env bash
# Builds the verbs, the pipeline, the local AWS and the sandbox into bin/.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || { echo "onedigest needs Go $(sed -n 's/^go //p' go.mod) or newer: https://go.dev/dl/" >&2; exit 2; }
mkdir -p bin
# Settings of the go command, from the environment or by `go env -w`, are for the caller's own code.
unset GOROOT GO111MODULE
export GOENV=off GOFLAGS=-mod=readonly GOWORK=off
# As releases and actions are built. With cgo, a library's use of plugins makes the linker keep and export every symbol, which is 30 MB more.
export CGO_ENABLED=0
go build -ldflags='-s -w' -o bin/ ./cmd/...
(cd devenv/sandbox && go build -trimpath -o ../../bin/sandbox .)
