"""Joining the processes of a run that a launcher has started, and ending together.

Whatever ends one of them ends all, and is told once: the first process that fails claims the word by
a key in the launcher's store; the others leave silently with its exit code.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from srgan_cli.errors import EXIT_BUG, EXIT_FAILED, RefusedError, SrganError, StoppedError
from srgan_cli.signals import SIGNALS
from srgan_cli.train.distributed import Ranks, Together
from srgan_cli.train.launch import launched, launcher_tells, tell_launcher

_DEVICES_WAIT = timedelta(minutes=30)
"""For gradients of other ranks; rank 0's writing never falls into it."""
_HOSTS_WAIT = timedelta(days=7)
"""For rank 0, which may write, validate or read for long."""
_JOIN_WAIT = timedelta(minutes=15)
_GRACE_S = 3.0
"""To leave by itself, for a process that another one's failure has ended."""
_LOOK_EVERY_S = 0.5

_PEER_GONE = re.compile(r"third_party/gloo|\bNCCL\b|Connection (closed|reset|refused)|Broken pipe")
"""In the message of a collective that failed because another process is gone."""


@contextmanager
def together() -> Iterator[Ranks]:
    """This process among those of its run; alone where no launcher has started several.

    Raises:
        RefusedError: The launcher's environment makes no sense, or the others cannot be reached.
        SystemExit: Another process has failed and tells why; with its exit code.
    """
    restarts = _number("TORCHELASTIC_RESTART_COUNT", 0)
    if not launched():
        yield Ranks(restarts=restarts)
        return
    rank, world = _number("RANK"), _number("WORLD_SIZE")
    local_rank, local_world = _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", world)
    word = _Word(rank, world, restarts)
    try:
        control = _join(rank, world, word)
        yield Together(rank, world, local_rank, local_world, restarts, control)
        # Rank 0 may host the store, so it is the last to go.
        dist.barrier(group=control)
    except SystemExit:
        raise
    except BaseException as err:
        told = word.claim(err)
        if told is err:
            raise
        raise told from None
    finally:
        # It is ending; the launcher's signal must not cut off what it still says.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        word.leave()
    dist.destroy_process_group()


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        raise RefusedError(
            f"the environment variable {name} is {text!r}, not a number, beside "
            f"WORLD_SIZE={os.environ.get('WORLD_SIZE')}",
            "start several processes with Training.gpus, torchrun, or as in examples/slurm",
        )
    return int(text)


def _join(rank: int, world: int, word: _Word) -> Any:
    """Connect with the others; returns the control group."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        # With a prefix: the store of a launcher that starts a run again still knows the dead.
        store = dist.PrefixStore(word.key, _store(is_host=word.hosts, patience=_JOIN_WAIT))  # type: ignore[attr-defined]
        word.watch()
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world, timeout=_DEVICES_WAIT
        )
        control = dist.new_group(backend="gloo", timeout=_HOSTS_WAIT)
    except (RuntimeError, ValueError) as err:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        reason = str(err).strip().partition("\n")[0]
        raise RefusedError(
            f"cannot reach the other processes by {place} ({reason})",
            "check MASTER_ADDR, MASTER_PORT and that every process was started; GLOO_SOCKET_IFNAME "
            "and NCCL_SOCKET_IFNAME name the network interface",
        ) from err
    return control


def _store(is_host: bool = False, patience: timedelta = timedelta(seconds=3)) -> Any:
    """A connection to the store of the run, which rank 0 has where the launcher has none."""
    return dist.TCPStore(  # type: ignore[attr-defined]  # only where torch has it
        os.environ["MASTER_ADDR"],
        _number("MASTER_PORT"),
        is_master=is_host,
        timeout=patience,
        wait_for_workers=False,
        multi_tenant=is_host,
    )


class _Word:
    """Who speaks for the run when it fails."""

    def __init__(self, rank: int, world: int, restarts: int) -> None:
        self._rank, self._world = rank, world
        # The store of an elastic launcher outlives its restarts.
        run = os.environ.get("TORCHELASTIC_RUN_ID", "")
        self.key = f"srgan/{run}/{restarts}"
        self.hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        self._failed = f"{self.key}/failed"
        self._done = threading.Event()
        self._store: Any = None

    def claim(self, err: BaseException) -> BaseException:
        """What this process raises for `err`: the error itself, or a silent exit."""
        code = err.exit_code if isinstance(err, SrganError) else EXIT_BUG
        if isinstance(err, KeyboardInterrupt):
            code = 128 + signal.SIGINT
        gone = _means_that_another_is_gone(err)
        if gone:
            code = EXIT_FAILED
        try:
            first = self._store.compare_set(self._failed, "", f"{self._rank} {code}").decode()
        except (RuntimeError, AttributeError):  # it is gone, or was never reached
            first = f"{self._rank} {code}"
        speaker, speakers_code = map(int, first.split())
        if speaker != self._rank:
            return SystemExit(speakers_code)
        if gone and launcher_tells():
            return SystemExit(code)
        if gone:
            reason = str(err).strip().partition("\n")[0]
            return SrganError(
                "another process of this run has ended without a word: killed, or short of memory "
                f"({reason})",
                "see the system's log (dmesg); go on with --resume auto",
            )
        tell_launcher(err, code)
        if isinstance(err, SrganError) and self._rank and not isinstance(err, StoppedError):
            whose = f"process {self._rank} of {self._world} ({socket.gethostname()})"
            err.message = f"{whose}: {err.message}"
            err.args = (err.message,)
        return err

    def watch(self) -> None:
        """End this process when another one has failed, wherever it is waiting."""
        # A connection of its own: the other one may be waiting in a collective.
        self._store = _store()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        try:
            while not self._store.check([self._failed]):
                if self._done.wait(_LOOK_EVERY_S):
                    return
            speaker, code = map(int, self._store.get(self._failed).decode().split())
        except RuntimeError:
            # The launcher is gone, or rank 0 where that has the store.
            if not self._done.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
            return
        # Most leave by themselves, for a collective fails; on CUDA the host may wait for ever.
        if speaker != self._rank and not self._done.wait(_GRACE_S):
            os._exit(code)

    def leave(self) -> None:
        """This process goes; where it has the store, it lets the others hear before."""
        self._done.set()
        if not self.hosts:
            self._count()
            return
        until = time.monotonic() + _GRACE_S + 2 * _LOOK_EVERY_S
        while time.monotonic() < until and self._count(0) < self._world - 1:
            time.sleep(0.05)

    def _count(self, more: int = 1) -> int:
        """Processes that have left."""
        try:
            return int(self._store.add(f"{self.key}/left", more))
        except (RuntimeError, AttributeError):
            return self._world


def _means_that_another_is_gone(err: BaseException) -> bool:
    if isinstance(err, SrganError | torch.OutOfMemoryError) or not isinstance(err, RuntimeError):
        return False
    return isinstance(err, dist.DistError) or _PEER_GONE.search(str(err)) is not None
