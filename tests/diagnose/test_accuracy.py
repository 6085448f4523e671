"""The benchmark of accuracy, in small: planted faults found, healthy runs left alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOGS = ROOT.parent / "shared" / "data" / "runs"


def load_benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "diagnose_accuracy.py"
    spec = importlib.util.spec_from_file_location("diagnose_accuracy", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["diagnose_accuracy"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


BENCHMARK = load_benchmark()


def test_faults_are_found_and_healthy_runs_are_left_alone() -> None:
    table = BENCHMARK.sweep(range(100, 101), BENCHMARK.CADENCES[1:2])
    found, abstained, alarms = BENCHMARK.rates(table)
    assert found >= 0.95, {key: row for key, row in table.items() if row["missed"]}
    assert abstained <= 0.2
    assert alarms == 0
    folders = {key[0]: row for key, row in table.items() if key[1] == "run folder"}
    assert all(row["missed"] == 0 for row in folders.values())
    assert len(folders) == len(BENCHMARK.FAULTS) + 1


def test_healthy_runs_of_other_seeds_and_cadences_are_left_alone(tmp_path: Path) -> None:
    from srgan_cli.diagnose import diagnose_run

    for index in range(40):
        cadence = BENCHMARK.CADENCES[:3][index % 3]
        run = BENCHMARK.healthy(200 + index, cadence)
        path = BENCHMARK.write_csv(run, tmp_path / f"{index}.csv")
        report = diagnose_run(path)
        assert not report.reaches("warn"), (index, report.findings)


WANTED = {
    "F01_d_dead": "GAN02",
    "F02_d_slow": "GAN02",
    "F03_d_over": "GAN01",
    "F06_nan": "NUM01",
    "F08_spikes": "NUM03",
    "F09_adv_tiny": "GAN06",
    "F10_adv_huge": "GAN10",
    "F11_noramp": "SCH04",
    "F12_short_pre": "SCH02",
    "F13_never_adv": "SCH01",
    "F14_plateau": "SCH11",
    "F15_wgan": "GAN08",
    "F16_ema_stale": "EMA01",
    "F17_ema_slow": "EMA02",
    "F19_highlr": "NUM05",
}
"""What was planted in the logs in which it took effect."""


@pytest.mark.skipif(not LOGS.is_dir(), reason="the logs are not there")
def test_logged_trainings() -> None:
    from srgan_cli.diagnose import diagnose_run

    for path in sorted(LOGS.glob("[FH]*")):
        report = diagnose_run(path)
        codes = {code for found in report.findings for code in (found.code, *found.explains)}
        if path.name.startswith("H"):
            assert not report.reaches("warn"), path.name
        elif code := WANTED.get(path.name.rsplit("_", 1)[0]):
            assert code in codes, path.name
