"""Ways to damage one row of a dump: a statement or the entity around it, as vandals, slips and broken tools do.

Every way changes the JSON in place, and gets a source of chance for its choice. What Wikidata itself would refuse is
among them on purpose: a dump may be cut, merged or made by others.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chronofacts.pipeline.snapshots.write import read_table, write_valid
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.snapshots.defects import plant

__all__ = ["ENTITY_DAMAGES", "STATEMENT_DAMAGES", "damage_statement", "statements_of"]

Json = dict[str, Any]

HOSTILE = (
    "", " ", "\n", "two\nlines", "\u202eevil", "name\u200f", "<b>bold</b>", "{s}", "{n} of {s}", "%s", "Q42", "a|b",
    "\x00", "\x1b[31mred", "\ud800", "x" * 5000, "'; DROP TABLE edits; --", "../../etc/passwd", "=1+1", "😀", "?", "…",
)  # fmt: skip
TIMES = (
    "+0000-00-00T00:00:00Z", "+2022-13-01T00:00:00Z", "+2022-02-31T00:00:00Z", "+2022-00-15T00:00:00Z",
    "-0044-03-15T00:00:00Z", "-99999999999-01-01T00:00:00Z", "+99999999999-01-01T00:00:00Z", "2022-05-10", "", "+",
    "+2022-05-10T25:61:61Z", "+2022-05-10T00:00:00+01:00", "+9999-12-31T00:00:00Z", "+0001-01-01T00:00:00Z",
)  # fmt: skip


def statements_of(entity: Json) -> list[Json]:
    """Every statement of an entity that has the usual form."""
    claims = entity.get("claims")
    return [one for many in claims.values() for one in many] if isinstance(claims, dict) else []


def _values(statement: Json, pid: str) -> list[Json]:
    return [snak["datavalue"]["value"] for snak in statement["qualifiers"].get(pid, ())]


def _time(statement: Json, chance: random.Random) -> Json:
    """One time value of the statement, or one that nobody looks at where it has none."""
    times = [value for pid in ("P580", "P582") for value in _values(statement, pid)]
    main = statement["mainsnak"].get("datavalue", {}).get("value")
    if isinstance(main, dict) and "time" in main:
        times.append(main)
    return chance.choice(times) if times else {}


def swap_dates(statement: Json, entity: Json, chance: random.Random) -> None:
    starts, ends = _values(statement, "P580"), _values(statement, "P582")
    if starts and ends:
        starts[0]["time"], ends[0]["time"] = ends[0]["time"], starts[0]["time"]


def spell_time_badly(statement: Json, entity: Json, chance: random.Random) -> None:
    _time(statement, chance)["time"] = chance.choice(TIMES)


def spell_precision_badly(statement: Json, entity: Json, chance: random.Random) -> None:
    _time(statement, chance)["precision"] = chance.choice([0, 7, 9, 10, 14, 15, 127, 128, 10**20, -1, None, "11", 10.5])


def name_another_calendar(statement: Json, entity: Json, chance: random.Random) -> None:
    _time(statement, chance)["calendarmodel"] = chance.choice(
        ["http://www.wikidata.org/entity/Q1985786", "http://www.wikidata.org/entity/Q42", "", None, 3]
    )


def lose_a_part_of_a_time(statement: Json, entity: Json, chance: random.Random) -> None:
    _time(statement, chance).pop(chance.choice(["time", "precision", "calendarmodel", "timezone"]), None)


def make_a_qualifier_unknown(statement: Json, entity: Json, chance: random.Random) -> None:
    for pid in chance.sample(["P580", "P582"], 2):
        for snak in statement["qualifiers"].get(pid, ())[:1]:
            snak["snaktype"] = chance.choice(["somevalue", "novalue", "nonsense", None])
            snak.pop("datavalue", None)
            return


def tell_a_date_twice(statement: Json, entity: Json, chance: random.Random) -> None:
    for snaks in statement["qualifiers"].values():
        again = copy.deepcopy(snaks[0])
        if isinstance(again.get("datavalue", {}).get("value"), dict):
            again["datavalue"]["value"]["time"] = chance.choice(TIMES)
        snaks.append(again)


def forget_the_qualifiers(statement: Json, entity: Json, chance: random.Random) -> None:
    statement["qualifiers"] = chance.choice([{}, None, []])


def change_the_rank(statement: Json, entity: Json, chance: random.Random) -> None:
    statement["rank"] = chance.choice(["deprecated", "preferred", "", "best", None])


def forget_the_rank(statement: Json, entity: Json, chance: random.Random) -> None:
    del statement["rank"]


def say_somebody_or_nobody(statement: Json, entity: Json, chance: random.Random) -> None:
    statement["mainsnak"] = {
        "snaktype": chance.choice(["somevalue", "novalue"]),
        "property": statement["mainsnak"]["property"],
    }


def name_something_else(statement: Json, entity: Json, chance: random.Random) -> None:
    """A value of another type, an id that is none, or the entity itself."""
    number = int(entity["id"][1:])
    statement["mainsnak"]["datavalue"] = chance.choice(
        [
            {"type": "string", "value": "somebody"},
            {"type": "quantity", "value": {"amount": "+1", "unit": "1"}},
            {"type": "monolingualtext", "value": {"text": "somebody", "language": "en"}},
            {"type": "wikibase-entityid", "value": {"entity-type": "item", "numeric-id": number, "id": entity["id"]}},
            {"type": "wikibase-entityid", "value": {"entity-type": "item", "numeric-id": 7, "id": "Q007"}},
            {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": "Q" + "9" * 20}},
            {"type": "wikibase-entityid", "value": {"entity-type": "property", "numeric-id": 6, "id": "P6"}},
            {"type": "wikibase-entityid", "value": {"entity-type": "lexeme", "id": "L1"}},
            {"type": "wikibase-entityid", "value": None},
            {"type": "unheard-of", "value": [1, 2]},
        ]
    )


def lose_the_value(statement: Json, entity: Json, chance: random.Random) -> None:
    statement["mainsnak"].pop(chance.choice(["datavalue", "snaktype", "property"]), None)


def say_it_again(statement: Json, entity: Json, chance: random.Random) -> None:
    """The same statement twice, id and all; or under an id of its own, with another end."""
    again = copy.deepcopy(statement)
    if chance.random() < 0.5:
        again["id"] += "0"
        again["qualifiers"].pop("P582", None)
    entity["claims"][statement["mainsnak"]["property"]].append(again)


def take_the_id_of_another(statement: Json, entity: Json, chance: random.Random) -> None:
    ids = [one["id"] for one in statements_of(entity)]
    statement["id"] = chance.choice([*ids, "", None, "Q1$1", 7])


def forget_the_id(statement: Json, entity: Json, chance: random.Random) -> None:
    statement.pop("id")


def name_badly(entity: Json, chance: random.Random) -> None:
    entity["labels"] = {"en": {"language": "en", "value": chance.choice(HOSTILE)}}


def lose_the_names(entity: Json, chance: random.Random) -> None:
    entity["labels"] = chance.choice([{}, None, [], {"en": {"language": "en"}}, {"en": None}, {"en": "name"}])


def alias_badly(entity: Json, chance: random.Random) -> None:
    entity["aliases"] = chance.choice(
        [None, [], {"en": None}, {"en": [{"language": "en", "value": text} for text in HOSTILE]}, {"en": [{}]}]
    )


def describe_badly(entity: Json, chance: random.Random) -> None:
    entity[chance.choice(["descriptions", "sitelinks"])] = chance.choice([None, [], "", 3, {"en": None}])


def lose_the_claims(entity: Json, chance: random.Random) -> None:
    entity["claims"] = chance.choice([None, [], {}, {"P6": None}, {"P6": []}, {"P6": [None]}, {"P6": [{}]}, 3])


def stamp_badly(entity: Json, chance: random.Random) -> None:
    entity[chance.choice(["modified", "lastrevid"])] = chance.choice(
        [None, "", "yesterday", -1, 10**30, "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
    )


def lose_the_id(entity: Json, chance: random.Random) -> None:
    entity["id"] = chance.choice([None, "", "q1", "P6", "Q0", 7, "Q1; DROP"])


STATEMENT_DAMAGES: tuple[Callable[[Json, Json, random.Random], None], ...] = (
    swap_dates, spell_time_badly, spell_precision_badly, name_another_calendar, lose_a_part_of_a_time,
    make_a_qualifier_unknown, tell_a_date_twice, forget_the_qualifiers, change_the_rank, forget_the_rank,
    say_somebody_or_nobody, name_something_else, lose_the_value, say_it_again, take_the_id_of_another, forget_the_id,
)  # fmt: skip
ENTITY_DAMAGES: tuple[Callable[[Json, random.Random], None], ...] = (
    name_badly, lose_the_names, alias_badly, describe_badly, lose_the_claims, stamp_badly, lose_the_id,
)  # fmt: skip


def damage_statement(entity: Json, chance: random.Random) -> str:
    """Damage one statement of an entity, or the entity where it has none; returns how, for a failing test to tell."""
    told = statements_of(entity)
    if not told or chance.random() < 0.25:
        way = chance.choice(ENTITY_DAMAGES)
        way(entity, chance)
        return f"{entity['id']}: {way.__name__}"
    row, of_row = chance.choice(told), chance.choice(STATEMENT_DAMAGES)
    row["qualifiers"] = row.get("qualifiers") or {}
    of_row(row, entity, chance)
    return f"{entity['id']}: {of_row.__name__} of {row.get('id')}"


def written(snapshot: Path, changes: Sequence[str], tmp_path: Path) -> tuple[SnapshotManifest, Path]:
    """A snapshot damaged by SQL, and written through the gate."""
    damaged = Path(shutil.copytree(snapshot, tmp_path / f"damaged-{len(list(tmp_path.iterdir()))}"))
    plant(damaged, changes)
    out = tmp_path / "out"
    return write_valid({name: read_table(damaged, name) for name in SNAPSHOT_TABLES}, read_manifest(damaged), out), out
