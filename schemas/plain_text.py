"""Text of strangers made harmless wherever a person reads it: nothing that a terminal or a browser obeys.

Leaves out: markup (`pipeline.snapshots.markdown.escape`, `html.escape`).
"""

from __future__ import annotations

import unicodedata

__all__ = ["plain"]

_KEPT = "\n\t"
# Marks that turn the direction of what follows; the joiners that scripts need are not among them.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def plain(text: str) -> str:
    """The text with every control character but tab and new line, and every mark of direction, as `�`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\ufffd" if (unicodedata.category(c) == "Cc" and c not in _KEPT) or c in _TURNING else c for c in text
    )
