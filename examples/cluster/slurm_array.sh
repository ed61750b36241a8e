#!/usr/bin/env bash
# The same without Ray and without a cluster's network: each task of an array does a part of the classes, on one GPU.
#
#   sbatch examples/cluster/slurm_array.sh                   # render, a part of the classes a task
#   cat ltgc-run/rendered.*.jsonl > ltgc-run/rendered.jsonl  # the bytes of the whole, in the order of their names
#   for store in ltgc-run/store.*; do ltgc cache import "$store"; done        # the images, into the store in use
#   ltgc filter -i ltgc-run/rendered.jsonl -o ltgc-run/filtered.jsonl
#
# A task that failed is submitted again by its number: sbatch --array=7 … ; what it had generated is in its store.
#SBATCH --job-name=ltgc-render
#SBATCH --array=1-16
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

WORK=${WORK:-ltgc-run} PARTS=${PARTS:-16}
part=$(printf '%04d' "$SLURM_ARRAY_TASK_ID")
# One store for each task: SQLite on a network file system that two nodes write to would be damaged.
export LTGC_CACHE_DIR="$WORK/store.$part" OMP_NUM_THREADS=1
export LTGC_T2I=${LTGC_T2I:-stabilityai/sdxl-turbo}

# Exit status 1 means done, but an image was refused: the summary says which.
ltgc render -i "$WORK/reflected.jsonl" --shard "$SLURM_ARRAY_TASK_ID/$PARTS" -o "$WORK/rendered.$part.jsonl" ||
  { code=$?; [ "$code" -eq 1 ] || exit "$code"; }
