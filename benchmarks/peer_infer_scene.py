"""opensr-utils' own inference of a scene, run again and again by benchmarks/infer_scene.py.

Runs in an interpreter that has opensr-utils and opensr-srgan, and imports nothing of ours. Takes
one JSON object with the settings as argument; then, for every line on stdin, makes the scene and
answers with the seconds as a JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")
# It prints where our answers go.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import torch  # noqa: E402
from opensr_srgan.model.generators.flexible_generator import FlexibleGenerator  # noqa: E402
from opensr_utils import super_resolve  # noqa: E402


def network(settings: dict[str, Any]) -> torch.nn.Module:
    """The same network, as OpenSR-SRGAN has it."""
    generator = FlexibleGenerator(
        in_channels=settings["bands"],
        n_channels=settings["n_channels"],
        n_blocks=settings["n_blocks"],
        large_kernel=settings.get("large_kernel_size", 9),
        scale=settings["scale"],
        block_type=settings["block_type"],
    )
    generator.load_state_dict(torch.load(settings["weights"], weights_only=True))
    return generator.eval()


def main() -> None:
    """Infer until stdin ends."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    model = network(settings)
    for _ in sys.stdin:
        began = time.perf_counter()
        super_resolve(
            settings["scene"],
            model,
            settings["output"],
            window_size=(settings["window"],) * 2,
            factor=settings["scale"],
            overlap=settings["overlap"],
            batch_size=settings["batch"],
            device="cpu",
            output_units="normalized",
            overwrite=True,
        )
        print(json.dumps({"seconds": time.perf_counter() - began}), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
