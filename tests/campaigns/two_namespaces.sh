#!/usr/bin/env bash
# Two machines on one: Ray's head with ltgc in one network namespace, its workers in another, a cable between them; and
# each sees its own processes alone, for at the end Ray stops all that it sees.
# The head has no cores to give, so every image crosses the cable. Started as examples/cluster/slurm.sh starts it.
# Says SAME where the bytes are those of one process.
#
#   PYTHON=.venv/bin/python sudo -E tests/campaigns/two_namespaces.sh        # Linux; takes about a minute
set -euo pipefail
PYTHON=${PYTHON:-python}
HEAD=10.77.0.1 OTHER=10.77.0.2
place=$(mktemp -d /tmp/two-XXXX)
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$("$PYTHON" -c "import secrets; print(secrets.token_hex(32))")

# ray SPACE CORES: what srun runs on every node; the one that has the head's address runs `ltgc` besides.
ray() {
  ip netns exec "$1" unshare --pid --fork --kill-child --mount-proc "$PYTHON" -m ray.scripts.scripts symmetric-run --address $HEAD:6379 --min-nodes 2 --num-cpus "$2" \
    --disable-usage-stats -- bash -c "$road" >"$place/$1.log" 2>&1
}
clean() {
  for space in ltgc-head ltgc-other; do
    ip netns pids $space 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns del $space 2>/dev/null || true
  done
  rm -rf "$place"
}
trap clean EXIT

for space in ltgc-head ltgc-other; do ip netns add $space; ip -n $space link set lo up; done
ip link add ltgc-a netns ltgc-head type veth peer name ltgc-b netns ltgc-other
ip -n ltgc-head address add $HEAD/24 dev ltgc-a
ip -n ltgc-other address add $OTHER/24 dev ltgc-b
ip -n ltgc-head link set ltgc-a up
ip -n ltgc-other link set ltgc-b up

cd "$place"
mkdir bin # Ray calls itself by its name
printf '#!/bin/sh\nexec %s -m ray.scripts.scripts "$@"\n' "$PYTHON" >bin/ray
chmod +x bin/ray
export PATH=$place/bin:$PATH
ltgc=("$PYTHON" -m ltgc_cli)
LTGC_CACHE_DIR=$place/here "${ltgc[@]}" extend --class crane --class seal -n "${N:-30}" -o e.jsonl -q
LTGC_CACHE_DIR=$place/here "${ltgc[@]}" render -i e.jsonl --batch 8 -q >here.jsonl

road="LTGC_CACHE_DIR=$place/there ${ltgc[*]} render -i e.jsonl --batch 8 --engine ray --workers 2 \
  --ray-address $HEAD:6379 >there.jsonl"
ray ltgc-other 2 &
ray ltgc-head 0 || { tail "$place"/*.log; exit 1; }
echo "bytes that came over the cable: $(ip netns exec ltgc-head cat /sys/class/net/ltgc-a/statistics/rx_bytes)"
cmp here.jsonl there.jsonl && echo SAME
