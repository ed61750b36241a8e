#!/usr/bin/env bash
# The whole road on several nodes of a Slurm cluster:   sbatch examples/cluster/slurm.sh
#
# Ray runs on every node; ltgc on the first one alone, where its store is. Language models are asked from there, so that
# rate and budget hold; images are generated, and scored, on all GPUs. A job that was ended goes on: submit it again.
#
# Needs on every node: the same Python environment with ltgc[ray], the models' weights (a shared HF_HOME), DATA and WORK
# on a shared file system; LTGC_CACHE_DIR on a local disk, for a store on a shared one is damaged sooner or later. The
# first node's goes into WORK when the road is done, or the time is nearly over, and every job begins by taking it in.
# Not tried on a Slurm cluster by us; the two launches were, between two network namespaces and two processes.
#SBATCH --job-name=ltgc
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@600
#SBATCH --output=%x-%j.log
set -euo pipefail

: "${DATA:?the training images, as for --data}" "${TEST:?the test images}"
export LTGC_CACHE_DIR=${LTGC_CACHE_DIR:-/tmp/ltgc-$USER}
export DATA TEST WORK=${WORK:-ltgc-run} K=${K:-100} TAIL=${TAIL:-100} OMP_NUM_THREADS=1
export LTGC_T2I=${LTGC_T2I:-stabilityai/sdxl-turbo} LTGC_CLIP=${LTGC_CLIP:-ViT-B-16-quickgelu/openai}
HERE=${HERE:-$SLURM_SUBMIT_DIR/examples/cluster}

# Who can reach Ray's ports can run programs as you: a token of this job's own keeps the others of the cluster out.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")

save() { ltgc cache export "$WORK/store.tar.new" && mv "$WORK/store.tar.new" "$WORK/store.tar"; }
take_in() { srun bash -c '[ ! -e "$WORK/store.tar" ] || ltgc cache import "$WORK/store.tar"'; }
mkdir -p "$WORK"
take_in

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | cut -d ' ' -f 1)
export LTGC_ENGINE=ray LTGC_RAY_ADDRESS="$address:6379"

# Starts Ray on each node, waits for all of them, runs the script on the first, and ends Ray.
srun ray symmetric-run --address "$LTGC_RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-gpus "$SLURM_GPUS_ON_NODE" --num-cpus "$SLURM_CPUS_PER_TASK" --disable-usage-stats \
  -- bash "$HERE/road.sh" &
road=$!
# Ten minutes before the job's time is over, and where the road ends early: what was made is in the store by then.
trap 'save; kill -TERM $road; exit 130' USR1
wait $road || { code=$?; save; exit "$code"; }
save
take_in # every node reads the generated images

# Training spreads by itself: a process for each GPU, the same batch cut among them.
gpus=$SLURM_GPUS_ON_NODE
export address gpus
srun bash -c 'exec accelerate launch --multi_gpu --num_machines "$SLURM_JOB_NUM_NODES" --machine_rank "$SLURM_PROCID" \
  --num_processes "$((SLURM_JOB_NUM_NODES * gpus))" --main_process_ip "$address" --main_process_port 29500 \
  --rdzv_backend static --mixed_precision no --dynamo_backend no \
  -m ltgc_cli mix-train --data "$DATA" -i "$WORK/filtered.jsonl" -o "$WORK/trained.jsonl" --out "$WORK/checkpoint"'
ltgc eval --data "$TEST" -i "$WORK/trained.jsonl" -o "$WORK/measured.jsonl"
