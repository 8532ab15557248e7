"""Addresses with secrets in them: what is shown and kept is without, what is asked is with.

A user name, a password and whatever a query says (`?api_key=…`) belong to nobody but the host. They are stripped where
an address comes in (`hide`), stay in the memory of this process, and are put back where a request is made (`reveal`).
Everything between, files, logs, rows and other programs, knows the public address alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from chronofacts.schemas.errors import BadInput

__all__ = ["hidden_parts", "hide", "is_address", "reveal", "split_address"]

PUBLIC = frozenset({"default-graph-uri", "named-graph-uri", "graph", "repository", "dataset", "infer"})
"""Parts of a query that say what is asked and are no secret; every other one may be."""
PASSED = "CHRONOFACTS_HIDDEN_ADDRESSES"
"""Environment variable by which processes that this one starts know the addresses: that is memory, and no file."""
_SCHEMES = ("http://", "https://")
_SHORTEST = 4
"""Characters of a text that is cut out wherever it stands; shorter ones are in every second word."""


def is_address(text: str) -> bool:
    return text.startswith(_SCHEMES)


def split_address(address: str, option: str) -> SplitResult:
    """The parts of an http address. Raises BadInput for what is none, without what it holds of secrets."""
    try:
        parts = urlsplit(address)
        found = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if not found or not address.isprintable() or " " in address:
            raise ValueError("no host")
        (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError):
        shown = re.sub(r"(?<=//)[^/@]*@|\?.*", "", address)[:100]
        raise BadInput(f"{option} {shown!r} is no address; give http://HOST/PATH or https://HOST/PATH") from None
    return parts


def hide(address: str, option: str = "--source") -> str:
    """The address without user, password and query; what it was is kept in memory for `reveal`.

    Raises BadInput for an address that is none.
    """
    parts = split_address(address, option)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name in PUBLIC]
    public = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(kept), fragment="").geturl()
    if public != address:
        _remember(public, address)
    return public


def reveal(address: str) -> str:
    """The whole address of one that was hidden in this process or in the one that started it; else the address."""
    return _known().get(address, address)


def hidden_parts() -> Iterable[str]:
    """Every text that `hide` took out of an address, to be cut out of messages; the longest first."""
    found = set()
    for address in _known().values():
        parts = urlsplit(address)
        user = parts.netloc.rpartition("@")[0]
        found |= {user, *user.split(":", 1), parts.query, parts.fragment}
        found |= {value for name, value in parse_qsl(parts.query) if name not in PUBLIC}
        # A query that is one word, or is spelled in the form of addresses.
        found |= {part.partition("=")[2] for part in parts.query.split("&") if part.partition("=")[0] not in PUBLIC}
    found |= {unquote(text) for text in found}
    return sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)


def _remember(public: str, address: str) -> None:
    lines = [f"{known} {whole}" for known, whole in _known().items() if known != public]
    os.environ[PASSED] = "\n".join([*lines, f"{public} {address}"])


def _known() -> dict[str, str]:
    """public -> whole"""
    lines = os.environ.get(PASSED, "").splitlines()
    return {public: whole for public, _, whole in (line.partition(" ") for line in lines)}
