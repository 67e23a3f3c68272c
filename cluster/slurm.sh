#!/usr/bin/env bash
# Run the pipeline under Slurm, and its training on all nodes of the job at once (docs/cluster.md).
#
#     sbatch --nodes 2 --gpus-per-node 8 --cpus-per-task 64 cluster/slurm.sh
#
# Submit it in the project's folder, after `make setup`. All nodes must see this folder, and the
# cache folder (CLASSIFIER_CACHE), at the same path: on a shared file system.
#SBATCH --job-name=classifier
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export PATH="$PWD/.venv/bin:$PATH"

# One process for each GPU of a node; on nodes without GPUs, one process.
PROCESSES=${SLURM_GPUS_ON_NODE:-1}
# srun does not take this number from sbatch, and would give its task one core.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
THREADS=$((SRUN_CPUS_PER_TASK / PROCESSES))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((THREADS > 0 ? THREADS : 1))}
# Slurm runs this script on the first node, where the processes meet; two jobs have two ports.
MAIN_NODE=$(hostname)
PORT=$((20000 + SLURM_JOB_ID % 10000))
export PROCESSES MAIN_NODE PORT

dvc repro split backbone
# A job that comes back after its training was finished does not train again.
if ! dvc status --quiet train; then
    # Single quotes: the shell of each node puts its own number in.
    srun --kill-on-bad-exit=1 bash -c '
        exec torchrun --nnodes "$SLURM_NNODES" --node-rank "$SLURM_NODEID" \
            --nproc-per-node "$PROCESSES" --master-addr "$MAIN_NODE" --master-port "$PORT" \
            -m stages.train'
    # DVC did not start the stage: tell it that it has run.
    dvc commit --force train
fi
dvc repro
