"""Single entities from Wikidata's own API (`wbgetentities`): the authoritative word on an item, without any lag.

Fifty ids a request, in the JSON of the dumps; merged ids are followed, and a server that lags is waited for.
Not for discovery (only an endpoint or a dump can say which items there are), and not for bulk: a thousand
items a minute is the most that is polite (wikidata.md, section 3).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import requests

from chronofacts.pipeline.sources import EntityBatch
from chronofacts.pipeline.sources.dump.entities import EntityReader, NameRows
from chronofacts.pipeline.sources.entities import LABELS, name_languages
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
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_qid

__all__ = ["EntityApi", "Reread", "open_api"]

WIKIDATA = "https://www.wikidata.org/w/api.php"
IDS_A_REQUEST = 50  # for anybody but bots
_LAG_S = 5.0  # the maxlag that Wikimedia asks programs to accept; also the least wait
_TIMEOUT_S = 60.0


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

    def __init__(self, settings: HttpSettings, clock: Clock, session: requests.Session) -> None:
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
        found: dict[str, Mapping[str, Any]] = {}
        for batch in batches(sorted(set(qids)), IDS_A_REQUEST):
            found.update(self._ask(batch, name_languages(language)))
        present = {qid: entity for qid, entity in found.items() if "missing" not in entity}
        redirects = {qid: str(entity["id"]) for qid, entity in present.items() if entity["id"] != qid}
        statements, lifecycle, names = StatementRows(origin), StatementRows(origin), NameRows()
        relations, names_and_life = EntityReader(properties), EntityReader(LIFECYCLE, language)
        for _, entity in sorted({str(entity["id"]): entity for entity in present.values()}.items()):
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
        outcome, attempts = ask_again(lambda attempt: self._ask_once(parameters), self._settings, self._clock)
        if isinstance(outcome, Verdict):
            raise EndpointFailed(
                f"{self._settings.address} gave no answer in {attempts} attempts ({outcome.why}); try later"
            )
        return _by_id_asked(outcome, qids)

    def _ask_once(self, parameters: Mapping[str, str]) -> dict[str, Any] | Verdict:
        """The `entities` of one reply, or what to do instead."""
        address = self._settings.address
        headers = {"User-Agent": self._settings.user_agent, "Accept-Encoding": "gzip"}
        try:
            reply = self._session.post(address, data=parameters, headers=headers, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            return Verdict("retry", type(error).__name__)
        now = self._clock.now()
        try:
            answer = reply.json() if reply.status_code == 200 else None
        except requests.exceptions.JSONDecodeError:
            answer = None
        if answer is None:
            return judge_reply(reply.status_code, reply.headers, reply.text[:4096], address, False, now)
        if "entities" in answer:
            return dict(answer["entities"])
        problem = answer.get("error", {})
        if problem.get("code") == "maxlag":  # an error with status 200: the servers catch up, which takes its time
            wait = max(_LAG_S, retry_after(reply.headers.get("Retry-After"), now, 0))
            return Verdict("wait", "the servers lag", wait)
        if problem.get("code") in ("ratelimited", "internal_api_error", "readonly"):
            return Verdict("wait", str(problem.get("info")), retry_after(reply.headers.get("Retry-After"), now, 60))
        raise EndpointFailed(f"{address} refuses: {problem.get('info') or answer!r}; check the ids and the address")


@contextmanager
def open_api(address: str, user_agent: str) -> Iterator[EntityApi]:
    """The API at an address, while it is used.

    user_agent: who asks, as the operator gives it. Raises BadInput for an address that is none, and for a
    Wikimedia host without contact data.
    """
    if not address.startswith(("http://", "https://")) or not urlsplit(address).hostname:
        raise BadInput(f"--api {address!r} is no address; give one such as {WIKIDATA}")
    settings = HttpSettings(address, full_user_agent(user_agent, address), lock_of(address))
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
