"""Dated facts from Wikidata as snapshots, and language models brought up to date with them.

    from chronofacts import read_table
    edits = read_table("S", "edits")

The names below are loaded when they are first used: `import chronofacts` alone loads neither torch nor Prefect.
The folders `pipeline`, `editing`, `flows`, `schemas` and `data` beside this one are parts of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronofacts.editing.snapshot import load_snapshot
    from chronofacts.pipeline.snapshots.verify import verify
    from chronofacts.pipeline.snapshots.write import read_table
    from chronofacts.schemas.catalogue import load_catalogue
    from chronofacts.schemas.errors import ChronoFactsError
    from chronofacts.schemas.manifest import read_manifest

    __version__: str

__all__ = [
    "ChronoFactsError",
    "__version__",
    "load_catalogue",
    "load_snapshot",
    "read_manifest",
    "read_table",
    "verify",
]

_HOMES = {
    "ChronoFactsError": "chronofacts.schemas.errors",
    "load_catalogue": "chronofacts.schemas.catalogue",
    "load_snapshot": "chronofacts.editing.snapshot",
    "read_manifest": "chronofacts.schemas.manifest",
    "read_table": "chronofacts.pipeline.snapshots.write",
    "verify": "chronofacts.pipeline.snapshots.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("chronofacts")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
