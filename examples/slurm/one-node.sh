#!/bin/bash
# Train on all GPUs of one node: sbatch one-node.sh cfg.yaml [runs/exp1] [more options of srgan train]
#
# srgan starts one process for each GPU itself and passes signals on to them; else as several-nodes.sh.
#
#SBATCH --job-name=srgan
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

config=$1
run_dir=${2:-runs/$(basename "${config%.*}")}
shift $(($# < 2 ? $# : 2))

srun srgan train "$config" --run-dir "$run_dir" --resume auto \
  --set Training.num_processes="$SLURM_GPUS_ON_NODE" "$@"
code=$?

if [ "$code" -eq 138 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
