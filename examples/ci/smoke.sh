#!/usr/bin/env bash
# Runs the whole chain in a few seconds, without a key, a network or a GPU: put this in the CI of what you build on ltgc.
#
# The language and vision models answer from recordings.jsonl, which was made once by naming real models and adding
# --record recordings.jsonl; pictures are colour fields (--t2i blank), CLIP is the embedded one.
#
#   examples/ci/smoke.sh               replay
#   examples/ci/smoke.sh --record      make recordings.jsonl anew (here: with the embedded models)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tape=$here/recordings.jsonl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LTGC_CACHE_DIR=$work/store # nothing is answered by what another job left behind

if [ "${1:-}" = --record ]; then
  models=(--record "$tape")
else
  models=()
  export LTGC_LLM=replay:$tape LTGC_LMM=replay:$tape
fi

ltgc describe --data digits-lt --tail 7 "${models[@]}" -o "$work/described.jsonl"
ltgc extend -n 6 -i "$work/described.jsonl" "${models[@]}" -o "$work/extended.jsonl"
ltgc reflect -k 14 -i "$work/extended.jsonl" "${models[@]}" -o "$work/reflected.jsonl"
ltgc render --t2i blank -i "$work/reflected.jsonl" -o "$work/rendered.jsonl"
ltgc filter --t2i blank --mode score -i "$work/rendered.jsonl" "${models[@]}" -o "$work/filtered.jsonl"
ltgc mix-train --data digits-lt --steps 5 -i "$work/filtered.jsonl" -o "$work/trained.jsonl"
ltgc eval --data digits-lt -i "$work/trained.jsonl" -o "$work/metrics.jsonl"

# What your job should hold on to: every class that was asked for has its descriptions, every description its image.
grep -c '"kind":"description"' "$work/metrics.jsonl"
grep '"name":"accuracy"' "$work/metrics.jsonl" | grep '"group":"all"'
