"""Which part of a list of scenes is ours: given, or told by the cluster that started us."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from srgan_cli.errors import RefusedError

Item = TypeVar("Item")
_GIVE_IT = "give --shard I/N, I from 0 to N - 1"


@dataclass(frozen=True)
class Shard:
    """Part `index`, from 0, of `count` parts."""

    index: int
    count: int
    origin: str
    """What said so; empty where nothing did."""

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th item, from number `index` on: neighbours in a list cost alike."""
        return items[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def find_shard(text: str | None, environ: Mapping[str, str]) -> Shard:
    """The shard of `--shard I/N`, else of a job array and of torchrun, else everything.

    SLURM: SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT, so that --array=0-63, 1-64 and 0-126:2 all
    work. AWS Batch: AWS_BATCH_JOB_ARRAY_INDEX and _SIZE. Kubernetes gives JOB_COMPLETION_INDEX
    but no number of completions. torchrun: RANK and WORLD_SIZE, which divide the part of an array.

    Raises:
        RefusedError: The text or the variables do not make sense.
    """
    if text:
        return _given(text)
    array = _slurm(environ) or _aws(environ)
    ranks = _pair(environ, "RANK", "WORLD_SIZE")
    if not array and not ranks:
        _refuse_kubernetes(environ)
    if array and ranks:
        return Shard(
            array.index * ranks.count + ranks.index,
            array.count * ranks.count,
            f"{array.origin} and {ranks.origin}",
        )
    return array or ranks or Shard(0, 1, "")


def _given(text: str) -> Shard:
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found or int(found[1]) >= int(found[2]):
        raise RefusedError(
            f"--shard {text}: not I/N with I from 0 to N - 1", "for example 0/8 to 7/8"
        )
    return Shard(int(found[1]), int(found[2]), "--shard")


def _slurm(environ: Mapping[str, str]) -> Shard | None:
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return None
    task = _integer(environ, "SLURM_ARRAY_TASK_ID")
    first = _integer(environ, "SLURM_ARRAY_TASK_MIN")
    count = _integer(environ, "SLURM_ARRAY_TASK_COUNT")
    last = _integer(environ, "SLURM_ARRAY_TASK_MAX")
    # An array of irregular numbers has a step of its own making; the span must tell the same.
    step = max((last - first) // max(count - 1, 1), 1)
    index, rest = divmod(task - first, step)
    if rest or not 0 <= index < count or first + (count - 1) * step != last:
        raise RefusedError(
            f"SLURM_ARRAY_TASK_ID is {task} in an array of {count} tasks from {first} to {last}, "
            "which are not evenly spaced",
            f"use --array=0-{count - 1}, or {_GIVE_IT}",
        )
    return Shard(index, count, "SLURM_ARRAY_TASK_ID")


def _aws(environ: Mapping[str, str]) -> Shard | None:
    return _pair(environ, "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")


def _refuse_kubernetes(environ: Mapping[str, str]) -> None:
    index = environ.get("JOB_COMPLETION_INDEX")
    if index is not None:
        raise RefusedError(
            f"JOB_COMPLETION_INDEX is {index}, but Kubernetes does not say of how many",
            "give --shard $(JOB_COMPLETION_INDEX)/N in the job's args, N its completions",
        )


def _pair(environ: Mapping[str, str], index_name: str, count_name: str) -> Shard | None:
    if index_name not in environ or count_name not in environ:
        return None
    index, count = _integer(environ, index_name), _integer(environ, count_name)
    if not 0 <= index < count:
        raise RefusedError(f"{index_name} is {index}, {count_name} is {count}", _GIVE_IT)
    return Shard(index, count, index_name)


def _integer(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not re.fullmatch(r"\d+", text):
        raise RefusedError(f"{name} is {text!r}, not a number", _GIVE_IT)
    return int(text)
