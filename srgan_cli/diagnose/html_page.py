"""What all HTML reports are made of: one file without scripts that loads nothing, in light and dark."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from srgan_cli import __version__
from srgan_cli.diagnose.panels import Panel
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.svg import variables

SEVERITY_WORDS: Final = {"error": "Error", "warn": "Warning", "info": "Note", "ok": "Good"}
SIGNS: Final = {"error": "\u2716", "warn": "\u26a0", "info": "\u2139", "ok": "\u2714"}

_NOTHING_FROM_OUTSIDE: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser refuses every request and every script, whatever a log may hold."""

_STYLE: Final = """\
:root{color-scheme:light dark;--page:#ffffff;--card:#f7f8f9;--line:#d4d7da;--error:#b3261e;--warn:#8a5a00;--info:#0b57a4;--ok:#1c6b3a}
@media (prefers-color-scheme:dark){:root{--page:#16181a;--card:#1f2225;--line:#3c4043;--error:#ff8a80;--warn:#ffc766;--info:#8ec5ff;--ok:#7fd6a0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:64rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 .3rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}h3{font-size:1.05rem;margin:0}
a{color:var(--info)}p{margin:.4rem 0}
.verdict{font-size:1.15rem;font-weight:600;border-left:.4rem solid;padding:.4rem .8rem;background:var(--card)}
.error{border-color:var(--error)}.warn{border-color:var(--warn)}.info{border-color:var(--info)}.ok{border-color:var(--ok)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:1rem 0}dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
.card{border:1px solid var(--line);border-left:.4rem solid;border-radius:.3rem;padding:.8rem 1rem;margin:.8rem 0;background:var(--card)}
.card.error{border-left-color:var(--error)}.card.warn{border-left-color:var(--warn)}.card.info{border-left-color:var(--info)}.card.ok{border-left-color:var(--ok)}
.tag{font-weight:600;white-space:nowrap}.tag.error{color:var(--error)}.tag.warn{color:var(--warn)}.tag.info{color:var(--info)}.tag.ok{color:var(--ok)}
.muted{color:var(--muted)}code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
details{margin:.5rem 0 0}summary{cursor:pointer;color:var(--muted)}
figure{margin:1rem 0}figure svg,figure img{width:100%;height:auto;display:block}figcaption{font-weight:600;margin-bottom:.2rem}
.half{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0 1.2rem}.small{max-width:22rem}
.empty{border:1px dashed var(--line);padding:.6rem .9rem;color:var(--muted)}
svg text{font-family:system-ui,sans-serif!important}
table{border-collapse:collapse;margin:.6rem 0;display:block;overflow-x:auto}th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:var(--card)}
@media print{body{max-width:none}.card,figure{break-inside:avoid}}
"""


def page(title: str, body: Iterable[str]) -> Iterator[str]:
    """The whole file, piece by piece.

    Args:
        title: As text, not yet escaped.
        body: HTML.
    """
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}">\n'
    yield f'<meta name="generator" content="srgan {escape(__version__)}">\n'
    yield f"<title>{escape(title)}</title>\n<style>{variables(':root')}\n{_STYLE}</style>\n</head>\n<body>\n"
    yield from body
    yield "</body>\n</html>\n"


def figure(panel: Panel, svg: str) -> str:
    """A plot with its title, or why there is none."""
    title = f"<figcaption>{escape(panel.title)}</figcaption>"
    if panel.empty:
        return f'<figure>{title}<p class="empty">Nothing to show: {escape(panel.empty)}.</p></figure>\n'
    return f"<figure>{title}{svg}</figure>\n"


def documentation(opened: Collection[str], codes: Collection[str] | None = None) -> Iterator[str]:
    """What codes mean, of all by default: a page must explain itself without a network.

    Those that are `opened` are shown without a click.
    """
    yield "<section>\n<h2>What the codes mean</h2>\n"
    for rule in RULES:
        if codes is not None and rule.code not in codes:
            continue
        state = " open" if rule.code in opened else ""
        yield f'<details id="doc-{rule.code}"{state}><summary>{rule.code}: {escape(rule.title)}</summary>\n'
        for paragraph in rule.documentation.split("\n\n"):
            yield f"<p>{_code(paragraph)}</p>\n"
        yield "</details>\n"
    yield "</section>\n"


def _code(text: str) -> str:
    """Documentation, in which keys stand between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def escape(text: str) -> str:
    """Text as HTML."""
    return html.escape(text)
