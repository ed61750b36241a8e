#!/usr/bin/env bash
# Describe to filter, in WORK. render and filter go to Ray's workers where LTGC_ENGINE=ray says so.
set -euo pipefail
: "${DATA:?the training images, as for --data}"
WORK=${WORK:-ltgc-run}
mkdir -p "$WORK"

# Exit status 1 means done, but a class fell short: the summary says which, and the run goes on.
stage() { "$@" || { code=$?; [ "$code" -eq 1 ] || exit "$code"; }; }

stage ltgc describe --data "$DATA" --tail "${TAIL:-100}" -o "$WORK/described.jsonl"
stage ltgc extend -i "$WORK/described.jsonl" -o "$WORK/extended.jsonl"
stage ltgc reflect -k "${K:-100}" -i "$WORK/extended.jsonl" -o "$WORK/reflected.jsonl"
stage ltgc render -i "$WORK/reflected.jsonl" -o "$WORK/rendered.jsonl"
stage ltgc filter -i "$WORK/rendered.jsonl" -o "$WORK/filtered.jsonl"
