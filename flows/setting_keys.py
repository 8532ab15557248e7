"""Every `--set` key with its type, default and meaning, read from the source of `editing` without importing it.

Importing it loads torch, which takes seconds; and what a key means stands in the source alone, below its field. Leaves
out: what settings forbid together, which they check themselves when they are made.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import itertools
import re
import sys
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chronofacts.editing.options import REMOVED, nearest, parse_options
from chronofacts.editing.registry import (
    EDITORS,
    all_editors,
    expand_names,
    load_editor,
    package_of,
    record_of,
    refused_editors,
)
from chronofacts.editing.tracing import RUN_OPTIONS
from chronofacts.schemas.errors import BadInput

__all__ = [
    "EDITORS", "OWNERS", "ListedEditor", "Setting", "check_trace_words", "check_words", "choices_of", "describe_editor",
    "editor_names", "key_of", "list_editors", "settings_of",
]  # fmt: skip

_PACKAGE = Path(__file__).resolve().parents[1]
OWNERS = {
    "run": "chronofacts.editing.runs.settings:RunSettings",
    "world": "chronofacts.editing.small_world.pretrain:WorldSettings",
    "scoring": "chronofacts.editing.scoring.settings:ScoringSettings",
    "trace": "chronofacts.editing.tracing.trace:TraceSettings",
}
"""What has settings beside the editors -> module and class. `run` is the experiment itself, `world` its small world."""
_REPLAY = "+replay"


@dataclass(frozen=True)
class Setting:
    """One key."""

    name: str
    kind: str
    """Its type, as it is written."""
    default: str
    meaning: str
    parsed_kind: Any = field(repr=False, compare=False, default=str)


@cache
def _tree(module: str) -> ast.Module:
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def editor_names() -> list[str]:
    """All that `--editor` takes, without `all`."""
    replayed = [f"{name}{_REPLAY}" for name in EDITORS if any(one.name == "replay" for one in settings_of(name))]
    return [*all_editors(), *replayed]


@dataclass(frozen=True)
class ListedEditor:
    """A line of the list of editors."""

    name: str
    meaning: str
    paper: str
    changes: str
    needs: tuple[str, ...]
    seconds_per_fact: float | None
    package: str
    """Name and version of the package that it comes from; empty of ours."""


def list_editors() -> tuple[list[ListedEditor], list[str]]:
    """Every editor with what is told of it, and a line for each of another package that cannot be used."""
    listed, broken = [], list(refused_editors().values())
    for name in editor_names():
        stem = name.partition("+")[0]
        try:
            record, meaning = record_of(stem), describe_editor(name)
        except BadInput as error:
            broken.append(str(error))
            continue
        cost = record.seconds_per_fact if name == stem else None
        listed.append(ListedEditor(name, meaning, record.paper, record.changes, record.needs, cost, package_of(stem)))
    return listed, broken


def describe_editor(name: str) -> str:
    """What an editor does, in a sentence."""
    stem, _, replay = name.partition("+")
    text = " ".join((_documented(stem) or "").split())
    sentence = re.split(r"(?<!et al)\. ", text)[0].removeprefix(f"`{stem}`: ").rstrip(".")
    return f"{sentence}; with facts that must stay trained beside the new ones" if replay else sentence


def _documented(editor: str) -> str | None:
    """Of ours the module's docstring; of another package's the class's own, or its module's."""
    if editor in EDITORS:
        return ast.get_docstring(_tree(EDITORS[editor].partition(":")[0]))
    found = load_editor(editor)
    return found.__doc__ or sys.modules[found.__module__].__doc__


@cache
def settings_of(owner: str) -> tuple[Setting, ...]:
    """The keys of `run`, `world`, `scoring`, `trace` or an editor, in their order.

    An editor of another package is loaded for it: raises BadInput where it cannot be.
    """
    if owner not in OWNERS and owner not in EDITORS:
        return _loaded_fields(load_editor(owner).Settings)
    module, _, name = (OWNERS | dict(EDITORS))[owner].partition(":")
    if owner in EDITORS:
        name = next(
            node.value.id
            for node in _class(module, name)[1].body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and _target(node) == "Settings"
        )
    return tuple(_fields(module, name).values())


def _loaded_fields(settings: Any) -> tuple[Setting, ...]:
    """Of a dataclass as it is; what a field means, where its source has it."""
    kinds, meanings = typing.get_type_hints(settings), _meanings(settings)
    return tuple(
        Setting(
            one.name,
            _spell_kind(kinds[one.name]),
            _spell_value(getattr(settings(), one.name)),
            meanings.get(one.name, ""),
            kinds[one.name],
        )
        for one in fields(settings)
    )


def _meanings(settings: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        with suppress(OSError, TypeError, SyntaxError):  # no source
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
            statements = node.body if isinstance(node, ast.ClassDef) else []
            for one, following in itertools.pairwise(statements):
                if isinstance(one, ast.AnnAssign) and isinstance(following, ast.Expr):
                    found[ast.unparse(one.target)] = " ".join(str(ast.literal_eval(following.value)).split())
    return found


def _fields(module: str, name: str) -> dict[str, Setting]:
    """The fields of a dataclass and of those that it is made from; a field without a meaning has the inherited one."""
    home, node = _class(module, name)
    found: dict[str, Setting] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= _fields(home, base.id)
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if ast.unparse(statement.annotation).startswith("ClassVar"):
            continue
        key = statement.target.id
        meaning = found[key].meaning if key in found else ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            meaning = " ".join(str(following.value.value).split())
        kind = _Names(home).evaluate(statement.annotation)
        default = "" if statement.value is None else _spell(home, statement.value)
        found[key] = Setting(key, _spell_kind(kind), default, meaning, kind)
    return found


def _class(module: str, name: str) -> tuple[str, ast.ClassDef]:
    """The module in which a class stands, and its definition."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
    return _class(_home_of(module, name), name)


def _home_of(module: str, name: str) -> str:
    """The module from which another one imports a name."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return node.module
    raise KeyError(f"{module} has no {name}")


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


class _Names(dict[str, Any]):
    """The names of a module's annotations and defaults, each found when it is asked for."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        for node in _tree(self._module).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _target(node) == name:
                return self.evaluate(node.value)
        home = _home_of(self._module, name)
        if home.startswith("chronofacts."):
            return _Names(home)[name]
        return getattr({"typing": typing}[home], name)

    def evaluate(self, expression: ast.expr) -> Any:
        """The value of a type or a default: names, texts, numbers, tuples, `A | B`, `A[B]` and `-1`; nothing is run."""
        match expression:
            case ast.Constant(value):
                return value
            case ast.Name(name):
                return self[name]
            case ast.Tuple(parts):
                return tuple(self.evaluate(part) for part in parts)
            case ast.Subscript(value, index):
                return self.evaluate(value)[self.evaluate(index)]
            case ast.BinOp(left, ast.BitOr(), right):
                return self.evaluate(left) | self.evaluate(right)
            case ast.UnaryOp(ast.USub(), operand):
                return -self.evaluate(operand)
        raise ValueError(f"{self._module}: {ast.unparse(expression)} is no plain type or default; write it as one")


def _spell(module: str, default: ast.expr) -> str:
    return _spell_value(_Names(module).evaluate(default))


def _spell_value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _spell_kind(kind: Any) -> str:
    """`number`, `whole number or none`, `attention, mlp or all`: as a user writes it."""
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "none"}
    if kind in words:
        return words[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(map(str, inner))
    if origin is tuple:
        return f"list of {_spell_kind(inner[0])}"
    return " or ".join(_spell_kind(part) for part in inner) or str(kind)


def choices_of(setting: Setting) -> list[str]:
    """The values of a key that takes a few words; none of one that takes numbers or texts."""
    found: list[str] = []
    for kind in typing.get_args(setting.parsed_kind) or (setting.parsed_kind,):
        if typing.get_origin(kind) is typing.Literal:
            found += map(str, typing.get_args(kind))
        elif isinstance(kind, str):
            found.append(kind)
        elif kind in (bool, type(None)):
            found += ["true", "false"] if kind is bool else ["none"]
    return found


def key_of(owner: str, setting: Setting) -> str:
    """The key as `--set` takes it; those of the run and of `trace` stand alone."""
    return setting.name if owner in ("run", "trace") else f"{owner}.{setting.name}"


def check_words(editors: Sequence[str], words: Mapping[str, str]) -> None:
    """Raises BadInput for an editor that is none, and for a `--set` word of an experiment that nobody has or that does
    not fit; as `editing.runs.settings.read_settings`, but without loading what edits."""
    editors = expand_names(editors)
    for name in editors:
        _check_editor(name)
    for key, text in words.items():
        for owner in _owners(key, editors):
            _check(owner, key.rpartition(".")[2], text)


def _check_editor(name: str) -> None:
    """Raises BadInput for a name of none, and for an editor of another package that cannot be used."""
    stem, plus, suffix = name.partition("+")
    if stem in refused_editors() and stem not in EDITORS:
        raise BadInput(refused_editors()[stem])
    if stem not in all_editors() or (plus and f"+{suffix}" != _REPLAY):
        raise BadInput(f"there is no editor {name!r}{nearest(name, editor_names())}")
    if plus and "replay" not in _keys(stem):
        raise BadInput(f"the editor {stem!r} trains nothing, so that {name!r} has no meaning; use {stem!r}")
    _keys(stem)


def check_trace_words(words: Mapping[str, str]) -> None:
    """Raises BadInput for a `--set` word of `trace` that nobody has or that does not fit."""
    known = [*_keys("trace"), *RUN_OPTIONS]
    for key, text in words.items():
        if key in _keys("run") and key not in known:
            raise BadInput(f"--set {key} means nothing to a trace; it knows {', '.join(dict.fromkeys(known))}")
        if key not in known:
            raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
        _check("run" if key in RUN_OPTIONS else "trace", key, text)


def _owners(key: str, editors: Sequence[str]) -> Iterable[str]:
    stems = dict.fromkeys(name.partition("+")[0] for name in editors)
    owner, dot, option = key.rpartition(".")
    if dot:
        if owner not in {"world", "scoring", *editors, *stems}:
            known = ["world", "scoring", *editors]
            near = _not_in_run(owner, option, stems) if owner in all_editors() else nearest(owner, known)
            raise BadInput(f"--set {key}: nothing here is called {owner!r}{near}")
        return [owner.partition("+")[0]]
    if option in _keys("run"):
        return ["run"]
    having = [stem for stem in stems if option in _keys(stem)]
    if not having:
        known = [*_keys("run"), *(name for stem in stems for name in _keys(stem))]
        others = [name for name in EDITORS if name not in stems and option in _keys(name)]
        near = nearest(key, known) if not others or key in REMOVED else _of_others(others, key, known)
        raise BadInput(f"--set {key}: there is no such option{near}")
    return having


def _not_in_run(owner: str, option: str, stems: Iterable[str]) -> str:
    """Of a setting of an editor that does not run: name that, or the setting of one that does."""
    keys = {f"{stem}.{name}": name for stem in stems for name in _keys(stem)}
    close = difflib.get_close_matches(option, list(keys.values()), n=1, cutoff=0.6)
    instead = [key for key, name in keys.items() if name in close]
    return f"; put {owner} into --editor{f', or write {instead[0]}' if instead else ''}"


def _of_others(owners: Sequence[str], key: str, known: Iterable[str]) -> str:
    """Of a setting that editors have which do not run: who they are, and the nearest that is there."""
    close = difflib.get_close_matches(key, sorted(set(known)), n=1, cutoff=0.6)
    shown = ", ".join(owners[:3]) + (" and others" if len(owners) > 3 else "")
    return f"; it is a setting of {shown}{f'; the nearest here is {close[0]!r}' if close else ''}"


def _keys(owner: str) -> list[str]:
    return [setting.name for setting in settings_of(owner)]


def _check(owner: str, option: str, text: str) -> None:
    names = {"run": "the run", "world": "the small world", "scoring": "scoring", "trace": "the trace"}
    keys = [(one.name, one.parsed_kind, field(default=None)) for one in settings_of(owner)]
    parse_options(make_dataclass("Settings", keys), {option: text}, names.get(owner, f"editor {owner}"))
