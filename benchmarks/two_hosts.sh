#!/usr/bin/env bash
# Two hosts train one network together: two network namespaces on this machine, joined by a virtual
# cable, each with its own project folder and cache, as two machines would have. Compares their
# model with that of one process. Needs root, and `ip` of iproute2.
#
#     sudo benchmarks/two_hosts.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
export PATH="$root/.venv/bin:$PATH" PYTHONPATH="$root" OMP_NUM_THREADS=1

clean_up() {
    ip netns del classifier-a 2>/dev/null || true
    ip netns del classifier-b 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

for host in alone a b; do
    mkdir -p "$work/$host/data"
    cp -r "$root/data/split" "$work/$host/data/"
    # One epoch of plain gradient descent: later, differences in rounding have grown.
    sed 's/name: adamw/name: sgd/; s/lr: 0.004/lr: 0.02/; s/epochs: 15/epochs: 1/' \
        "$root/params.yaml" >"$work/$host/params.yaml"
done

ip netns add classifier-a
ip netns add classifier-b
ip link add cable-a netns classifier-a type veth peer name cable-b netns classifier-b
ip -n classifier-a addr add 10.77.0.1/24 dev cable-a
ip -n classifier-b addr add 10.77.0.2/24 dev cable-b
for side in a b; do
    ip -n "classifier-$side" link set lo up
    ip -n "classifier-$side" link set "cable-$side" up
done

# What the README tells to run on each of two machines; --node-rank is the only difference.
host() {
    cd "$work/$1"
    CLASSIFIER_CACHE="$work/$1/cache" GLOO_SOCKET_IFNAME="cable-$1" ip netns exec "classifier-$1" \
        python -m torch.distributed.run --nnodes 2 --nproc-per-node 1 --node-rank "$2" \
        --master-addr 10.77.0.1 --master-port 29500 -m stages.train
}
host b 1 >"$work/b.log" 2>&1 &
host a 0
wait $! || { cat "$work/b.log"; exit 1; }
echo "The second host printed $(grep -c '^epoch' "$work/b.log" || true) lines of epochs and wrote:" \
    "$(find "$work/b" -name model.safetensors | wc -l) models."

cd "$work/alone"
CLASSIFIER_CACHE="$work/alone/cache" python -m stages.train >/dev/null
python - "$work" <<'END'
import json, sys
from pathlib import Path

from safetensors.numpy import load_file

work = Path(sys.argv[1])
both, alone = (load_file(work / host / "models/model.safetensors") for host in ("a", "alone"))
largest = max(float(abs(both[name] - alone[name]).max()) for name in alone)
metrics = [
    json.loads((work / host / "results/train/metrics.json").read_text()) for host in ("a", "alone")
]
print(f"largest difference of a weight {largest:.2g}")
print("validation loss", [row["val_loss"] for row in metrics], "(two hosts, one process)")
END
