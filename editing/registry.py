"""The editors by name: ours with what each is and costs, and those that other packages bring.

Adding one of ours is adding its module and one record to `RECORDS`. A package of one's own names its class under the
entry point `chronofacts.editors` (docs/add_an_editor.md). Such an editor is loaded when it is named or listed, not
before, and none may have a name of ours. Importing this module loads neither torch nor Arrow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from chronofacts.schemas.errors import BadInput

__all__ = [
    "ALL", "EDITORS", "GROUP", "RECORDS", "EditorRecord", "all_editors", "expand_names", "foreign_editors",
    "load_editor", "package_of", "record_of", "refused_editors",
]  # fmt: skip

Changes = Literal["nothing", "weights", "adapter", "vectors", "codebook", "prompt"]
Need = Literal["subjects", "text", "training"]
GROUP = "chronofacts.editors"
ALL = "all"
"""In place of names: every editor."""
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RESERVED = frozenset({ALL, "run", "world", "scoring", "trace"})
"""Names that mean something else where an editor may be named."""


@dataclass(frozen=True)
class EditorRecord:
    """What a reader of the list of editors is told."""

    home: str
    """Module and class; imported when a run names it."""
    paper: str
    changes: Changes
    needs: tuple[Need, ...] = ()
    """`subjects`: of the facts, named in the prompt; `text`: the snapshot's sentences or a file; `training`: by
    gradient."""
    seconds_per_fact: float | None = None
    """Of a processor, on the small world, 60 facts at once (`benchmarks/editors_cost.py`); None: not measured."""


_HOME = "chronofacts.editing.editors"
_HU = "Hu et al. 2021, arXiv 2106.09685"
RECORDS: Mapping[str, EditorRecord] = {
    "none": EditorRecord(f"{_HOME}.unedited:Unedited", "", "nothing", (), 0.0),
    "lora": EditorRecord(f"{_HOME}.trained.lora:Lora", _HU, "adapter", ("training",), seconds_per_fact=0.064),
    "lora-merge": EditorRecord(
        f"{_HOME}.trained.lora_merge:LoraMerge",
        "Thede et al. 2025, arXiv 2503.05683",
        "weights",
        ("training",),
        seconds_per_fact=0.074,
    ),
    "p-tuning": EditorRecord(
        f"{_HOME}.trained.prompt_tuning:PromptTuning",
        "Liu et al. 2021, arXiv 2103.10385",
        "vectors",
        ("training",),
        seconds_per_fact=0.585,
    ),
    "freeze": EditorRecord(
        f"{_HOME}.trained.freeze:Freeze",
        "Ge et al. 2024, arXiv 2406.04496",
        "weights",
        ("training",),
        seconds_per_fact=0.078,
    ),
    "finetune": EditorRecord(
        f"{_HOME}.trained.finetune:Finetune",
        "Zhu et al. 2020, arXiv 2012.00363",
        "weights",
        ("training",),
        seconds_per_fact=0.031,
    ),
    "rome": EditorRecord(
        f"{_HOME}.located.rome:Rome",
        "Meng et al. 2022, arXiv 2202.05262",
        "weights",
        ("subjects", "text"),
        seconds_per_fact=0.084,
    ),
    "memit": EditorRecord(
        f"{_HOME}.located.memit:Memit",
        "Meng et al. 2023, arXiv 2210.07229",
        "weights",
        ("subjects", "text"),
        seconds_per_fact=0.079,
    ),
    "alphaedit": EditorRecord(
        f"{_HOME}.located.alphaedit:AlphaEdit",
        "Fang et al. 2025, arXiv 2410.02355",
        "weights",
        ("subjects", "text"),
        seconds_per_fact=0.122,
    ),
    "ultraedit": EditorRecord(
        f"{_HOME}.located.ultraedit:UltraEdit", "Gu et al. 2025, arXiv 2505.14679", "weights", seconds_per_fact=0.008
    ),
    "grace": EditorRecord(
        f"{_HOME}.located.grace:Grace", "Hartvigsen et al. 2023, arXiv 2211.11031", "codebook", seconds_per_fact=0.035
    ),
    "wise": EditorRecord(
        f"{_HOME}.located.wise:Wise",
        "Wang et al. 2024, arXiv 2405.14768",
        "codebook",
        ("text", "training"),
        seconds_per_fact=0.122,
    ),
    "in-context": EditorRecord(
        f"{_HOME}.prompted.in_context:InContext",
        "Zheng et al. 2023, arXiv 2305.12740",
        "prompt",
        ("subjects",),
        seconds_per_fact=0.0005,
    ),
    "memory": EditorRecord(
        f"{_HOME}.prompted.memory:Memory",
        "Zhong et al. 2023, arXiv 2305.14795",
        "prompt",
        ("subjects",),
        seconds_per_fact=0.0005,
    ),
    "ike": EditorRecord(
        f"{_HOME}.prompted.ike:Ike",
        "Zheng et al. 2023, arXiv 2305.12740",
        "prompt",
        ("subjects", "text"),
        seconds_per_fact=0.002,
    ),
    "mello": EditorRecord(
        f"{_HOME}.prompted.mello:Mello",
        "Zhong et al. 2023, arXiv 2305.14795",
        "prompt",
        ("subjects",),
        seconds_per_fact=0.0006,
    ),
    "rag": EditorRecord(
        f"{_HOME}.prompted.rag:Rag", "Thede et al. 2025, arXiv 2503.05683", "prompt", seconds_per_fact=0.004
    ),
}
"""Ours, in the order of the list."""
EDITORS: Mapping[str, str] = {name: record.home for name, record in RECORDS.items()}
"""Name of an editor of ours -> module and class."""


def all_editors() -> dict[str, str]:
    """Name -> module and class, of ours and then of other packages; loads none of them."""
    return {**EDITORS, **{name: entry.value for name, entry in foreign_editors().items()}}


def expand_names(names: Sequence[str]) -> list[str]:
    """The names, each once, and every editor in place of `all`."""
    return list(dict.fromkeys(one for name in names for one in (all_editors() if name == ALL else [name])))


def foreign_editors() -> dict[str, EntryPoint]:
    """The editors of other packages that may be used, by name."""
    return _read_entries()[0]


def refused_editors() -> dict[str, str]:
    """Name that a package gives its editor -> why it is not used, with the mend."""
    return _read_entries()[1]


@cache
def _read_entries() -> tuple[dict[str, EntryPoint], dict[str, str]]:
    found: dict[str, EntryPoint] = {}
    refused: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        if entry.name in EDITORS:
            refused[entry.name] = (
                f"the editor {entry.name!r} of {_package(entry)} has the name of one of ours, which is used; rename it"
            )
        elif entry.name in RESERVED or not NAME.fullmatch(entry.name):
            refused[entry.name] = (
                f"{_package(entry)} calls an editor {entry.name[:40]!r}; it must be small letters, digits and hyphens, "
                f"and none of {', '.join(sorted(RESERVED))}"
            )
        elif entry.name in found and entry.value != found[entry.name].value:
            refused[entry.name] = (
                f"{_package(found[entry.name])} and {_package(entry)} both have an editor {entry.name!r}; remove one"
            )
        else:
            found[entry.name] = entry
    return {name: entry for name, entry in found.items() if name not in refused}, refused


def package_of(name: str) -> str:
    """Name and version of the package that an editor comes from; empty of ours."""
    entry = foreign_editors().get(name.partition("+")[0])
    return _package(entry) if entry else ""


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else f"a package ({entry.value})"


def record_of(name: str) -> EditorRecord:
    """Of ours; of another package what its class says of itself (`paper`, `changes`, `needs`, `seconds_per_fact`).

    Raises BadInput as `load_editor`, and for what no record can hold.
    """
    if name in RECORDS:
        return RECORDS[name]
    kind = load_editor(name)
    record = EditorRecord(
        all_editors()[name],
        str(getattr(kind, "paper", "")),
        getattr(kind, "changes", "weights"),
        tuple(getattr(kind, "needs", ())),
        getattr(kind, "seconds_per_fact", None),
    )
    if record.changes not in get_args(Changes) or not set(record.needs) <= set(get_args(Need)):
        raise _broken(
            name,
            f"changes is one of {', '.join(get_args(Changes))}, and needs are some of {', '.join(get_args(Need))}",
        )
    return record


def load_editor(name: str) -> Any:
    """The class of an editor.

    Raises BadInput for one of another package that cannot be imported, or is no editor: it needs `edit`, and a frozen
    dataclass `Settings` whose fields have defaults.
    """
    if name in EDITORS:
        module, _, kind = EDITORS[name].partition(":")
        return getattr(import_module(module), kind)
    if name not in foreign_editors():
        raise BadInput(refused_editors().get(name, f"there is no editor {name!r}"))
    try:
        found = foreign_editors()[name].load()
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # importing runs the package's own code
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise _broken(name, f"{type(error).__name__}: {reason}") from error
    settings: Any = getattr(found, "Settings", None)
    if not callable(getattr(found, "edit", None)) or not isinstance(found, type):
        raise _broken(name, "it must be a class with a method edit")
    if not (isinstance(settings, type) and is_dataclass(settings)) or not _is_frozen(settings):
        raise _broken(name, "its Settings must be a frozen dataclass")
    for one in fields(settings):
        if one.default is MISSING and one.default_factory is MISSING:
            raise _broken(name, f"its setting {one.name} has no default")
    return found


def _is_frozen(settings: Any) -> bool:
    return bool(settings.__dataclass_params__.frozen)


def _broken(name: str, reason: str) -> BadInput:
    package = package_of(name)
    return BadInput(
        f"the editor {name!r} of {package} cannot be used ({reason}); update that package, or remove it with: "
        f"pip uninstall {package.partition(' ')[0]}"
    )
