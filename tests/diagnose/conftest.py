"""The planted runs, each made and read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from planted import PLANTED

from srgan_cli.diagnose import Report, examine
from srgan_cli.diagnose.log import RunLog


class Diagnosed(NamedTuple):
    folder: Path
    log: RunLog
    report: Report


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Diagnosed]:
    """Code -> the run in which it is planted; for tests that only read."""
    made: dict[str, Diagnosed] = {}
    root = tmp_path_factory.mktemp("planted")

    def get(code: str) -> Diagnosed:
        if code not in made:
            folder = PLANTED[code].make(root / code)
            log = PLANTED[code].read(folder)
            made[code] = Diagnosed(folder, log, examine(log))
        return made[code]

    return get
