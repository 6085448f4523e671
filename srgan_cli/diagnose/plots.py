"""Draws panels as SVG: readable in light and dark, and without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from srgan_cli.diagnose.panels import Curve, Panel, PhaseMap, Phases
from srgan_cli.diagnose.svg import colour, drawing, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: Final = ("solid", (0, (5, 1.5)), (0, (1.5, 1)), "dashdot")
"""Curves differ in their dashes too: nobody needs to see colours."""
_MARKERS: Final = ("o", "s", "^", "D")
_SERIES: Final = ("one", "two", "three", "four")
_WIDTH_IN: Final = 8.0
_HEIGHT_IN: Final = 2.4
_LEFT_IN: Final = 0.78
_RIGHT_IN: Final = 0.1
_BOTTOM_IN: Final = 0.45
_TOP_IN: Final = 0.5
"""Fixed margins: the steps of all plots stand below each other, and nothing has to be measured."""
_HEADROOM: Final = 0.12
"""Of the data's height, so that the label of a level stays inside."""
_NAME_IN: Final = 0.35
"""A phase narrower than this is not named."""
_MAX_SPANS: Final = 4
_SPAN_HEIGHT: Final = 0.15
"""Of the plot, for the bar of a finding and its code."""


def draw(panel: Panel, phases: Phases, *, width_in: float = _WIDTH_IN) -> str:
    """An SVG element, with title and description for those who do not see it.

    Colours are the CSS variables of `svg.variables()`, with the light ones as fallback.
    """
    with drawing(panel.name + panel.title):
        figure = _figure(panel, phases, width_in)
        return to_svg(figure, panel.title, panel.description)


def draw_map(phase_map: PhaseMap) -> str:
    """The phase map as an SVG element, with its numbers written into the cells."""
    with drawing(phase_map.title):
        return to_svg(_map_figure(phase_map), phase_map.title, describe_map(phase_map))


def describe_map(phase_map: PhaseMap) -> str:
    """The phase map in words."""
    if phase_map.pattern is None:
        return f"{phase_map.title}: nothing to show, {phase_map.empty}."
    rows = "; ".join(
        ", ".join(f"{100 * value:+.2f} %" for value in row) for row in phase_map.pattern
    )
    return f"{phase_map.title}, row by row: {rows} of the value range."


def _figure(panel: Panel, phases: Phases, width_in: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, _HEIGHT_IN))
    figure.patch.set_visible(False)
    figure.subplots_adjust(
        left=_LEFT_IN / width_in,
        right=1 - _RIGHT_IN / width_in,
        bottom=_BOTTOM_IN / _HEIGHT_IN,
        top=1 - _TOP_IN / _HEIGHT_IN,
    )
    axes = figure.add_subplot()
    axes.margins(y=_HEADROOM)
    _frame(axes)
    axes.set_ylabel(panel.y_label, color=colour("ink"))
    axes.set_xlabel("step", color=colour("ink"))
    _phases(axes, phases, width_in)
    for index, curve in enumerate(panel.curves):
        _curve(axes, curve, index, len(panel.curves) > 1)
    _levels(axes, panel)
    _marks(axes, panel)
    if panel.log_scale:
        _log_axis(axes)
    _spans(axes, panel)
    length = max(phases.last - phases.first, 1)
    axes.set_xlim(phases.first - 0.01 * length, phases.first + 1.01 * length)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            loc="upper left",
            ncols=4,
            frameon=False,
            labelcolor=colour("ink"),
            fontsize=8.5,
            borderaxespad=0.2,
        )
    return figure


def _frame(axes: Axes) -> None:
    axes.patch.set_visible(False)
    axes.grid(color=colour("rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colour("ink"), which="both", labelsize=8.5)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(colour("muted"))


def _log_axis(axes: Axes) -> None:
    """A log scale with plain numbers: 1, 2, 5 within two decades, else powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if top < 100 * bottom else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _phases(axes: Axes, phases: Phases, width_in: float) -> None:
    """Pretraining and ramp are shaded and named; what is left is the GAN at full weight."""
    last = max(phases.last, phases.first + 1)
    start = last if phases.t_adv is None else phases.t_adv
    full = last if phases.t_full is None else phases.t_full
    named = [("pretraining", phases.first, start), ("ramp", start, full), ("GAN", full, last)]
    for name, first, stop in named:
        if stop <= first:
            continue
        if name != "GAN":
            hatch = None if name == "pretraining" else "////"
            axes.axvspan(
                first,
                stop,
                facecolor=colour("shade"),
                edgecolor=colour("rule"),
                hatch=hatch,
                linewidth=0,
                zorder=0,
            )
        if (stop - first) * width_in > _NAME_IN * (last - phases.first):
            axes.text(
                (first + stop) / 2,
                1.0,
                name,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=8,
                color=colour("muted"),
            )


def _curve(axes: Axes, curve: Curve, index: int, named: bool) -> None:
    ink, style = colour(_SERIES[index % 4]), _STYLES[index % 4]
    marker = _MARKERS[index % 4] if curve.markers or len(curve.series) == 1 else None
    steps, values = curve.series.steps, curve.series.values
    label = curve.label if named else None
    if curve.median is None:
        axes.plot(
            steps,
            values,
            color=ink,
            linestyle=style,
            marker=marker,
            markersize=3.5,
            label=label,
        )
        return
    axes.plot(steps, values, color=ink, linewidth=0.6, alpha=0.35)
    median = curve.median
    axes.plot(median.steps, median.values, color=ink, linestyle=style, label=label)


def _levels(axes: Axes, panel: Panel) -> None:
    for level in panel.levels:
        axes.axhline(level.value, color=colour("muted"), linewidth=0.9, linestyle=(0, (2, 2)))
        axes.text(
            0.005,
            level.value,
            level.label,
            transform=axes.get_yaxis_transform(),
            ha="left",
            va="bottom",
            fontsize=8,
            color=colour("muted"),
        )


def _marks(axes: Axes, panel: Panel) -> None:
    named: set[str] = set()
    for mark in panel.marks:
        # One entry in the legend for marks of a kind.
        label = None if mark.label in named else mark.label
        named.add(mark.label)
        if mark.value is None:
            axes.axvline(mark.step, color=colour("ink"), linewidth=1.2, label=label)
            continue
        axes.plot(
            [mark.step],
            [mark.value],
            marker=mark.symbol,
            markersize=9 if mark.symbol == "*" else 6,
            linestyle="none",
            color=colour("ink"),
            markerfacecolor="none" if "pretraining" in mark.label else colour("ink"),
            label=label,
        )


def _spans(axes: Axes, panel: Panel) -> None:
    """Above the curves, a bar for the steps of each finding, with its code."""
    spans = panel.spans[:_MAX_SPANS]
    bottom, top = map(axes.transData.transform, [(0, y) for y in axes.get_ylim()])
    room = (top[1] - bottom[1]) / (1 - _SPAN_HEIGHT * len(spans))
    axes.set_ylim(top=float(axes.transData.inverted().transform((0, bottom[1] + room))[1]))
    transform = axes.get_xaxis_transform()
    for row, span in enumerate(spans):
        height = 0.97 - _SPAN_HEIGHT * row
        axes.plot(
            [span.first, span.last],
            [height, height],
            transform=transform,
            color=colour("ink"),
            linewidth=2.2,
            marker="|",
            markersize=6,
            solid_capstyle="butt",
        )
        axes.text(
            (span.first + span.last) / 2,
            height - 0.02,
            span.label,
            transform=transform,
            ha="center",
            va="top",
            fontsize=8.5,
            fontweight="bold",
            color=colour("ink"),
        )


def _map_figure(phase_map: PhaseMap) -> Figure:
    from matplotlib.figure import Figure

    pattern = np.asarray(phase_map.pattern)
    side = pattern.shape[0]
    figure = Figure(figsize=(max(2.6, 0.62 * side), max(2.4, 0.5 * side)))
    figure.patch.set_visible(False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.99)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    strongest = float(np.abs(pattern).max()) or 1.0
    for (row, column), value in np.ndenumerate(pattern):
        share = float(value) / strongest
        axes.fill(
            [column, column + 1, column + 1, column],
            [row, row, row + 1, row + 1],
            facecolor=colour("two" if share > 0 else "one"),
            alpha=0.55 * abs(share),
            edgecolor=colour("rule"),
            linewidth=0.6,
        )
        text = f"{100 * value:+.2f}" if side <= 4 else f"{100 * value:+.1f}"
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            fontsize=8 if side <= 4 else 6,
            color=colour("ink"),
        )
    axes.set_xlim(0, side)
    axes.set_ylim(side, 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure
