"""The process that speaks to Weights & Biases: `python -m srgan_cli.train.wandb_process`.

It reads one JSON object a line from stdin, and writes one to stdout before it ends: `{"error": ...}`, or
`{"error": null}` after `close`. In a process of its own wandb can wait, crash or hang without the training
taking notice. When the training dies, stdin ends, and the run there is marked as crashed.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

from srgan_cli.signals import SIGNALS

INIT_SECONDS: Final = 60


def serve(lines: Iterable[str], answer: TextIO) -> None:
    """Do what the lines say; the first one opens the run."""
    try:
        _mirror(json.loads(line) for line in lines)
        error = None
    except BaseException as err:  # SystemExit too
        error = f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
    try:
        answer.write(json.dumps({"error": error}) + "\n")
        answer.flush()
    except OSError:
        return  # the training has ended or given up


def _mirror(messages: Iterable[Mapping[str, Any]]) -> None:
    import wandb

    run = None
    for message in messages:
        what = message["do"]
        if run is None:
            run = _open(wandb, message)
        elif what == "log":
            run.log(message["values"], step=message["step"])
        elif what == "image":
            run.log({"panels": wandb.Image(message["path"])}, step=message["step"])
        elif what == "close":
            run.finish()
            return
    if run is not None:
        run.finish(exit_code=1)


def _open(wandb: Any, message: Mapping[str, Any]) -> Any:
    online = message["mode"] == "online"
    if online and not _logged_in(wandb):
        raise PermissionError("no API key; run `wandb login`, or set Logging.wandb.mode to offline")
    return wandb.init(
        entity=message["entity"],
        project=message["project"],
        name=message["name"],
        id=message["id"],
        # An offline run cannot ask the server; `wandb sync` appends it to the run of its id.
        resume="allow" if online else None,
        dir=message["folder"],
        mode=message["mode"],
        config=message["config"],
        settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS),
    )


def _logged_in(wandb: Any) -> bool:
    """Whether there are credentials; without them wandb would ask for a key on the terminal."""
    if "prompt" in inspect.signature(wandb.login).parameters:  # newer than our lower bound
        return bool(wandb.login(prompt=False, verify=False))
    return bool(wandb.api.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"))


def main() -> None:
    """Serve stdin; whatever wandb prints goes to stderr."""
    # A scheduler sends signals to every process; the training says when it is over.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answer)


if __name__ == "__main__":
    main()
