"""Single entities from Wikidata's own API (`wbgetentities`): the authoritative word on an item, without any lag.

Fifty ids a request, in the JSON of the dumps; merged ids are followed, and a server that lags is waited for.
Leaves out: discovery (only an endpoint or a dump can say which items there are), and bulk: a thousand
items a minute is the most that is polite (wikidata.md, section 3).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import requests

from chronofacts.pipeline.sources import EntityBatch
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed, Verdict, judge_reply
from chronofacts.pipeline.sources.sparql.rate_limit import (
    SYSTEM_CLOCK,
    Clock,
    full_user_agent,
    lock_of,
    one_at_a_time,
    retry_after,
)
from chronofacts.pipeline.sources.sparql.results import Solution, label_table
from chronofacts.pipeline.sources.sparql.source import batches
from chronofacts.pipeline.sources.statements import (
    ENTITY,
    LIFECYCLE,
    Origin,
    RdfTerm,
    StatementRows,
    read_json_statement,
)
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_qid

__all__ = ["ApiSettings", "EntityApi", "Reread", "open_api"]

WIKIDATA = "https://www.wikidata.org/w/api.php"
IDS_A_REQUEST = 50  # for anybody but bots
_LAG_S = 5.0  # the maxlag that Wikimedia asks programs to accept; also the least wait
_NAMES = {
    "labels": "http://www.w3.org/2000/01/rdf-schema#label",
    "aliases": "http://www.w3.org/2004/02/skos/core#altLabel",
    "descriptions": "http://schema.org/description",
}


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the API is and who asks."""

    user_agent: str
    """The whole header (`sparql.rate_limit.full_user_agent`)."""
    lock: Path
    address: str = WIKIDATA
    attempts: int = 8
    timeout_s: float = 60
    longest_wait_s: float = 3600


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

    def __init__(self, settings: ApiSettings, clock: Clock, session: requests.Session) -> None:
        self._settings = settings
        self._clock = clock
        self._session = session

    def read(self, qids: Sequence[str], properties: Sequence[str], language: str) -> Reread:
        """Statements, names and lifecycle of the items.

        Raises BadInput for an id that is none, EndpointFailed when the API cannot be reached or keeps failing.
        """
        for qid in qids:
            if not is_qid(qid):
                raise BadInput(f"{qid!r} is no item of Wikidata; give ids such as Q142")
        origin = Origin(self._settings.address, self._clock.now().replace(microsecond=0))
        asked: dict[str, Mapping[str, Any]] = {}
        for batch in batches(sorted(set(qids)), IDS_A_REQUEST):
            asked.update(self._ask(batch, list(dict.fromkeys((language, "mul", "en")))))
        present = {qid: entity for qid, entity in asked.items() if "missing" not in entity}
        redirects = {qid: str(entity["id"]) for qid, entity in present.items() if entity["id"] != qid}
        by_id = {str(entity["id"]): entity for entity in present.values()}
        missing = tuple(sorted(set(asked) - set(present)))
        return Reread(_statements(by_id, properties, origin), _entities(by_id, origin, language), redirects, missing)

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
        verdict = Verdict("retry", "never asked")
        for attempt in range(1, self._settings.attempts + 1):
            with one_at_a_time(self._settings.lock):
                outcome = self._ask_once(parameters)
            if isinstance(outcome, dict):
                return _by_id_asked(outcome, qids)
            verdict = outcome
            if attempt < self._settings.attempts:
                wait = verdict.wait_s if verdict.wait_s is not None else min(60.0, 2.0 ** (attempt - 1))
                if wait > self._settings.longest_wait_s:
                    break
                self._clock.sleep(wait)
        raise EndpointFailed(
            f"{self._settings.address} gave no answer in {self._settings.attempts} attempts ({verdict.why}); try later"
        )

    def _ask_once(self, parameters: Mapping[str, str]) -> dict[str, Any] | Verdict:
        """The `entities` of one reply, or what to do instead."""
        settings = self._settings
        headers = {"User-Agent": settings.user_agent, "Accept-Encoding": "gzip"}
        try:
            reply = self._session.post(settings.address, data=parameters, headers=headers, timeout=settings.timeout_s)
            now = self._clock.now()
            if reply.status_code != 200:
                return judge_reply(reply.status_code, reply.headers, reply.text[:4096], settings.address, False, now)
            told = reply.json()
        except requests.exceptions.JSONDecodeError:
            return judge_reply(200, reply.headers, reply.text[:4096], settings.address, False, now)
        except requests.RequestException as error:
            return Verdict("retry", type(error).__name__)
        if "entities" in told:
            return dict(told["entities"])
        problem = told.get("error", {})
        if problem.get("code") == "maxlag":  # an error with status 200: the servers catch up, which takes its time
            return Verdict(
                "wait", "the servers lag", max(_LAG_S, retry_after(reply.headers.get("Retry-After"), now, 0))
            )
        if problem.get("code") in ("ratelimited", "internal_api_error", "readonly"):
            return Verdict("wait", str(problem.get("info")), retry_after(reply.headers.get("Retry-After"), now, 60))
        raise EndpointFailed(
            f"{settings.address} refuses: {problem.get('info') or told!r}; check the ids and the address"
        )


@contextmanager
def open_api(address: str, user_agent: str) -> Iterator[EntityApi]:
    """The API at an address, while it is used.

    user_agent: who asks, as the operator gives it. Raises BadInput for an address that is none, and for a
    Wikimedia host without contact data.
    """
    if not address.startswith(("http://", "https://")) or not urlsplit(address).hostname:
        raise BadInput(f"--api {address!r} is no address; give one such as {WIKIDATA}")
    settings = ApiSettings(full_user_agent(user_agent, address), lock_of(address), address)
    with requests.Session() as session:
        yield EntityApi(settings, SYSTEM_CLOCK, session)


def _by_id_asked(entities: Mapping[str, Any], qids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Each id asked for with its entity, whichever of the two ids of a merged one the reply lists it under."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, entity in entities.items():
        asked = entity.get("redirects", {}).get("from", key)
        if asked in qids:
            found[asked] = entity
        if key in qids:
            found[key] = entity
    return found


def _statements(by_id: Mapping[str, Mapping[str, Any]], properties: Sequence[str], origin: Origin) -> pa.Table:
    rows = StatementRows(origin)
    for qid, entity in sorted(by_id.items()):
        claims = entity.get("claims") or {}  # an empty map is written as []
        modified = datetime.datetime.fromisoformat(entity["modified"]) if "modified" in entity else None
        for pid in properties:
            for statement in claims.get(pid, ()):
                read_json_statement(rows, qid, pid, statement, entity.get("lastrevid"), modified)
    return rows.table()


def _entities(by_id: Mapping[str, Mapping[str, Any]], origin: Origin, language: str) -> EntityBatch:
    sitelinks = {qid: len(entity.get("sitelinks") or {}) for qid, entity in by_id.items()}
    labels = label_table(sorted(by_id), _names(by_id), sitelinks, language)
    return EntityBatch(_statements(by_id, LIFECYCLE, origin), labels)


def _names(by_id: Mapping[str, Mapping[str, Any]]) -> Iterator[Solution]:
    """Names as an endpoint would tell them, so that one rule chooses among them."""
    for qid, entity in by_id.items():
        for kind, predicate in _NAMES.items():
            for told in (entity.get(kind) or {}).values():
                for name in told if isinstance(told, list) else [told]:
                    yield {
                        "item": RdfTerm("uri", ENTITY + qid),
                        "p": RdfTerm("uri", predicate),
                        "v": RdfTerm("literal", name["value"], "", name["language"]),
                    }
