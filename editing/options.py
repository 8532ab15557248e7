"""Turn `--set key=value` words into frozen settings, and say what was meant when a name is wrong."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from chronofacts.schemas.errors import BadInput

__all__ = ["REMOVED", "check_fields", "nearest", "option_names", "parse_options"]

Settings = TypeVar("Settings")
REMOVED = {
    "quick": "write --limit 60 instead",
    "quick_edits": "write --limit N instead",
    "quick_sentences": "write limit_sentences=N beside --limit",
    "deadline_s": "pretraining stops by recall or steps, never by the clock, so that a busy machine gives the same "
    "result; leave it out, or bound it by world.steps=2000",
}
"""Options that older versions had: what became of them, and what to write instead."""
LARGEST_SEED = 2**63 - 1
"""That torch and numpy both take."""
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def option_names(settings: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(settings))


def parse_options(settings: type[Settings], values: Mapping[str, str], what: str) -> Settings:
    """A settings dataclass with the given fields read from text.

    Raises BadInput for a field it does not have (naming the nearest) or a value that does not fit.
    """
    kinds = typing.get_type_hints(settings)
    unknown = sorted(set(values) - set(option_names(settings)))
    if unknown:
        raise BadInput(f"{what} has no option {unknown[0]!r}{nearest(unknown[0], option_names(settings))}")
    parsed = {name: _parse(kinds[name], text, f"{what}: {name}") for name, text in values.items()}
    for name, value in parsed.items():
        _check_value(name, value, f"{what}: {name}")
    return settings(**parsed)


def check_fields(settings: Any, what: str) -> None:
    """Settings that somebody made in Python. Raises BadInput for a number that is none, or that no method takes."""
    kinds = typing.get_type_hints(type(settings))
    for name in option_names(type(settings)):
        value, parts = getattr(settings, name), get_args(kinds[name]) or (kinds[name],)
        takes_words = any(get_origin(part) is Literal for part in parts)
        if isinstance(value, str) and not takes_words and {int, float} & set(parts):
            raise BadInput(f"{what}: {name} = {value!r} is a text; write a number")
        _check_value(name, value, f"{what}: {name}")


def _check_value(name: str, value: Any, what: str) -> None:
    """What no number may be, whatever it is for, and what seeds and learning rates may not be."""
    if isinstance(value, float) and math.isnan(value):
        raise BadInput(f"{what} is no number")
    if name == "seed" and isinstance(value, int) and not 0 <= value <= LARGEST_SEED:
        raise BadInput(f"{what} = {value}; it must lie between 0 and {LARGEST_SEED}")
    if name == "learning_rate" and isinstance(value, int | float) and value < 0:
        raise BadInput(f"{what} = {value:g}; it must be at least 0")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or the whole list when nothing is near; of an option that is gone, what to write instead."""
    if name in REMOVED:
        return f" any more: {REMOVED[name]}"
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; it knows {', '.join(names)}"


def _parse(kind: Any, text: str, what: str) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        if text in get_args(kind):
            return text
        raise BadInput(f"{what} = {text!r}{nearest(text, get_args(kind))}")
    if origin in (Union, types.UnionType):
        if text.lower() in ("none", ""):
            return None
        parts = [part for part in get_args(kind) if part is not type(None)]
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        rest = [part for part in parts if get_origin(part) is not Literal]
        if text in words or not rest:
            return _parse(Literal[tuple(words)], text, what)
        try:
            return _parse(rest[0], text, what)
        except BadInput as error:
            raise BadInput(f"{error}, nor {' or '.join(words)}" if words else str(error)) from error
    if origin is tuple:
        parts = [part.strip() for part in text.replace("+", ",").split(",") if part.strip()]
        return tuple(_parse(get_args(kind)[0], part, what) for part in parts)
    if kind is bool:
        if text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        raise BadInput(f"{what} = {text!r}; write true or false")
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError as error:
        raise BadInput(f"{what} = {text!r} is no {'whole number' if kind is int else 'number'}") from error
