"""Single entities from Wikidata's own API (`wbgetentities`): the authoritative word on an item, without any lag.

Fifty ids a request, in the JSON of the dumps; merged ids are followed, and a server that lags is waited for.
Not for discovery (only an endpoint or a dump can say which items there are), and not for bulk: a thousand
items a minute is the most that is polite (wikidata.md, section 3).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import requests

from chronofacts.pipeline.sources import EntityBatch
from chronofacts.pipeline.sources.dump.entities import EntityReader, NameRows
from chronofacts.pipeline.sources.entities import LABELS, name_languages
from chronofacts.pipeline.sources.sparql.bounded_http import BoundedHttp, HttpFault, Reply
from chronofacts.pipeline.sources.sparql.http_policy import (
    EndpointFailed,
    HttpSettings,
    Verdict,
    ask_again,
    judge_reply,
)
from chronofacts.pipeline.sources.sparql.rate_limit import SYSTEM_CLOCK, Clock, full_user_agent, lock_of, retry_after
from chronofacts.pipeline.sources.sparql.source import batches
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin, StatementRows
from chronofacts.schemas.addresses import hide, reveal
from chronofacts.schemas.documents import Unreadable, parse_json
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_qid
from chronofacts.schemas.redact import redact

__all__ = ["EntityApi", "Reread", "open_api"]

WIKIDATA = "https://www.wikidata.org/w/api.php"
IDS_A_REQUEST = 50  # for anybody but bots
_LAG_S = 5.0  # the maxlag that Wikimedia asks programs to accept; also the least wait
_TIMEOUT_S = 60.0
_UNREACHED_ATTEMPTS = 3  # of an address where nobody has ever answered: it is probably wrong
WHOLE_S = 300.0
"""Longest time for one reply, and the most bytes of one: fifty items of Wikidata are a few megabytes."""
MOST_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Reread:
    """Some items as they are now."""

    statements: pa.Table
    """`STATEMENTS` of the properties asked for, all ranks."""
    entities: EntityBatch
    redirects: Mapping[str, str]
    """Ids asked for that were merged, and what they became."""
    missing: tuple[str, ...]
    """Ids asked for that do not exist, sorted."""


class EntityApi:
    """`wbgetentities` of one wiki, one request at a time."""

    def __init__(
        self,
        settings: HttpSettings,
        clock: Clock,
        session: requests.Session,
        whole_s: float = WHOLE_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._http = BoundedHttp(session, whole_s, most_bytes)
        self._reached = False

    def read(self, qids: Sequence[str], properties: Sequence[str], language: str) -> Reread:
        """Statements, names and lifecycle of the items.

        Raises BadInput for an id that is none, EndpointFailed when the API cannot be reached or keeps failing.
        """
        for qid in qids:
            if not is_qid(qid):
                raise BadInput(f"{qid!r} is no item of Wikidata; give ids such as Q142")
        origin = Origin(self._settings.address, self._clock.now().replace(microsecond=0))
        found: dict[str, Mapping[str, Any]] = {}
        for batch in batches(sorted(set(qids)), IDS_A_REQUEST):
            found.update(self._ask(batch, name_languages(language)))
        present = {qid: one for qid, one in found.items() if is_qid(one.get("id")) and "missing" not in one}
        redirects = {qid: entity["id"] for qid, entity in present.items() if entity["id"] != qid}
        statements, lifecycle, names = StatementRows(origin), StatementRows(origin), NameRows()
        relations, names_and_life = EntityReader(properties), EntityReader(LIFECYCLE, language)
        for _, entity in sorted({entity["id"]: entity for entity in present.values()}.items()):
            line = json.dumps(entity).encode()
            relations.add(line, statements)
            names_and_life.add(line, lifecycle, names)
        labels = names.table().select(LABELS.names)
        missing = tuple(sorted(set(found) - set(present)))
        return Reread(statements.table(), EntityBatch(lifecycle.table(), labels), redirects, missing)

    def _ask(self, qids: Sequence[str], languages: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """(id asked for -> entity) of at most fifty ids."""
        parameters = {
            "action": "wbgetentities",
            "format": "json",
            "ids": "|".join(qids),
            "props": "info|labels|aliases|descriptions|claims|sitelinks",
            "languages": "|".join(languages),  # a comma would give all languages
            "redirects": "yes",
            "maxlag": f"{_LAG_S:.0f}",
        }
        outcome, attempts = ask_again(
            lambda attempt: self._ask_once(parameters),
            self._settings,
            self._clock,
            lambda verdict, attempt: not self._reached and attempt == _UNREACHED_ATTEMPTS,
        )
        if isinstance(outcome, Verdict):
            raise EndpointFailed(
                f"{self._settings.address} gave no answer in {attempts} attempts ({outcome.why}); try later"
            )
        return _by_id_asked(outcome, qids)

    def _ask_once(self, parameters: Mapping[str, str]) -> dict[str, Any] | Verdict:
        """The `entities` of one reply, or what to do instead."""
        address, now = self._settings.address, self._clock.now()
        try:
            with self._http.post(
                reveal(address), dict(parameters), {"User-Agent": self._settings.user_agent}, _TIMEOUT_S
            ) as reply:
                self._reached = True
                body = b"".join(reply.chunks()) if reply.status == 200 else reply.beginning().encode()
        except HttpFault as fault:
            return Verdict("retry", redact(str(fault))[:200])
        try:
            answer = parse_json(body) if reply.status == 200 else None
        except Unreadable:
            answer = None
        if not isinstance(answer, dict):
            text = body[:4096].decode("utf-8", "replace")
            return judge_reply(reply.status, reply.headers, text, address, False, now)
        if isinstance(entities := answer.get("entities"), dict):
            return {key: entity for key, entity in entities.items() if isinstance(entity, dict)}
        return self._judge_problem(answer.get("error"), reply, now)

    def _judge_problem(self, problem: Any, reply: Reply, now: datetime.datetime) -> Verdict:
        """What an error with status 200 means; raises EndpointFailed where no repetition can help."""
        about = problem if isinstance(problem, dict) else {}
        wait = reply.headers.get("Retry-After")
        if about.get("code") == "maxlag":  # the servers catch up, which takes its time
            return Verdict("wait", "the servers lag", max(_LAG_S, retry_after(wait, now, 0)))
        if about.get("code") in ("ratelimited", "internal_api_error", "readonly"):
            return Verdict("wait", str(about.get("info"))[:200], retry_after(wait, now, 60))
        said = str(about.get("info") or problem)[:200]
        raise EndpointFailed(f"{self._settings.address} refuses: {said}; check the ids and the address")


@contextmanager
def open_api(address: str, user_agent: str) -> Iterator[EntityApi]:
    """The API at an address, while it is used.

    user_agent: who asks, as the operator gives it. Raises BadInput for an address that is none, and for a
    Wikimedia host without contact data.
    """
    address = hide(address, "--api")
    settings = HttpSettings(address, full_user_agent(user_agent, address), lock_of(address))
    with requests.Session() as session:
        yield EntityApi(settings, SYSTEM_CLOCK, session)


def _by_id_asked(entities: Mapping[str, Any], qids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Each id asked for with its entity, whichever of the two ids of a merged one the reply lists it under."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, entity in entities.items():
        moved = entity.get("redirects")
        asked = moved.get("from", key) if isinstance(moved, dict) else key
        if asked in qids:
            found[asked] = entity
        if key in qids:
            found[key] = entity
    return found
