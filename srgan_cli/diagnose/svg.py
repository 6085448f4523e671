"""Figures as SVG text: colours that follow a light or dark page, no dates, the same bytes every time."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "ink": ("#1b1c1d", "#e8e8e8"),
    "muted": ("#5e6163", "#a9adb0"),
    "rule": ("#dddfe1", "#3c4043"),
    "shade": ("#eef0f2", "#2a2d30"),
    "one": ("#0060a8", "#6cb6f5"),
    "two": ("#c04a00", "#f79a5e"),
    "three": ("#00795a", "#45c9a2"),
    "four": ("#a0468a", "#e08fca"),
}
"""Name -> the colour on a light page, with which matplotlib draws, and on a dark one."""

_RC: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 6),
    "path.simplify": True,
    "lines.linewidth": 1.4,
}
_NO_DATE: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}


def drawing(salt: str) -> Any:
    """A context in which figures are drawn; `salt` is one of a kind on the page."""
    from matplotlib import rc_context

    # The salt keeps the ids of several plots on one page apart, and the same in every run.
    return rc_context({**_RC, "svg.hashsalt": salt})


def colour(name: str) -> str:
    """What matplotlib draws with."""
    return COLOURS[name][0]


def to_svg(figure: Figure, title: str, description: str) -> str:
    """The figure as an SVG element with title and description."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_NO_DATE)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids of groups are counted anew in every drawing, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    for name, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{name},{light})")
    words = f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
    head = text[: text.index(">") + 1]
    plain = re.sub(r' (width|height)="[^"]*"', "", head)
    opened = plain[:-1] + ' role="img">'
    return opened + words + text[len(head) :]


def standalone(svg: str) -> str:
    """The SVG element as a file of its own, with the colours of light and dark pages in it."""
    style = f"<style>{variables(':root')}</style>"
    return svg.replace(">", f">{style}", 1) + "\n"


def variables(selector: str) -> str:
    """The CSS that gives the plots their colours."""
    light = "".join(f"--{name}:{each[0]};" for name, each in COLOURS.items())
    dark = "".join(f"--{name}:{each[1]};" for name, each in COLOURS.items())
    return f"{selector}{{{light}}}@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"
