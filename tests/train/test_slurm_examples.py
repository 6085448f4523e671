"""The SLURM recipes, run by a SLURM of three lines each."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import typer

from srgan_cli.cli.app import app
from srgan_cli.config import names

SCRIPTS = sorted((Path(__file__).parents[2] / "examples" / "slurm").glob("*.sh"))
TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

FAKES = {
    # One task after the other, as two nodes of two would have them.
    "srun": """
while [[ $1 == --* ]]; do shift; done
for task in $(seq 0 $((SLURM_NTASKS - 1))); do
  SLURM_PROCID=$task SLURM_LOCALID=$((task % SLURM_NTASKS_PER_NODE)) "$@"; worst=$?
done
exit $worst
""",
    "scontrol": """
if [ "$1" = show ]; then echo node-a; echo node-b; else echo "scontrol $*" >> "$SAID"; fi
""",
    "srgan": """
echo "srgan $*|$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR $MASTER_PORT" >> "$SAID"
exit $CODE
""",
}


@pytest.fixture
def submit(tmp_path):
    for name, text in FAKES.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)

    def run(script, code, tasks, *arguments):
        said = tmp_path / "said"
        said.unlink(missing_ok=True)
        slurm = {
            "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_NTASKS": str(tasks),
            "SLURM_NTASKS_PER_NODE": "2", "SLURM_GPUS_ON_NODE": "4",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", script, *arguments], check=False,
            env={**os.environ, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID": str(said), "CODE": str(code)},
        )  # fmt: skip
        return done.returncode, said.read_text().splitlines()

    return run


def test_there_are_recipes_for_one_node_and_for_several():
    assert [script.name for script in SCRIPTS] == ["one-node.sh", "several-nodes.sh"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_they_name_exists(script):
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    train = typer.main.get_command(app).commands["train"]
    known = {option for parameter in train.params for option in parameter.opts}
    line = re.search(r"srgan \"\$config\".*|srgan train \"\$config\"(.|\\\n)*?\"\$@\"", text)[0]
    used = set(re.findall(r"--[a-z-]+", line))
    assert {"--run-dir", "--resume"} <= used <= known
    for key in re.findall(r"--set ([\w.]+)", text):
        assert tuple(key.split(".")) in names.all_keys()
    assert "#SBATCH --requeue" in text
    assert "#SBATCH --signal=USR1@" in text  # not B:, which would reach the script alone


def test_each_task_on_several_nodes_is_a_rank(submit):
    code, said = submit(
        SCRIPTS[1], 0, 4, "my configs/exp.yaml", "runs/a b", "--set", "Training.seed=1"
    )
    assert code == 0
    command = (
        "srgan train my configs/exp.yaml --run-dir runs/a b --resume auto --set Training.seed=1"
    )
    assert said == [f"{command}|{rank} 4 {rank % 2} 2 node-a 24711" for rank in range(4)]


def test_one_node_starts_a_process_for_each_gpu(submit):
    code, said = submit(SCRIPTS[0], 0, 1, "exp.yaml")
    assert code == 0
    (told,) = said
    wanted = "srgan train exp.yaml --run-dir runs/exp --resume auto --set Training.num_processes=4|"
    assert told.startswith(wanted)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_run_that_was_stopped_for_its_time_limit_is_queued_again(submit, script):
    code, said = submit(script, 138, 1, "exp.yaml")
    assert (code, said[-1]) == (138, "scontrol requeue 4711")
    code, said = submit(script, 1, 1, "exp.yaml")
    assert code == 1
    assert not said[-1].startswith("scontrol")
