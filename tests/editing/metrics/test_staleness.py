"""Where a model's knowledge ends, from the dates of the facts that it does and does not know."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pyarrow as pa

from chronofacts.editing.metrics.staleness import estimate_cutoff, months
from chronofacts.editing.scoring import SCORES

SCHEMA = pa.schema([*SCORES, pa.field("changed_on_earliest", pa.date32()), pa.field("changed_on_latest", pa.date32())])


def facts(knows_until: datetime.date | None, noise: float = 0.1, count: int = 300, **more: Any) -> pa.Table:
    """Facts that change evenly over four years; a model that knows those until a day, but for some noise."""
    chance = random.Random(3)
    rows = []
    for number in range(count):
        day = datetime.date(2021, 1, 1) + datetime.timedelta(days=number * 1460 // count)
        new = (knows_until is not None and day < knows_until) != (chance.random() < noise)
        rows.append(
            dict.fromkeys(SCHEMA.names) | {
                "kind": "edit", "fact": str(number), "exact_match": new, "exact_match_before": not new,
                "p_new_over_old": 0.9 if new else 0.1, "changed_on_earliest": day, "changed_on_latest": day,
            } | more
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_the_day_after_which_a_model_is_stale_is_found() -> None:
    cutoff = estimate_cutoff(facts(datetime.date(2022, 9, 1)))
    assert cutoff is not None
    assert abs((cutoff.day - datetime.date(2022, 9, 1)).days) <= 31
    assert cutoff.low <= cutoff.day <= cutoff.high and (cutoff.high - cutoff.low).days < 200
    assert cutoff.before > 0.8 and cutoff.after < 0.2


def test_a_model_that_knows_none_or_all_of_the_changes_has_no_such_day() -> None:
    assert estimate_cutoff(facts(None)) is None
    assert estimate_cutoff(facts(datetime.date(2030, 1, 1))) is None


def test_answers_by_chance_show_no_day() -> None:
    assert estimate_cutoff(facts(None, noise=0.5)) is None


def test_where_neither_answer_is_given_the_likelier_one_decides() -> None:
    silent = facts(datetime.date(2023, 3, 1), exact_match=False, exact_match_before=False)
    cutoff = estimate_cutoff(silent)
    assert cutoff is not None and abs((cutoff.day - datetime.date(2023, 3, 1)).days) <= 31


def test_months_are_in_order_and_weigh_their_facts() -> None:
    found = months(facts(datetime.date(2022, 9, 1), noise=0.0))
    assert [month.day for month in found] == sorted(month.day for month in found) and len(found) == 48
    assert sum(month.n for month in found) == 300
    assert (found[0].new, found[0].old, found[-1].new, found[-1].old) == (1.0, 0.0, 0.0, 1.0)


def test_a_change_whose_day_is_known_only_to_a_year_has_no_month() -> None:
    vague = facts(None, changed_on_earliest=datetime.date(2022, 1, 1), changed_on_latest=datetime.date(2022, 12, 31))
    assert months(vague) == [] and estimate_cutoff(vague) is None


def test_a_run_of_an_older_version_without_days_has_no_months() -> None:
    assert months(SCORES.empty_table()) == []


def test_facts_without_an_old_answer_say_nothing_about_where_knowledge_ends() -> None:
    """Of an injection or update only knowing could be told, never that the model is behind."""
    known = facts(datetime.date(2022, 9, 1))
    newer = facts(datetime.date(2030, 1, 1), exact_match_before=None, p_new_over_old=None)
    assert estimate_cutoff(newer) is None
    assert estimate_cutoff(pa.concat_tables([known, newer])) == estimate_cutoff(known)
    month = months(newer)[0]
    assert (month.old, month.outdated) == (None, 0) and month.new > 0.5
    both = months(pa.concat_tables([known, newer]))[0]
    assert both.old == months(known)[0].old and both.n == 2 * both.outdated
