"""Every `--set` key with its type, default and meaning, read from the source of `editing` without importing it.

Importing it loads torch, which takes seconds; and what a key means stands in the source alone, below its field. Leaves
out: what settings forbid together, which they check themselves when they are made.
"""

from __future__ import annotations

import ast
import builtins
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chronofacts.editing.options import nearest, parse_options
from chronofacts.schemas.errors import BadInput

__all__ = [
    "EDITORS", "OWNERS", "Setting", "check_trace_words", "check_words", "choices_of", "describe_editor",
    "editor_names", "key_of", "settings_of",
]  # fmt: skip

_PACKAGE = Path(__file__).resolve().parents[1]
_EDITORS_HOME = "chronofacts.editing.editors"
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


def _read_editors() -> dict[str, str]:
    for node in _tree(_EDITORS_HOME).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EDITORS":
            return dict(ast.literal_eval(node.value))
    raise KeyError("EDITORS")


EDITORS: Mapping[str, str] = _read_editors()
"""Name of an editor -> module and class, as `editing.editors` has it."""


def editor_names() -> list[str]:
    """All that `--editor` takes."""
    replayed = [f"{name}{_REPLAY}" for name in EDITORS if any(one.name == "replay" for one in settings_of(name))]
    return [*EDITORS, *replayed]


def describe_editor(name: str) -> str:
    """What an editor does, in a sentence."""
    stem, _, replay = name.partition("+")
    text = " ".join((ast.get_docstring(_tree(EDITORS[stem].partition(":")[0])) or "").split())
    sentence = re.split(r"(?<!et al)\. ", text)[0].removeprefix(f"`{stem}`: ").rstrip(".")
    return f"{sentence}; with facts that must stay trained beside the new ones" if replay else sentence


@cache
def settings_of(owner: str) -> tuple[Setting, ...]:
    """The keys of `run`, `world`, `scoring`, `trace` or an editor, in their order."""
    module, _, name = (OWNERS | dict(EDITORS))[owner].partition(":")
    if owner in EDITORS:
        name = next(
            node.value.id
            for node in _class(module, name)[1].body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and _target(node) == "Settings"
        )
    return tuple(_fields(module, name).values())


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
    value = _Names(module).evaluate(default)
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
    known = editor_names()
    for name in editors:
        stem, _, suffix = name.partition("+")
        if stem in EDITORS and f"+{suffix}" == _REPLAY and name not in known:
            raise BadInput(f"the editor {stem!r} trains nothing, so that {name!r} has no meaning; use {stem!r}")
        if name not in known:
            raise BadInput(f"there is no editor {name!r}{nearest(name, known)}")
    for key, text in words.items():
        for owner in _owners(key, editors):
            _check(owner, key.rpartition(".")[2], text)


def check_trace_words(words: Mapping[str, str]) -> None:
    """Raises BadInput for a `--set` word of `trace` that nobody has or that does not fit."""
    known = [*_keys("trace"), *_keys("run")]
    for key, text in words.items():
        if key not in known:
            raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
        _check("run" if key in _keys("run") else "trace", key, text)


def _owners(key: str, editors: Sequence[str]) -> Iterable[str]:
    stems = dict.fromkeys(name.partition("+")[0] for name in editors)
    owner, dot, option = key.rpartition(".")
    if dot:
        if owner not in {"world", "scoring", *editors, *stems}:
            known = ["world", "scoring", *editors]
            raise BadInput(f"--set {key}: nothing here is called {owner!r}{nearest(owner, known)}")
        return [owner.partition("+")[0]]
    if option in _keys("run"):
        return ["run"]
    having = [stem for stem in stems if option in _keys(stem)]
    if not having:
        known = [*_keys("run"), *(name for stem in stems for name in _keys(stem))]
        raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
    return having


def _keys(owner: str) -> list[str]:
    return [setting.name for setting in settings_of(owner)]


def _check(owner: str, option: str, text: str) -> None:
    names = {"run": "the run", "world": "the small world", "scoring": "scoring", "trace": "the trace"}
    fields = [(one.name, one.parsed_kind, field(default=None)) for one in settings_of(owner)]
    parse_options(make_dataclass("Settings", fields), {option: text}, names.get(owner, f"editor {owner}"))
