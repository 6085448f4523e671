#!/bin/bash
# Train on all GPUs of several nodes: sbatch several-nodes.sh cfg.yaml [runs/exp1] [more options of srgan train]
#
# One task is one process with one GPU. Five minutes ahead of its time limit SLURM sends SIGUSR1 to every process; srgan
# finishes the step, saves and exits with 138, and the job is queued again. After a node has failed or the job was
# preempted, SLURM queues it again by itself. Every start goes on from the newest checkpoint, if there is one.
#
#SBATCH --job-name=srgan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

config=$1
run_dir=${2:-runs/$(basename "${config%.*}")}
shift $(($# < 2 ? $# : 2))

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# exec: the signal reaches srgan itself.
srun --kill-on-bad-exit=1 bash -c '
  export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS
  export LOCAL_RANK=$SLURM_LOCALID LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
  exec srgan train "$@"
' srgan "$config" --run-dir "$run_dir" --resume auto "$@"
code=$?

if [ "$code" -eq 138 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
