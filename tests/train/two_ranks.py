"""What each of two processes does for `test_two_ranks.py`: jobs from a file, one after the other."""

import json
import os
import signal
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.training import TrainingData
from srgan_cli.errors import SrganError
from srgan_cli.runfolder import RunFolder
from srgan_cli.schedule import Plan
from srgan_cli.train.meter import Meter
from srgan_cli.train.networks import build_networks
from srgan_cli.train.processes import together
from srgan_cli.train.run import run_training

PRETRAIN = Plan(1, True, 0.0, 1.0, ema_active=False)
GAN = Plan(16, False, 0.5, 1.0, ema_active=False)


def batch_of(spoiled=False):
    """Four crops; of the two of rank 1 the larger part is invalid, of rank 0's nothing."""
    torch.manual_seed(5)
    hr = torch.rand(4, 3, 32, 32) + 0.1
    valid = torch.ones(4, 1, 32, 32)
    valid[2] = 0
    valid[3, :, :20] = 0
    lr = torch.nn.functional.avg_pool2d(hr, 2)
    if spoiled:
        lr[3, 0, 5, 5] = torch.nan
    return Batch(lr, hr, valid)


def one_step(config, ranks, spoiled=False):
    """Gradients, weights, buffers and logged means of a step of each phase; of this rank's share."""
    # Traced, and run by PyTorch itself: no compiler is needed.
    with patch.object(torch, "compile", partial(torch.compile, backend="eager")):
        return _one_step(config, ranks, spoiled)


def _one_step(config, ranks, spoiled):
    warnings = []
    device = torch.device("cpu")
    networks = build_networks(config, device, 0.0, warnings.append, ranks)
    step = networks.step
    share = batch_of(spoiled).chunk(ranks.world)[ranks.rank]
    found = {"warnings": warnings}
    for name, plan in (("pretrain", PRETRAIN), ("gan", GAN)):
        meter = Meter()
        meter.add(step(share, plan, measure=plan is GAN))
        found[name] = {
            "values": meter.read(ranks.average),
            "gradients": {
                f"{which}.{key}": parameter.grad.clone()
                for which, network in (("g", step.generator), ("d", step.discriminator))
                for key, parameter in network.named_parameters()
                if parameter.grad is not None
            },
        }
    found["state"] = {
        which: {key: value.clone() for key, value in network.state_dict().items()}
        for which, network in (("g", step.generator), ("d", step.discriminator))
    }
    return found


class Steps:
    """Follows a run; sends a signal to its own process after a step, on one rank."""

    def __init__(self, after, number):
        self.after, self.number, self.steps, self.lines = after, number, 0, []

    def advance(self, count=1, text=""):
        self.steps += count
        if self.steps == self.after:
            os.kill(os.getpid(), self.number)

    def show(self, numbers):
        pass

    def say(self, text):
        self.lines.append(text)


class Failing(Steps):
    """A process whose machine gives up after three steps."""

    def __init__(self):
        super().__init__(0, 0)

    def advance(self, count=1, text=""):
        self.steps += count
        if self.steps == 3:
            raise SrganError("the disk of this machine is gone")


def run(job, ranks, steps):
    @contextmanager
    def progress(total, done):
        yield steps

    config, folder = RunConfig.model_validate(job["config"]), RunFolder(job["folder"])
    warnings = []
    run_training(config, folder, job.get("resume"), progress, warnings.append, ranks)
    return warnings


def train(job, ranks):
    """How a run has ended here."""
    steps = Steps(job.get("signal_after", 0) if ranks.rank == 1 else 0, signal.SIGUSR1)
    try:
        with patch.object(TrainingData, "train_batches", met_by_rank_1(ranks)):
            warnings = run(job, ranks, steps)
    except SrganError as err:
        return {"code": err.exit_code, "message": err.message, "steps": steps.steps}
    except SystemExit as stop:
        return {"code": stop.code, "message": "", "steps": steps.steps}
    return {"code": 0, "message": "", "steps": steps.steps, "warnings": warnings}


def met_by_rank_1(ranks):
    """`train_batches` that has something to say on one rank."""
    read = TrainingData.train_batches

    def batches(data, first, last, rank, world, warn):
        if ranks.rank == 1:
            warn("a file that only rank 1 has met is broken")
        return read(data, first, last, rank, world, warn)

    return batches


def work(jobs, results):
    with together() as ranks:
        for job in jobs:
            if "fails" in job:
                run(job, ranks, Failing() if ranks.rank == 1 else Steps(0, 0))
            elif "folder" in job:
                found = train(job, ranks)
            else:
                config = RunConfig.model_validate(job["config"])
                found = one_step(config, ranks, job.get("spoiled", False))
            torch.save(found, results / f"{job['name']}.{ranks.rank}.pt")


if __name__ == "__main__":
    try:
        work(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    except SrganError as err:
        print(err.message, file=sys.stderr)  # noqa: T201
        sys.exit(err.exit_code)
