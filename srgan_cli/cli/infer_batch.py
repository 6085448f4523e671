"""`srgan infer --manifest` and `--collect`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from srgan_cli.cli.infer_report import named_command
from srgan_cli.errors import RefusedError, SrganError

if TYPE_CHECKING:
    from srgan_cli.infer.options import InferOptions
    from srgan_cli.infer.scene_list import Scene
    from srgan_cli.infer.status import Status


def refuse_beside(option: str, others: Mapping[str, Any]) -> None:
    """Refuse what makes no sense beside an option."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise RefusedError(
            f"{option} and {' and '.join(given)}: one excludes the other", "give one"
        )


def refuse_without(option: str, others: Mapping[str, Any]) -> None:
    """Refuse what makes sense beside an option only."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise RefusedError(f"{given[0]} without {option}", f"it belongs to {option}")


def run(
    weights: Path,
    attention: int | Literal["trained", "full"],
    options: InferOptions,
    manifest: str,
    out_dir: Path | None,
    shard_text: str | None,
    as_json: bool,
) -> None:
    """Make the scenes of a list that fall to this process."""
    from srgan_cli.cli import console
    from srgan_cli.infer import load
    from srgan_cli.infer.batch import run_batch
    from srgan_cli.infer.scene_list import read_scenes
    from srgan_cli.infer.shards import find_shard

    if out_dir is None:
        raise RefusedError("--manifest without --out-dir", "say where the outputs go")
    if options.quicklook_path:
        raise RefusedError("--quicklook-path with --manifest: one name for many", "use --quicklook")
    if out_dir.exists() and not out_dir.is_dir():
        raise RefusedError(f"--out-dir {out_dir}: not a folder", "choose another")
    scenes = read_scenes(manifest, out_dir, options)
    shard = find_shard(shard_text, os.environ)
    ours = shard.of(scenes)
    which = f"shard {shard} ({shard.origin}): " if shard.origin else ""
    console.note(f"{which}{len(ours)} of {len(scenes)} scenes")
    if options.dry_run:
        _show_plan(ours)
        return

    def tell(status: Status) -> None:
        if status.problem:
            console.warn(f"{status.input}: {status.message}")
        for warning in _warnings(status):
            console.warn(warning)
        if status.state in ("done", "skipped") and not as_json:
            console.answer(status.output)

    with named_command():
        model = load(weights, attention)
        statuses = run_batch(model, ours, console.progress, tell)
    if as_json:
        console.answer_json(_report(statuses) | {"shard": str(shard)})
    _finish(statuses)


def _warnings(status: Status) -> list[str]:
    """What a scene that was made gave cause to warn of, one line each, with the scene's name."""
    if status.state != "done" or status.result is None:
        return []
    texts = [" ".join(str(text).split()) for text in status.result["warnings"]]
    return [text if status.input in text else f"{status.input}: {text}" for text in texts]


def _show_plan(scenes: Sequence[Scene]) -> None:
    from srgan_cli.cli import console

    for scene in scenes:
        there = " (exists)" if scene.output.exists() else ""
        console.answer(f"{scene.input} -> {scene.output}{there}")


def show_collected(out_dir: Path, as_json: bool) -> None:
    """Say what became of the scenes of a folder."""
    from srgan_cli.cli import console
    from srgan_cli.infer.status import collect

    statuses = collect(out_dir)
    if as_json:
        console.answer_json(_report(statuses))
    else:
        for line in _table(statuses):
            console.answer(line)
    _finish(statuses)


def _report(statuses: Sequence[Status]) -> dict[str, Any]:
    return {
        "counts": dict(Counter(status.state for status in statuses)),
        "problems": sum(status.problem for status in statuses),
        "seconds": sum(status.seconds for status in statuses),
        "scenes": [_plain(status.as_dict()) for status in statuses],
    }


def _plain(value: Any) -> Any:
    """Lists for tuples, as the JSON writer of the console wants them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _table(statuses: Sequence[Status]) -> list[str]:
    width = max(len(status.output) for status in statuses)
    lines = []
    for status in statuses:
        bias = _worst_bias(status)
        facts = [
            f"{status.output:{width}}",
            f"{status.state:8}",
            f"{status.seconds:8.1f} s",
            "bias   -     " if bias is None else f"bias {bias:+8.3g}",
            status.message,
        ]
        lines.append("  ".join(facts).rstrip())
    counts = Counter(status.state for status in statuses)
    total = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    return [*lines, f"{len(statuses)} scenes: {total}"]


def _worst_bias(status: Status) -> float | None:
    """Of the band that is off most."""
    bands = ((status.result or {}).get("qa") or {}).get("bands") or ()
    biases = [float(band["bias"]) for band in bands]
    return max(biases, key=abs) if biases else None


def _finish(statuses: Sequence[Status]) -> None:
    bad = [status for status in statuses if status.problem]
    if bad:
        raise SrganError(
            f"{len(bad)} of {len(statuses)} scenes have problems; the first: "
            f"{bad[0].output}: {bad[0].message}",
            bad[0].hint or "look at its status file",
        )
