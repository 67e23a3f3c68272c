#!/usr/bin/env bash
# The split stage on two hosts by Dask, and on this one alone: the same files come out.
#
# The hosts are network namespaces, joined by a pair of virtual network cards: each has addresses of
# its own and can reach the other one alone. They share the disk, as hosts with a network file
# system do. The scheduler and one worker run on host a, the other worker on host b, and the stage
# on host a. Needs root and Linux; takes about a minute.
#
#     sudo benchmarks/data/two_hosts_split.sh IMAGES.zip [COUNT]
#
# IMAGES.zip holds a folder for each class, such as CIFAR-10 as PNG files; COUNT images are used.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
archive=$(realpath "$1")
count=${2:-20000}
work=$(mktemp -d)
export PATH="$root/.venv/bin:$PATH" PYTHONPATH="$root"
pids=()
declare -A worker

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    ip netns del classifier-a 2>/dev/null || true
    ip netns del classifier-b 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

ip netns add classifier-a
ip netns add classifier-b
ip link add cable-a netns classifier-a type veth peer name cable-b netns classifier-b
ip -n classifier-a addr add 10.78.0.1/24 dev cable-a
ip -n classifier-b addr add 10.78.0.2/24 dev cable-b
for side in a b; do
    ip -n "classifier-$side" link set lo up
    ip -n "classifier-$side" link set "cable-$side" up
done

# A folder of images, packed in 16 shards, and two projects that split them.
python - "$root/params.yaml" "$archive" "$count" "$work" <<'END'
import sys
import zipfile
from pathlib import Path

import yaml

params, archive, count, work = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
with zipfile.ZipFile(archive) as file:
    names = [name for name in file.namelist() if name.endswith(".png")]
    file.extractall(work / "images", names[:: max(1, len(names) // count)])
section = yaml.safe_load(Path(params).read_text())
section["download"] |= {"source": "folder", "url": str(work / "images"), "shards": 16}
section["download"]["watch"] = section["download"]["url"]
section["split"] |= {"stored_size": 32, "duplicate_similarity": 0.75}
for name in ("alone", "dask"):
    (work / name / "data").mkdir(parents=True)
    (work / name / "params.yaml").write_text(yaml.safe_dump(section))
END
cp "$root/data/corrections.csv" "$work/alone/data/"
cd "$work/alone"
CLASSIFIER_CACHE="$work/alone/cache" python -m stages.download
cp -r data/raw data/corrections.csv "$work/dask/data/"
time CLASSIFIER_CACHE="$work/alone/cache" python -m stages.split

address=tcp://10.78.0.1:8786
export CLASSIFIER_CACHE="$work/dask/cache"
cd "$root" # where scheduler and workers find the code
ip netns exec classifier-a python -m distributed.cli.dask_scheduler \
    --host 10.78.0.1 --port 8786 --no-dashboard >"$work/scheduler.log" 2>&1 &
pids+=($!)
for side in a b; do
    [ "$side" = a ] && own=10.78.0.1 || own=10.78.0.2
    ip netns exec "classifier-$side" python -m distributed.cli.dask_worker "$address" \
        --host "$own" --nthreads 1 --no-nanny --no-dashboard --local-directory "$work/worker-$side" \
        >"$work/worker-$side.log" 2>&1 &
    worker[$side]=$!
    pids+=($!)
done
cd "$work/dask"
time ip netns exec classifier-a env DASK_SCHEDULER_ADDRESS="$address" python -m stages.split
for side in a b; do # columns 14 and 15: processor time in ticks of 1/100 s
    echo "worker on host $side: $(awk '{print ($14 + $15) / 100}' "/proc/${worker[$side]}/stat") s" \
        "of processor time"
done

digest() { (cd "$work/$1/data/split" && sha256sum -- * | tee "$work/$1.sums" | sha256sum); }
echo "data/split of this host alone: $(digest alone)"
echo "data/split of two hosts:       $(digest dask)"
cmp "$work/alone.sums" "$work/dask.sums"
