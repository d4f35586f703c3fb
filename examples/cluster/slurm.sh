#!/bin/bash
# One run on four machines with eight GPUs each: sbatch slurm.sh
# The environment, the models and the run folder are on a file system that all machines share.
#SBATCH --job-name=evalkit
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
# Given back to the queue when a machine fails: the same command goes on where it was.
#SBATCH --requeue

set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# Ray's own launcher starts Ray on every machine, and the command on the first one only.
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus 8 -- \
    evalkit run --model "$HOME/models/mine" --tasks gpt3-paper --shots 0,1,paper \
    --device cuda --ray auto --out "$HOME/runs/mine"
