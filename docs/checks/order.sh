#!/bin/sh
# Orders an item and reads the order back.
set -eu
answer=$(curl --fail --silent --show-error --data "{\"item\": \"$1\"}" "$BASE_URL/orders")
case $answer in
  *"\"$1\""*) echo "ordered $1" ;;
  *) echo "the order is not in the answer: $answer" >&2; exit 1 ;;
esac
