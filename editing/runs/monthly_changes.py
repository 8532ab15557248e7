"""What each snapshot of several changed since the one before it, and what is asked about it.

A snapshot may reach back further than the one before it (a store's are of a year each): a change counts for the first
month that has it. Of a fact that changes again the later answer is the right one from then on, and the earlier one
stays right for its own day.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.facts import choose_facts, drop_duplicates
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.scoring.probes import direct_probes
from chronofacts.editing.snapshot import Snapshot, keep_edits, load_snapshot, nearest_sentences
from chronofacts.schemas.errors import BadInput

__all__ = ["Fact", "Month", "as_one_snapshot", "asked_probes", "edits_so_far", "load_months"]

Fact = tuple[str, str, str]
"""Subject, relation and question: what a later month may change again."""
PAST = 60
"""Questions about the past, of the first snapshot, that are asked again each month: they are right for ever."""
SENTENCES_PER_FACT, FEWEST_SENTENCES = 25, 1500
"""Of the small world, where `limit` takes a part of the facts."""


@dataclass(frozen=True)
class Month:
    """One snapshot's own changes."""

    day: datetime.date
    """Of the snapshot."""
    snapshot: Snapshot
    """Its own changes as edits, with all questions about them alone; the sentences are the snapshot's."""

    @property
    def facts(self) -> dict[Fact, str]:
        """Each fact that it changed, and its edit's id."""
        edits = drop_duplicates(self.snapshot.edits)
        return dict(zip(_keys(edits), edits["edit_id"].to_pylist(), strict=True))


def load_months(folders: Sequence[Path], limit: int | None, seed: int) -> list[Month]:
    """The snapshots in the order of their days, each with its own changes; one that changed nothing is left out.

    limit: so many facts of each month, first those that an earlier month changed already. Raises BadInput for fewer
    than two snapshots, for two of one day or of different languages, and where fewer than two months changed anything.
    """
    loaded = sorted((load_snapshot(folder) for folder in folders), key=lambda one: one.manifest.as_of)
    days = [one.manifest.as_of for one in loaded]
    if len(loaded) < 2:
        raise BadInput("a model is followed through at least two snapshots; name a store, or several snapshot folders")
    if twice := [day for day, after in pairwise(days) if day == after]:
        raise BadInput(f"two of the snapshots are of {twice[0]}; name one of each day")
    if len({one.manifest.language for one in loaded}) > 1:
        raise BadInput("the snapshots are in several languages; name those of one")
    months, answers = list[Month](), dict[Fact, str]()
    for one in loaded:
        edits = _new_changes(one.edits, answers, limit, seed)
        if not edits.num_rows:
            continue
        month = Month(one.manifest.as_of, keep_edits(one, edits))
        months.append(month)
        answers |= _answers(edits)
    if len(months) < 2:
        raise BadInput(f"only {len(months)} of the {len(loaded)} snapshots changed anything that the others did not")
    return months


def as_one_snapshot(months: Sequence[Month], limited: bool, seed: int) -> Snapshot:
    """All edits and questions, and the world before the first month: what a small world is made from.

    A snapshot's sentences are about what stands near its own changes. So those of the later months are added that state
    what a fact was before it changed for the first time: nothing changed it since the first month began.
    """
    first = months[0].snapshot
    whole = replace(
        first,
        edits=pa.concat_tables([month.snapshot.edits for month in months]),
        questions=pa.concat_tables([month.snapshot.questions for month in months]),
        sentences=pa.concat_tables([first.sentences, *_first_states(months)]),
    )
    if not limited:
        return whole
    most = max(FEWEST_SENTENCES, SENTENCES_PER_FACT * whole.edits.num_rows)
    return replace(whole, sentences=nearest_sentences(whole, most, seed))


def _first_states(months: Sequence[Month]) -> list[pa.Table]:
    """Of each month after the first: its sentences about facts that no earlier month changed, in texts not yet said."""
    said, changed = set(months[0].snapshot.sentences["prompt"].to_pylist()), set(months[0].facts)
    found = []
    for month in months[1:]:
        sentences = month.snapshot.sentences
        edits = month.snapshot.edits
        fresh = {one for key, one in zip(_keys(edits), edits["edit_id"].to_pylist(), strict=True) if key not in changed}
        columns = (sentences[name].to_pylist() for name in ("role", "prompt", "edit_ids"))
        kept = [
            role == "current" and prompt not in said and bool(ids) and set(ids) <= fresh
            for role, prompt, ids in zip(*columns, strict=True)
        ]
        found.append(sentences.filter(pa.array(kept, pa.bool_())))
        said |= set(found[-1]["prompt"].to_pylist())
        changed |= set(month.facts)
    return found


def edits_so_far(months: Sequence[Month]) -> pa.Table:
    """The edits of some months that still hold after the last of them."""
    latest = _latest(months)
    parts = []
    for number, month in enumerate(months):
        edits = month.snapshot.edits
        parts.append(edits.filter(pa.array([latest[key] == number for key in _keys(edits)], pa.bool_())))
    return pa.concat_tables(parts)


def asked_probes(months: Sequence[Month], settings: ScoringSettings) -> pa.Table:
    """`PROBES` after the last of some months, with `month` (the day of the change) and `ask`.

    ask: `now` (the edit question of every fact changed so far, in its latest state), of a fact that changed again
    `then` (its earlier state, asked as on the day of that month's snapshot) and `today` (its latest state, asked as on
    the last day), and `past` (questions of the first snapshot about earlier days).
    """
    latest, last = _latest(months), months[-1].day
    parts: list[pa.Table] = []
    dated = replace(settings, prefix="dated")
    for number, month in enumerate(months):
        facts = month.facts
        holding = {edit_id for key, edit_id in facts.items() if latest[key] == number}
        over = {edit_id for edit_id in facts.values() if edit_id not in holding}
        again = {edit_id for key, edit_id in facts.items() if latest[key] == number and _changes(months, key) > 1}
        parts.append(_ask(month, holding, "now", settings))
        parts.append(_ask(month, over, "then", dated, month.day))
        parts.append(_ask(month, again, "today", dated, last))
    first = months[0].snapshot.questions
    past = first.filter(pc.equal(first["kind"], "history"))
    step = max(1, past.num_rows // PAST)
    chosen = past.take(pa.array(range(0, past.num_rows, step), pa.int64())).slice(0, PAST)
    if chosen.num_rows:
        parts.append(_label(direct_probes(chosen, settings), months[0].day, "past"))
    return pa.concat_tables([part for part in parts if part.num_rows])


def _ask(
    month: Month, edit_ids: set[str], ask: str, settings: ScoringSettings, day: datetime.date | None = None
) -> pa.Table:
    """The edit questions of some of a month's edits; day: that stands before each."""
    questions = month.snapshot.questions
    firsts = [several[0] if several else None for several in questions["edit_ids"].to_pylist()]
    is_asked = pc.is_in(pa.array(firsts, pa.string()), pa.array(sorted(edit_ids), pa.string()))
    chosen = questions.filter(pc.and_(pc.equal(questions["kind"], "edit"), is_asked))
    if not chosen.num_rows:
        return _label(direct_probes(questions.slice(0, 1), settings).slice(0, 0), month.day, ask)
    if day is not None:
        days = pa.array([day] * chosen.num_rows, pa.date32())
        chosen = chosen.set_column(chosen.column_names.index("as_of"), chosen.schema.field("as_of"), days)
    return _label(direct_probes(chosen, settings), month.day, ask)


def _label(probes: pa.Table, month: datetime.date, ask: str) -> pa.Table:
    count = probes.num_rows
    probes = probes.append_column("month", pa.array([month] * count, pa.date32()))
    return probes.append_column("ask", pa.array([ask] * count, pa.string()))


def _latest(months: Sequence[Month]) -> dict[Fact, int]:
    """Fact -> number of the last month that changed it."""
    return {key: number for number, month in enumerate(months) for key in month.facts}


def _changes(months: Sequence[Month], key: Fact) -> int:
    return sum(key in month.facts for month in months)


def _answers(edits: pa.Table) -> dict[Fact, str]:
    return dict(zip(_keys(edits), edits["target_new"].to_pylist(), strict=True))


def _new_changes(edits: pa.Table, before: Mapping[Fact, str], limit: int | None, seed: int) -> pa.Table:
    """The edits that no earlier month made; so many facts of them, first those that change again."""
    found = _answers(edits)
    new = edits.filter(pa.array([before.get(key) != found[key] for key in _keys(edits)], pa.bool_()))
    if limit is None or drop_duplicates(new).num_rows <= limit:
        return new
    again = pa.array([key in before for key in _keys(new)], pa.bool_())
    first = choose_facts(new.filter(again), limit, seed)
    others = choose_facts(new.filter(pc.invert(again)), limit - drop_duplicates(first).num_rows, seed)
    return pa.concat_tables([first, others])


def _keys(edits: pa.Table) -> list[Fact]:
    return list(zip(*(edits[name].to_pylist() for name in ("subject", "relation", "prompt")), strict=True))
