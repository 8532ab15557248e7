"""How an endpoint wants to be asked: by somebody it can reach, one question at a time, and not too much.

Source of every number: wikidata.md, section 2.1 (limits of the query service) and 2.2 (user agents).
"""

from __future__ import annotations

import datetime
import email.utils
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import user_cache

__all__ = ["SYSTEM_CLOCK", "Budget", "Clock", "full_user_agent", "lock_of", "retry_after"]

_WIKIMEDIA = ("wikidata.org", "wikimedia.org", "wikipedia.org", "mediawiki.org", "wmcloud.org", "toolforge.org")
_CONTACT = re.compile(r"https?://[^\s/)]+\.[^\s)]+|[^\s@(:]+@[^\s@)]+\.[^\s@)]+")
_PLACEHOLDER = re.compile(r"\b(example\.(com|org|net)|localhost)\b|@example\b")


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from, so that a test need not wait."""

    now: Callable[[], datetime.datetime]
    """The moment, in UTC."""
    monotonic: Callable[[], float]
    """Seconds, for measuring."""
    sleep: Callable[[float], None]


SYSTEM_CLOCK = Clock(lambda: datetime.datetime.now(datetime.UTC), time.monotonic, time.sleep)


class Budget:
    """Seconds of query time that may be spent: at first `capacity`, refilled by one second a second.

    A request may start while anything is left, so that the balance can fall below zero.
    """

    def __init__(self, capacity: float, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._left = capacity
        self._counted_at = clock.monotonic()

    def wait(self) -> float:
        """Sleep until something is left; returns the seconds slept."""
        self._refill()
        wanted = max(0.0, 1.0 - self._left)
        if wanted:
            self._clock.sleep(wanted)
            self._refill()
        return wanted

    def spend(self, seconds: float) -> None:
        self._left -= seconds

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._left = min(self._capacity, self._left + now - self._counted_at)
        self._counted_at = now


def retry_after(header: str | None, now: datetime.datetime, otherwise: float) -> float:
    """Seconds to wait by a `Retry-After` header, in either of its forms; at least one.

    The query service does write 0, and asking again at once is what it means to prevent.
    otherwise: seconds when there is no header, or none that reads.
    """
    text = (header or "").strip()
    try:
        if text.isascii() and text.isdigit():
            return max(1.0, float(text[:12]))
        return max(1.0, (email.utils.parsedate_to_datetime(text[:100]) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return otherwise


def full_user_agent(given: str, address: str) -> str:
    """The User-Agent header: this program, its operator's contact data as given, and the library.

    Raises BadInput for a Wikimedia host when there is no URL or e-mail address of the operator in it.
    """
    host = urlsplit(address).hostname or ""
    ours = any(host == name or host.endswith(f".{name}") for name in _WIKIMEDIA)
    if ours and (not _CONTACT.search(given) or _PLACEHOLDER.search(given)):
        raise BadInput(
            f"{host} refuses who cannot be reached: give --user-agent (or CHRONOFACTS_USER_AGENT) with your own URL "
            "or e-mail address, such as 'my-project/1.0 (https://my.site; me@my.site)'"
        )
    if not given.isprintable() or not given.isascii():
        raise BadInput("--user-agent must be plain printable ASCII on one line, since it travels in a header")
    parts = (f"chronofacts/{version('chronofacts')}", given and f"({given})", f"requests/{version('requests')}")
    return " ".join(part for part in parts if part)


def lock_of(address: str) -> Path:
    """The lock file that all processes of this user share for one host."""
    parts = urlsplit(address)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{parts.hostname}_{parts.port or parts.scheme}")
    return user_cache() / "locks" / f"{name[:100]}.lock"
