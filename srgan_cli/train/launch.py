"""Starting one process per GPU, through the launcher that torchrun itself uses."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
import uuid
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srgan_cli.config import RunConfig
from srgan_cli.errors import SrganError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGUSR1"
_WATCHED = "SRGAN_LAUNCHER_TELLS"
_SAVING_S = 600
"""For the processes to finish a step and save after a signal, before they are killed."""


def launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ


def launcher_tells() -> bool:
    """Whether the launcher of this process says which one was killed."""
    return _WATCHED in os.environ


def restarted() -> bool:
    """Whether the launcher starts this run again after a failure."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def launch(config: RunConfig, arguments: list[str]) -> int:
    """Run `srgan` with these arguments in every process of the configuration.

    What they print goes to this process's own output; a failure is told by the process that had it.

    Returns:
        The exit code of the run.

    Raises:
        RefusedError: This machine has fewer GPUs.
        SrganError: A process was killed; it could not tell.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    from srgan_cli.train.device import check_devices

    num_processes = config.training.processes
    check_devices(config.training.device, config.training.gpus, num_processes)
    # One thread for each core, not for each core and process.
    threads = max(len(os.sched_getaffinity(0)) // num_processes, 1) if _has_affinity() else 1
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ[_WATCHED] = "1"
    # Whatever a user should hear, the processes tell themselves, and not torch.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="srgan-") as folder:
        plan = _launch_config(num_processes, DefaultLogsSpecs(log_dir=folder))
        try:
            elastic_launch(plan, sys.executable)("-m", "srgan_cli", *arguments)
        except ChildFailedError as err:
            return _exit_code(err, Path(folder))
        except SignalException as err:
            told = told_exit_code(Path(folder))
            return 128 + err.sigval if told is None else told
    return 0


def _has_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")


def _launch_config(num_processes: int, logs: Any) -> Any:
    from torch.distributed.launcher.api import LaunchConfig

    # Newer than the oldest torch that is supported; without them a save has 30 seconds.
    newer: dict[str, Any] = {"signals_to_handle": _SIGNALS, "shutdown_timeout": _SAVING_S}
    known = {field.name for field in fields(LaunchConfig)}
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=logs,
        **{name: value for name, value in newer.items() if name in known},
    )


def _exit_code(err: ChildFailedError, folder: Path) -> int:
    """That of the process which failed first, by its own account or by the system's."""
    told = told_exit_code(folder)
    if told is not None:
        return told
    # The launcher ends the others by SIGTERM.
    for rank, failure in err.failures.items():
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:
            killed = SrganError(
                f"process {rank} of this run was killed by {signal.Signals(-failure.exitcode).name}",
                "see the system's log (dmesg) for want of memory; go on with --resume auto",
            )
            killed.exit_code = 128 - failure.exitcode
            raise killed
    first: int = err.get_first_failure()[1].exitcode
    return first if first > 0 else 128 - first


def tell_launcher(err: BaseException, exit_code: int) -> None:
    """Leave word of a failure where the launcher of this process looks for it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    text = err.message if isinstance(err, SrganError) else f"{type(err).__name__}: {err}"
    when = {"timestamp": str(int(time.time())), "py_callstack": ""}
    told = {"message": {"message": text, "extraInfo": when}, "exit_code": exit_code}
    try:
        Path(path).write_text(json.dumps(told), encoding="utf-8")
    except OSError:
        return


def told_exit_code(folder: Path) -> int | None:
    """What `tell_launcher` has written somewhere below `folder`; None = nothing."""
    for path in folder.rglob("error.json"):
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["exit_code"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
