"""What an endpoint's reply means (wait, ask again, ask for less, give up), and asking until there is an answer.

Every rule is a fact of wikidata.md: sections 2.1 (throttling and bans), 2.4 (truncated answers with status
200) and 2.6 (QLever's time-outs).
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from chronofacts.pipeline.sources.sparql.rate_limit import Clock, retry_after
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from chronofacts.schemas.files import lock_file
from chronofacts.schemas.redact import redact

__all__ = ["EndpointFailed", "HttpSettings", "Verdict", "ask_again", "is_sparql_json", "judge_cut", "judge_reply"]

T = TypeVar("T")
log = logging.getLogger("chronofacts.endpoint")
_LONGEST_PAUSE_S = 60.0  # of those that double after each broken reply
_THROTTLED_S = 60.0  # operators' advice for a 429 without Retry-After
_TIMED_OUT = re.compile(r"TimeoutException|!!!!>>#|timed? ?out|timeout|cancell?ed|QueryTimeout", re.IGNORECASE)
_WANTS_CONTACT = re.compile(r"user.?agent|robot.?policy|T400119", re.IGNORECASE)


class EndpointFailed(ChronoFactsError):
    """The endpoint cannot be reached, refuses, or does not give an answer that can be read."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Who asks which address, and how patiently."""

    address: str
    user_agent: str
    """The whole header (`sparql.rate_limit.full_user_agent`)."""
    lock: Path
    """File that is locked while a request runs, whatever process asks."""
    attempts: int = 8
    turn_s: float = 1800
    """Longest wait for the lock: a request has a deadline of minutes, and others take their turns between."""
    longest_wait_s: float = 3600
    """An endpoint that asks to wait longer than this is left alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """act: `wait` (throttled: the same again after the wait), `retry` (broken on the way), `less` (too big)."""

    act: Literal["wait", "retry", "less"]
    why: str
    wait_s: float | None = None
    """Seconds that the endpoint asks for; None: it does not say."""
    cut: bool = False
    """True for an answer that began and did not end."""


def ask_again(
    ask: Callable[[int], T | Verdict],
    settings: HttpSettings,
    clock: Clock,
    give_up: Callable[[Verdict, int], bool] = lambda verdict, attempt: False,
) -> tuple[T | Verdict, int]:
    """Ask until there is an answer; returns it, or the last verdict, and the number of attempts.

    ask: gets the number of the attempt. give_up: whether a verdict on an attempt is the last one.
    Raises EndpointFailed when the endpoint asks to wait longer than the settings allow.
    """
    attempt = 0
    while True:
        attempt += 1
        with _turn(settings):
            outcome = ask(attempt)
        if not isinstance(outcome, Verdict) or attempt == settings.attempts or give_up(outcome, attempt):
            return outcome, attempt
        wait = outcome.wait_s if outcome.wait_s is not None else min(_LONGEST_PAUSE_S, 2.0 ** (attempt - 1))
        if wait > settings.longest_wait_s:
            raise EndpointFailed(
                f"{settings.address} asks to wait {wait:.0f} s; run the same command again after that: "
                "finished batches are kept"
            )
        log.info("%s; asking again in %.0f s", outcome.why, wait)
        clock.sleep(wait)


@contextmanager
def _turn(settings: HttpSettings) -> Iterator[None]:
    """The host's lock; raises EndpointFailed where somebody else has held it for longer than anybody should wait."""
    with ExitStack() as held:
        try:
            settings.lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock_file(settings.lock, wait=settings.turn_s, remove=True))
        except BlockingIOError:
            raise EndpointFailed(
                f"another process has been asking {settings.address} for {settings.turn_s:.0f} s without a pause (it "
                f"holds {settings.lock}); wait for it, or end it"
            ) from None
        except OSError as error:
            raise EndpointFailed(
                f"the lock {settings.lock} cannot be used ({error.strerror or error}); remove it, or name another "
                "folder by XDG_CACHE_HOME"
            ) from error
        yield


def is_sparql_json(content_type: str | None) -> bool:
    name = (content_type or "").partition(";")[0].strip().lower()
    return name in ("application/sparql-results+json", "application/json")


def judge_reply(
    status: int, headers: Mapping[str, str], body: str, address: str, splits_429: bool, now: datetime.datetime
) -> Verdict:
    """What a reply that is no answer means.

    body: its beginning. splits_429: this engine says 429 for a time-out (QLever).
    Raises BadInput or EndpointFailed when no repetition can help.
    """
    said = " ".join(redact(body[:2000]).split())[:200] or "nothing"
    if 300 <= status < 400:
        where = redact(headers.get("Location", ""))[:200] or "nowhere"
        raise BadInput(f"{address} sends its visitors to {where} (status {status}); give that address, if you trust it")
    wait = retry_after(headers["Retry-After"], now, _THROTTLED_S) if "Retry-After" in headers else None
    if status == 403 and "banned until" in body:
        raise EndpointFailed(f"{address} has banned this machine: {said!r}; wait until then, and ask less")
    if status in (200, 403) and _WANTS_CONTACT.search(body):
        raise BadInput(f"{address} refuses the user agent: {said!r}; give --user-agent with your own URL or e-mail")
    if status in (401, 403, 404, 405, 410, 501):
        raise BadInput(f"{address} refuses with status {status}: {said!r}; check the address of the SPARQL endpoint")
    if status == 400:
        raise EndpointFailed(f"{address} does not understand the query: {said!r}; it may be no SPARQL 1.1 endpoint")
    if status == 429:
        timed_out = wait is None and bool(_TIMED_OUT.search(body))
        if splits_429 or timed_out:
            return Verdict("less", f"status 429: {said}")
        return Verdict("wait", f"status 429: {said}", wait if wait is not None else _THROTTLED_S)
    if status in (413, 414, 504) or (status in (408, 500, 503) and _TIMED_OUT.search(body)):
        return Verdict("less", f"status {status}: {said}")
    if status == 200:
        return Verdict("less" if _TIMED_OUT.search(body) else "retry", f"status 200 without an answer: {said}")
    return Verdict("retry", f"status {status}: {said}", wait)


def judge_cut(tail: bytes, why: str) -> Verdict:
    """What an answer that began well and did not end means; tail: its last bytes."""
    # Only what follows the last line of an answer: a label may well speak of a timeout.
    text = tail.decode("utf-8", "replace")
    if "TimeoutException" in text or "!!!!>>#" in text:
        return Verdict("less", "the endpoint ran out of time within its answer")
    return Verdict("retry", f"the answer was cut off ({why})", cut=True)
