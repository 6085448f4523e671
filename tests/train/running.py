"""Runs of the trainer in a test, and what two of them have in common."""

from contextlib import contextmanager

import torch

from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train.run import run_training
from srgan_cli.weights import load_generator


class Watcher:
    """Does something after a number of steps."""

    def __init__(self, after=None, action=None):
        self.after, self.action, self.steps = after, action, 0
        self.lines, self.numbers = [], []

    def advance(self, count=1, text=""):
        self.steps += count
        if count and self.steps == self.after:
            self.action()

    def show(self, numbers):
        self.numbers.append(dict(numbers))

    def say(self, text):
        self.lines.append(text)


def train(config, folder, resume=None, watcher=None, warnings=None):
    watcher = watcher or Watcher()

    @contextmanager
    def progress(total, done):
        yield watcher

    taken = [] if warnings is None else warnings
    return run_training(config, RunFolder(folder), resume, progress, taken.append)


def same_weights(one, other):
    first, second = load_generator(one.ema)[0], load_generator(other.ema)[0]
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def log_values(run):
    clocks = ("time", "system")
    return [
        {k: v for k, v in row.items() if not k.startswith(clocks)}
        for row in read_metrics(run.metrics)
        if row["kind"] != "event"
    ]


def same_state(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return all(same_state(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other or (one != one and other != other)
