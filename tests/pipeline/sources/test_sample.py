"""The sample, and what the pipeline makes of it, against a second reading that shares no code with it."""

from __future__ import annotations

import datetime
import gzip
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.sources.sample import SAMPLE_DIR, open_sample
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.conftest import AS_OF, SINCE

# What Wikidata says of a team that men play for: three classes of clubs, and one of national sides.
CLUBS = {"Q476028", "Q13393265", "Q17156793"}
NATIONAL_SIDE = "Q6979593"

TRIPLE = re.compile(r'(\S+) <(\S+)> (<[^>]*>|_:\S+|"(?:[^"\\]|\\.)*"\S*) \.')


@dataclass
class Term:
    """One statement as plain Python reads it: what it says, and the first and last day it may start and end."""

    subject: str = ""
    property: str = ""
    value: str = ""
    rank: str = ""
    start: tuple[datetime.date, datetime.date] | None = None
    end: tuple[datetime.date, datetime.date] | None = None
    end_is_none: bool = False
    qualifiers: set[str] = field(default_factory=set)


def days(time: str, precision: int) -> tuple[datetime.date, datetime.date]:
    first = datetime.date.fromisoformat(time[:10])
    if precision == 11:
        return first, first
    if precision == 10:
        following = (first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
        return first.replace(day=1), following - datetime.timedelta(days=1)
    return datetime.date(first.year, 1, 1), datetime.date(first.year, 12, 31)


@pytest.fixture(scope="module")
def terms() -> list[Term]:
    """Every statement of the sample, read from its lines of text."""
    statements: dict[str, Term] = defaultdict(Term)
    values: dict[str, dict[str, str]] = defaultdict(dict)
    dates: list[tuple[str, str, str]] = []
    with gzip.open(SAMPLE_DIR / "sample.nt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            match = TRIPLE.fullmatch(line.rstrip("\n"))
            assert match, line
            subject, predicate, value = match.groups()
            tail = value.strip("<>").rpartition("/")[2]
            if predicate.startswith("http://wikiba.se/ontology#time"):
                values[subject][predicate.rpartition("#")[2]] = value.split('"')[1] if value[0] == '"' else value
            if re.fullmatch(r"http://www\.wikidata\.org/prop/P\d+", predicate):
                statements[value].subject = subject.strip("<>").rpartition("/")[2]
                statements[value].property = predicate.rpartition("/")[2]
            elif predicate.startswith("http://www.wikidata.org/prop/statement/P"):
                number = re.match(r'"\+?(-?[\d.]+)"\^\^', value)
                statements[subject].value = number[1] if number else value.split('"')[1] if value[0] == '"' else tail
            elif predicate.endswith("#rank"):
                statements[subject].rank = value
            elif "/prop/qualifier/value/" in predicate:
                dates.append((subject, predicate.rpartition("/")[2], value))
            elif "/prop/qualifier/" in predicate:
                statements[subject].qualifiers.add(predicate.rpartition("/")[2])
            elif value.endswith("/prop/novalue/P582>"):
                statements[subject].end_is_none = True
    for statement, pid, node in dates:
        read = days(values[node]["timeValue"], int(values[node]["timePrecision"]))
        if pid in ("P580", "P585", "P577"):  # a number is true from its count on, a version from its publication
            statements[statement].start = read
        elif pid == "P582":
            statements[statement].end = read
    return [term for term in statements.values() if term.property]


def held(terms: list[Term], sides: set[str], edit: dict, day: datetime.date) -> tuple[set[str], set[str]]:
    """(objects that hold for sure by stated days, objects that may hold) for an edit's subject on a day.

    terms: those of the edit's property; sides: the national sides.
    """
    sure, possible = set(), set()
    for term in terms:
        about, other = (term.value, term.subject) if edit["inverse"] else (term.subject, term.value)
        if about != edit["subject"] or "Deprecated" in term.rank:
            continue
        if term.property == "P54" and (other in sides) != (edit["relation"] == "national_team"):
            continue
        if (term.start and term.start[0] > day) or (term.end and term.end[1] <= day):
            continue
        possible.add(other)
        if term.start and term.start[1] <= day and term.end and term.end[0] > day:
            sure.add(other)
    return sure, possible


def test_every_edit_is_confirmed_by_a_second_reading_of_the_triples(sample_snapshot: Path, terms: list[Term]) -> None:
    edits = read_table(sample_snapshot, "edits").to_pylist()
    of_property: dict[str, list[Term]] = defaultdict(list)
    for term in terms:
        of_property[term.property].append(term)
    sides = {term.subject for term in terms if term.value == NATIONAL_SIDE}
    assert len(edits) >= 120
    sets = [edit for edit in edits if edit["kind"] in ("addition", "removal")]
    assert len(sets) >= 20
    for edit in sets:
        stays = {value["id"] for value in edit["stays"]}
        for day, there, gone in ((SINCE, "old_object", "new_object"), (AS_OF, "new_object", "old_object")):
            _, possible = held(of_property[edit["property"]], sides, edit, day)
            assert possible >= stays | ({edit[there]} - {None}), edit
            assert edit[gone] not in possible, edit
    for edit in edits:
        if edit in sets:
            continue
        for day, value in ((SINCE, edit["old_object"]), (AS_OF, edit["new_object"])):
            sure, possible = held(of_property[edit["property"]], sides, edit, day)
            if value is None:
                assert possible == set(), edit
                continue
            assert value in possible, edit
            assert sure <= {value}, edit
            # Whoever else may hold by what is written must have been followed by a successor since.
            for other in possible - {value}:
                told = of_property[edit["property"]]
                starts = [t.start for t in told if other in (t.subject, t.value) and t.start]
                assert min(starts) < max(
                    t.start for t in told
                    if t.start and t.start[1] <= day and {value, edit["subject"]} <= {t.subject, t.value}
                ), edit  # fmt: skip


def test_the_sample_is_as_large_as_it_says(terms: list[Term]) -> None:
    dated = [term for term in terms if term.start or term.end]
    assert len(dated) >= 2500
    led = {term.subject for term in terms if term.property == "P6"} & {t.subject for t in terms if t.property == "P35"}
    assert len(led) >= 60
    recent = [t for t in terms if t.property in ("P6", "P35", "P39") and t.start and t.start[0].year >= 2021]
    assert len({(t.subject, t.value, t.start) for t in recent}) >= 150


def test_the_sample_changes_elsewhere_than_in_offices_too(terms: list[Term]) -> None:
    def changed(pid: str) -> list[str]:
        """The subjects of a property's statements, once for each start or end that surely lies between the two days."""
        days = [(t.subject, day) for t in terms if t.property == pid for day in (t.start, t.end) if day]
        return [subject for subject, (first, last) in days if first > SINCE and last <= AS_OF]

    assert len(changed("P463")) >= 35  # joined or left a union or an alliance
    assert len(set(changed("P488"))) >= 30  # chairs
    assert len(set(changed("P102"))) >= 8
    for pid in ("P38", "P122", "P159", "P348", "P1037", "P1082", "P3975"):
        assert changed(pid), pid


def test_members_are_few_enough_to_be_told_in_one_answer(terms: list[Term]) -> None:
    for day in (SINCE, AS_OF):
        members: dict[str, set[str]] = defaultdict(set)
        for term in terms:
            begun = not term.start or term.start[0] <= day
            if term.property == "P463" and begun and not (term.end and term.end[1] <= day):
                members[term.subject].add(term.value)
        assert {subject: values for subject, values in members.items() if len(values) > 8} == {}


def test_the_sample_holds_the_awkward_cases_of_wikidata(terms: list[Term]) -> None:
    spans = {term.start[1] - term.start[0] for term in terms if term.start}
    assert {span.days == 0 for span in spans} == {True, False}
    assert any(span.days in (365, 364) for span in spans) and any(27 <= span.days <= 30 for span in spans)
    assert any(term.end_is_none for term in terms)
    assert any("P582" in term.qualifiers and term.end is None for term in terms)  # some value
    assert any(term.start and not term.end and not term.end_is_none for term in terms)
    assert any("Deprecated" in term.rank for term in terms) and any("Preferred" in term.rank for term in terms)


def test_sport_changes_too_between_the_two_days(sample_snapshot: Path) -> None:
    edits = read_table(sample_snapshot, "edits").to_pylist()
    changed = Counter(edit["relation"] for edit in edits)
    assert changed["head_coach"] >= 40 and changed["league"] >= 20 and changed["captain"] >= 15


def test_a_team_of_a_player_is_either_a_club_or_a_national_side(terms: list[Term]) -> None:
    classes = defaultdict(set)
    for term in terms:
        if term.property == "P31":
            classes[term.subject].add(term.value)
    teams = {term.value for term in terms if term.property == "P54"}
    assert len(teams) >= 100
    assert [team for team in teams if len(classes[team] & (CLUBS | {NATIONAL_SIDE})) != 1] == []


def test_no_player_is_certainly_at_two_clubs_on_one_day(terms: list[Term]) -> None:
    sides = {term.subject for term in terms if term.property == "P31" and term.value == NATIONAL_SIDE}
    stays = defaultdict(list)
    for term in terms:
        if term.property != "P54" or term.value in sides or not term.start or not term.end:
            continue
        if term.start[1] < term.end[0]:
            stays[term.subject].append((term.start[1], term.end[0], term.value))
    assert len(stays) >= 100
    for player, spans in stays.items():
        for (_, left, club), (joined, _, other) in pairwise(sorted(spans)):
            assert left <= joined, (player, club, other)


def test_a_truncated_sample_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLE_DIR, tmp_path / "sample", ignore=shutil.ignore_patterns("curated"))
    packed = (folder / "sample.nt.gz").read_bytes()
    (folder / "sample.nt.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CheckFailed, match=r"sample\.nt\.gz is truncated or changed"):
        open_sample(folder)


def test_a_folder_without_a_sample_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"sample\.json is missing"):
        open_sample(tmp_path)


def test_the_same_command_twice_gives_the_same_bytes(sample_snapshot: Path, tmp_path: Path) -> None:
    from chronofacts.flows.refresh import refresh
    from chronofacts.flows.settings import RefreshSettings

    again = refresh(RefreshSettings("sample", tmp_path / "again", SnapshotSettings(SINCE, AS_OF)))
    first = {
        path.relative_to(sample_snapshot): path.read_bytes() for path in sample_snapshot.rglob("*") if path.is_file()
    }
    second = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_second_snapshot_in_a_folder_of_the_same_name_is_not_read_as_the_first(
    sample_snapshot: Path, part_of_the_sample: Path, tmp_path: Path
) -> None:
    from datasets import load_dataset

    both = (sample_snapshot, Path(shutil.copytree(part_of_the_sample, tmp_path / sample_snapshot.name)))
    rows = [load_dataset(str(folder), "edits", split="train+test").num_rows for folder in both]
    assert rows == [read_table(folder, "edits").num_rows for folder in both]
    assert rows[0] > rows[1]


def test_load_dataset_opens_every_config(sample_snapshot: Path) -> None:
    from datasets import get_dataset_config_names, load_dataset

    names = get_dataset_config_names(str(sample_snapshot))
    assert {"edits", "edit", "multi_hop", "locality", "history", "timelines", "rejections"} <= set(names)
    for name in names:
        splits = load_dataset(str(sample_snapshot), name)
        rows = sum(split.num_rows for split in splits.values())
        files = [*(sample_snapshot / name).glob("*.parquet")] or [
            *(sample_snapshot / "questions").glob(f"{name}-*.parquet")
        ]
        assert rows == sum(pq.read_metadata(file).num_rows for file in files)
