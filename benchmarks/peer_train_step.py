"""OpenSR-SRGAN's own training step under Lightning, run step by step by benchmarks/train_step.py.

Runs in an interpreter that has opensr-srgan and Lightning, and imports nothing of ours. Takes one
JSON object with the settings as argument; then, for every line with a number on stdin, runs so many
steps of `Trainer.fit` and answers with their seconds as a JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
# Lightning prints where our answers go.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import opensr_srgan  # noqa: E402
import pytorch_lightning as pl  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from opensr_srgan.model.SRGAN import SRGAN_model  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402


class Crops(Dataset):  # type: ignore[type-arg]  # as Lightning's users write it
    """The same crops in memory for ever."""

    def __init__(self, settings: dict[str, Any]) -> None:
        side, scale = settings["hr_px"], settings["scale"]
        self.hr = torch.rand(settings["batch"], settings["bands"], side, side)
        self.lr = torch.nn.functional.avg_pool2d(self.hr, scale)

    def __len__(self) -> int:
        return 10**7

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        at = index % len(self.hr)
        return self.lr[at], self.hr[at]


class OnRequest(pl.Callback):
    """Lets the training run so many steps as the next line of stdin says, then waits."""

    def __init__(self) -> None:
        self.left = 0
        self.started = 0.0

    def on_train_start(self, *_: Any) -> None:
        """Wait for the first request."""
        self._wait()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Answer a request and wait for the next one."""
        self.left -= 1
        if self.left > 0:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._answer(time.perf_counter() - self.started)
        if not self._wait():
            trainer.should_stop = True

    def _wait(self) -> bool:
        line = sys.stdin.readline()
        self.left, self.started = int(line or 0), time.perf_counter()
        return self.left > 0

    @staticmethod
    def _answer(seconds: float) -> None:
        print(json.dumps({"seconds": seconds}), file=ANSWERS, flush=True)


def configuration(settings: dict[str, Any]) -> dict[str, Any]:
    """The peer's shipped configuration with our settings in it."""
    shipped = Path(opensr_srgan.__file__).parent / "configs" / "config_10m.yaml"
    config: dict[str, Any] = yaml.safe_load(shipped.read_text())
    config["Model"]["in_bands"] = settings["bands"]
    config["Generator"] |= settings["generator"]
    config["Discriminator"] |= settings["discriminator"]
    config["Optimizers"]["gradient_clip_val"] = settings["clip"]
    config["Training"] |= {
        "device": settings["device"],
        "gpus": [0],
        "pretrain_g_only": settings["phase"] == "pretraining",
        "g_pretrain_steps": -1,
        "EMA": {"enabled": True, "decay": 0.999, "update_after_step": 0, "use_num_updates": True},
    }
    config["Training"]["Losses"] |= settings["losses"]
    return config


def main() -> None:
    """Train until stdin ends."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(configuration(settings), file)
        file.flush()
        model = SRGAN_model(config=file.name, mode="train")
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu" if settings["device"] == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        callbacks=[OnRequest()],
    )
    trainer.fit(model, DataLoader(Crops(settings), batch_size=settings["batch"]))


if __name__ == "__main__":
    main()
