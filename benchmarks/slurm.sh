#!/usr/bin/env bash
# cluster/slurm.sh on a real Slurm: a controller and two node daemons on this machine, a process on
# each node. Compares the model with that of `torchrun --nproc-per-node 2`, then requeues a job in
# the middle of its training, and measures what a clone of its own costs a node. Needs root, and
# Debian's packages slurm-wlm and munge.
#
#     sudo benchmarks/slurm.sh [EPOCHS]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
epochs=${1:-5}
work=$(mktemp -d)
export PATH="$root/.venv/bin:$PATH" OMP_NUM_THREADS=1
export SLURM_CONF="$work/slurm.conf"
export GIT_AUTHOR_NAME=slurm GIT_AUTHOR_EMAIL=slurm@localhost
export GIT_COMMITTER_NAME=slurm GIT_COMMITTER_EMAIL=slurm@localhost

clean_up() {
    for name in slurmctld node1 node2 munged; do
        [ ! -f "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "$work"
}
trap clean_up EXIT

start_slurm() {
    chmod 755 "$work"
    dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
    chmod 400 "$work/munge.key"
    munged --force --key-file "$work/munge.key" --socket "$work/munge.socket" \
        --pid-file "$work/munged.pid" --log-file "$work/munged.log" --seed-file "$work/munge.seed"
    cat >"$SLURM_CONF" <<END
ClusterName=classifier
SlurmctldHost=$(hostname -s)
SlurmctldPort=17000
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
MpiDefault=none
ReturnToService=2
StateSaveLocation=$work/state
SlurmctldPidFile=$work/slurmctld.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdPidFile=$work/%n.pid
SlurmdLogFile=$work/%n.log
SlurmdSpoolDir=$work/%n
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=1
PartitionName=all Nodes=ALL Default=YES State=UP
END
    mkdir -p "$work/state" "$work/node1" "$work/node2"
    slurmctld
    slurmd -N node1
    slurmd -N node2
    timeout 60 bash -c 'until [ "$(sinfo --noheader --format %D --states idle)" = 2 ]; do sleep 1; done'
    sinfo
}

# The files that Git does not ignore, as a project of its own, with few epochs.
make_project() {
    mkdir -p "$1"
    (cd "$root" && git ls-files -coz --exclude-standard | tar --null -T - --create) | tar -x -C "$1"
    cd "$1"
    rm -rf dvc.lock results
    sed -i "0,/  epochs: 15/s//  epochs: $2/" params.yaml
    ln -s "$root/.venv" .venv
    git init --quiet && git add . && git commit --quiet --message "as found"
}

# Bytes and names of what training writes.
digests() {
    (cd "$1" && sha256sum models/model.safetensors models/model.json results/train/history.csv)
}

# Submit cluster/slurm.sh in the current folder; prints the number of the job.
submit() { sbatch --parsable --nodes 2 --output "$work/job.log" "$@" cluster/slurm.sh; }

# Wait until the job is over; prints its log and ends this script where it failed.
wait_for() {
    while squeue --noheader --job "$1" 2>/dev/null | grep -q .; do sleep 1; done
    [ "$(scontrol --oneliner show job "$1" | grep -o 'JobState=[A-Z_]*')" = JobState=COMPLETED ] ||
        { cat "$work/job.log"; exit 1; }
}

# The same training by torchrun alone, two processes on this machine, in a copy of the project.
compare_with_torchrun() {
    rm -rf "$work/alone"
    mkdir -p "$work/alone"
    cp -r params.yaml versions.yaml data "$work/alone/"
    (cd "$work/alone" && CLASSIFIER_CACHE="$work/alone/cache" PYTHONPATH="$root" \
        torchrun --nproc-per-node 2 -m stages.train >"$work/alone.log" 2>&1) || cat "$work/alone.log"
    if diff <(digests .) <(digests "$work/alone"); then
        echo "$1: model, its description and the history have the same bytes as by torchrun."
    else
        echo "$1: DIFFERENT from torchrun."
    fi
}

start_slurm
make_project "$work/project" "$epochs"
export CLASSIFIER_CACHE="$work/cache"

job=$(submit)
wait_for "$job"
grep -c '^epoch' "$work/job.log" | xargs echo "A job over two nodes; lines of epochs:"
compare_with_torchrun "a job over two nodes"
dvc status

sed -i "s/  epochs: $epochs$/  epochs: $((epochs + 15))/" params.yaml
: >"$work/job.log"
job=$(submit)
until grep -q '^epoch   3' "$work/job.log"; do sleep 0.2; done
scontrol requeue "$job"
wait_for "$job"
grep 'Going on' "$work/job.log"
compare_with_torchrun "a job that was requeued"

# What a node of its own clone pulls, in place of reading the shared folder.
dvc remote add --quiet --default team "$work/team"
git add --all && git commit --quiet --message "as run"
dvc push --quiet
git clone --quiet "$work/project" "$work/clone"
ln -sfn "$root/.venv" "$work/clone/.venv"
cd "$work/clone"
seconds=$(date +%s.%N)
dvc pull --quiet split backbone
seconds=$(echo "$(date +%s.%N) - $seconds" | bc)
echo "dvc pull split backbone: $(du -sb data/split | cut -f 1) bytes in $seconds s"
