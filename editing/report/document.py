"""A self-contained HTML page from a template. Jinja2 escapes every text but our own SVG, style and script.

The page forbids itself (Content-Security-Policy) to load anything, and any script and style but `page.js` and
`page.css`, which stand in it and are named by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Any

from chronofacts.editing.report.drawing import ON_DARK

__all__ = ["label_plot", "render_page"]

FOLDER = Path(__file__).parent


def render_page(template: str, **given: Any) -> str:
    """The whole document. given: what the template shows, beside script and style."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not needed for figures in a terminal

    script, style = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    style += _darken()
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        script=script, script_hash=_hash(script), style=style, style_hash=_hash(style), **given
    )


def label_plot(svg: str, title: str, caption: str) -> str:
    """The SVG with what a reader hears who does not see it. matplotlib escapes the names in it."""
    said = escape(f"{title}. {caption}")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{said}" ', 1)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _darken() -> str:
    """Colours of plots on a dark page."""
    rules = (
        f".plot [fill='{one}'] {{ fill: {other} }} .plot [stroke='{one}'] {{ stroke: {other} }}"
        for one, other in ON_DARK.items()
    )
    return "@media screen and (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}\n"
