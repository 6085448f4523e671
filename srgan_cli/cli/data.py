"""`srgan data`: what a configuration will train on, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console
from srgan_cli.errors import EXIT_FAILED, RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig
    from srgan_cli.data.findings import FileReport, PairReport, Survey

FILES_SHOWN = 40
"""Rows of the tables for people; `--json` has all."""


def data(
    config: Annotated[Path, typer.Argument(help="YAML file of a run.")],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a contact sheet (PNG) of LR | HR pairs."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the YAML; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Look at all imagery of a configuration: bands, values, usable crops, LR against HR.

    Exit 0 when a training can start; 1 with a list of everything that is wrong.

    \b
    srgan data cfg.yaml
    srgan data cfg.yaml --sheet pairs.png
    srgan data cfg.yaml --json > data.json
    """
    from srgan_cli.config import load_config
    from srgan_cli.data.survey import num_files, survey

    if sheet is not None and sheet.exists() and not overwrite:
        raise RefusedError(f"{sheet} exists", "add --overwrite, or choose another --sheet")
    if sheet is not None and not sheet.parent.is_dir():
        raise RefusedError(f"there is no folder {sheet.parent} for {sheet.name}", "make it first")
    loaded = load_config(config, set_ or [])
    for problem in loaded.warnings:
        console.warn(str(problem))
    with console.progress("data", 2 * num_files(loaded.config)) as bar:
        found = survey(loaded.config, lambda name: bar.advance(1, name))
    for warning in found.warnings:
        console.warn(warning)
    if sheet is not None:
        _write_sheet(sheet, loaded.config, found)
    if as_json:
        console.answer_json(found.as_dict())
    else:
        console.answer(_text(config, loaded.config, found, sheet))
    if found.troubles:
        raise typer.Exit(EXIT_FAILED)


def _write_sheet(path: Path, config: RunConfig, found: Survey) -> None:
    from srgan_cli.data.sheet import write_sheet

    if not found.samples:
        console.warn(f"{path} is not written: there is no usable crop")
        return
    bands = config.training.losses.fixed_idx or ((0, 1, 2) if config.model.in_bands >= 3 else (0,))
    try:
        write_sheet(path, [crop for _, crop in found.samples], bands)
    except OSError as err:
        raise RefusedError(f"{path} cannot be written: {err}", "choose another --sheet") from err


def _text(path: Path, config: RunConfig, found: Survey, sheet: Path | None) -> str:
    parts = []
    if found.files:
        parts += [_file_table(found.files), _band_table(found)]
        parts.append(_facts(config, found))
    if found.pairs:
        parts.append(_pair_table(found.pairs, found.band_names))
    if sheet is not None and found.samples:
        parts.append(_legend(sheet, found))
    parts.append(_verdict(path, found))
    return "\n\n".join(parts)


def _file_table(files: Sequence[FileReport]) -> str:
    head = (
        "file", "role", "size", "bands", "dtype", "CRS", "pixel", "nodata", "crops", "texture"
    )  # fmt: skip
    rows = []
    for file in files[:FILES_SHOWN]:
        raster, crops = file.raster, file.crops
        rows.append(
            (
                Path(raster.path).name,
                file.role,
                raster.size,
                ",".join(map(str, raster.bands)),
                raster.dtype,
                raster.crs[:24] or "none",
                f"{raster.gsd_m:.4g} m" if raster.gsd_m else "unknown",
                f"{1 - raster.valid_fraction:.1%}",
                "" if crops is None else f"{crops.estimate} of {crops.total}",
                "" if crops is None else f"{crops.texture:.3g}",
            )
        )
    return _columns(head, rows, len(files))


def _band_table(found: Survey) -> str:
    """The range of each band over all files, and what the network gets."""
    rows = []
    for band, name in enumerate(found.band_names):
        lows = [file.raster.band_lows[band] for file in found.files]
        highs = [file.raster.band_highs[band] for file in found.files]
        inputs = [file.network[band] for file in found.files if file.network]
        values = [value for pair in inputs for value in pair]
        network = f"{min(values):.3f} to {max(values):.3f}" if values else "unknown"
        darkest = _name_of(found.files, lows.index(min(lows)))
        brightest = _name_of(found.files, highs.index(max(highs)))
        rows.append((name, f"{min(lows):.5g} to {max(highs):.5g}", network, darkest, brightest))
    head = ("band", "stored (99.8 %)", "network", "darkest in", "brightest in")
    return _columns(head, rows, len(rows))


def _name_of(files: Sequence[FileReport], index: int) -> str:
    return Path(files[index].raster.path).name


def _facts(config: RunConfig, found: Survey) -> str:
    radiometry = found.radiometry
    lines = []
    if radiometry is not None:
        numbers = f"scale {_numbers(radiometry.scale)}, offset {_numbers(radiometry.offset)}"
        lines.append(f"normalization {radiometry.name}: {numbers}")
    if not found.pairs:
        degradation = config.data.degradation
        lines.append(f"LR is made by degradation {degradation.kind}")
    if found.steps_per_epoch is not None:
        lines.append(
            f"{found.steps_per_epoch} steps of {config.data.train_batch_size} crops of "
            f"{config.data.hr_crop_px} px see the training imagery once"
        )
    return "\n".join(lines)


def _numbers(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{each:.4g}' for each in value)}]"
    return f"{value:.4g}"


def _pair_table(pairs: Sequence[PairReport], band_names: Sequence[str]) -> str:
    from srgan_cli.data.consistency import shift_words

    rows = []
    for pair in pairs[:FILES_SHOWN]:
        found = pair.agreement
        shift = "unknown" if found.shift is None else shift_words(found.shift)
        for band, name in enumerate(band_names):
            first = band == 0
            rows.append(
                (
                    Path(pair.lr).name if first else "",
                    Path(pair.hr).name if first else "",
                    shift if first else "",
                    name,
                    f"{found.gain[band]:.3f}",
                    f"{found.bias[band]:+.4g}",
                    f"{found.correlation[band]:.3f}",
                )
            )
    head = ("LR", "HR", "LR beside HR, LR px", "band", "gain", "bias", "correlation")
    return _columns(head, rows, len(pairs) * len(band_names))


def _legend(sheet: Path, found: Survey) -> str:
    from srgan_cli.data.sheet import COLUMNS

    lines = [f"{sheet}: LR | HR, one stretch per pair, invalid pixels magenta"]
    for index, (place, _) in enumerate(found.samples):
        at = f"row {index // COLUMNS + 1}, column {index % COLUMNS + 1}"
        where = f"{Path(place.scene.hr).name} from row {place.row}, column {place.col}"
        lines.append(f"  {at}: {where}")
    return "\n".join(lines)


def _verdict(path: Path, found: Survey) -> str:
    count = len(found.troubles)
    if not count:
        return f"{path}: OK"
    lines = [f"{path}: {count} problem{'s' if count > 1 else ''}"]
    for number, trouble in enumerate(found.troubles, start=1):
        lines += [f"{number}. {trouble.text}", f"   fix: {trouble.hint}"]
    return "\n".join(lines)


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    """Plain columns, as wide as their longest entry."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    if total > len(rows):
        lines.append(f"... and {total - len(rows)} more rows; --json has them all")
    return "\n".join(lines)
