"""What the world brings: 138 situations of Wikidata, each with what common sense expects of it.

The situations lie beside the project (`../shared/cases/wikidata`), where they are present; each kind of them is made
anew in the tests of timelines, changes and names. `OUTCOMES` says what a refresh makes of each: the kind of the edit
and the first day on which it may have happened, the reason of its rejection, or that nothing changed. A comment stands
where the outcome differs from what `situations.tsv` expects, or where it left the matter open.
"""

from __future__ import annotations

import csv
import datetime
from collections import defaultdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest

from chronofacts.pipeline.build import SnapshotSettings, build_files
from chronofacts.pipeline.sources.dump.source import DumpSettings, open_dump
from chronofacts.pipeline.sources.staging import stage_source
from chronofacts.pipeline.sources.statements import properties_of
from chronofacts.schemas.catalogue import load_catalogue

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "wikidata"
SITUATIONS = CASES / "situations.tsv"

OUTCOMES = {
    "01 handover same day": "modification 2022-05-10",
    "02 overlap 10 days between": "modification 2022-05-10",
    "02b overlap covers as_of": "rejected uncertain_at_as_of",
    "03 re-elected adjacent terms": "no change",
    "03b return b->a": "modification 2021-01-01",
    "03c a at both, b between": "no change",
    "03d new b re-elected after since": "modification 2021-02-01",
    "04 preferred current, normal former no end": "modification 2022-01-01",
    "04b preferred current undated, former ended": "rejected uncertain_at_since",
    "04c preferred current undated, former open": "rejected uncertain_at_since",
    "05 unknown-value end": "rejected uncertain_at_since",
    # "no value" says that the old holder has not left.
    "05b no-value end then successor": "rejected uncertain_at_as_of",
    "06 month start straddling since": "rejected uncertain_at_since",
    # Whichever of its dates is wrong, it may have held at since; from the next certain holder on nothing is
    # blocked.
    "07 former end before start": "rejected uncertain_at_since",
    "07b ancient holder end<start, b->c clean": "modification 2022-01-01",
    "08 BCE start of former, no end": "rejected uncertain_at_since",
    "08b former BCE with end BCE, old b2 ok": "update 2022-01-01",
    "09 two starts on one (old one, long past), b->c": "modification 2022-01-01",
    "09b two starts on the old holder": "modification 2022-01-01",
    "10 P585 only for new": "rejected uncertain_at_since",
    "11 acting by P3831": "rejected uncertain_at_as_of",
    "11 acting by P5102": "rejected uncertain_at_as_of",
    "11 acting by P2868": "rejected uncertain_at_as_of",
    "11 acting by P794": "rejected uncertain_at_as_of",
    "11 acting by P1552": "rejected uncertain_at_as_of",
    "11 acting by P5168": "rejected uncertain_at_as_of",
    "11g acting between, then c": "modification 2022-02-01",
    "12 P2937 term qualifiers": "modification 2021-01-01",
    "13 old object redirect id not in dump": "rejected no_label",
    "14 new label only in mul": "modification 2022-01-01",
    "14b new label only in de": "rejected no_label",
    "15 same labels": "rejected same_name",
    "15b shared alias": "rejected same_name",
    "17 died after since, no end, no successor": "rejected ended_without_successor",
    "17b died, then successor a month later": "modification 2022-03-01",
    "17c died 2022 (year), successor 2022-03-01": "modification 2022-03-01",
    "17d died unknown day": "rejected uncertain_at_since",
    "18 country dissolved 2021": "rejected ended_without_successor",
    "18b dissolved country, successor after dissolution": "rejected uncertain_at_as_of",
    "19 end cause": "modification 2022-01-01",
    "20 start after as_of (known to dump)": "no change",
    "20b start after dump day (elect)": "no change",
    "20c old ends after as_of by plan": "no change",
    "22 decade start of old": "rejected uncertain_at_since",
    "22b century start of someone long ago w/ end": "modification 2022-01-01",
    "23 very long alias": "modification 2022-01-01",
    "23 label quotes": "modification 2022-01-01",
    "23 label newline": "rejected unusable_label",
    "23 label RTL": "rejected unusable_label",
    "23 label emoji": "modification 2022-01-01",
    "23 label RTL mark": "rejected unusable_label",
    "23 label html": "rejected unusable_label",
    "23 label comma": "modification 2022-01-01",
    "23 label placeholder": "rejected unusable_label",
    "25 novalue at as_of (vacant)": "rejected ended_without_successor",
    "25b novalue between": "modification 2022-01-01",
    "25c somevalue at as_of": "rejected uncertain_at_as_of",
    "26 day precision but month 00": "modification 2022-01-01",
    # Wikidata's own RDF export reads 31 February as its last day, and both forms shall say the same.
    "26b 31 Feb": "modification 2022-02-28",
    "26c second precision 14": "modification 2022-05-10",
    "26d year zero": "rejected uncertain_at_since",
    "27 both year 2021": "modification 2021-01-01",
    "27b year 2020 straddles since day 1": "rejected uncertain_at_since",
    "27c old ended 2019 (year), new 2019": "no change",
    # Nobody is named at since, which is no proof that there was nobody: an update, not an injection.
    "28 end = since day, gap, b": "update 2021-01-01",
    "29 start = as_of": "modification 2024-01-01",
    "30 start = since": "no change",
    "31 new is deprecated": "no change",
    "32 circa by P1480 on new": "rejected uncertain_at_as_of",
    "36 twin zero-length of new (Haavisto)": "modification 2021-12-10",
    # The ended copy may be the truth and the open one forgotten: after its end nobody knows, and that is said.
    "37 twin: first term ended, whole term open (Noda)": "rejected uncertain_at_as_of",
    # Since lies after the end of the copy, so that the old value is not certain; it is no injection.
    "37b twin then c: false injection when since lies after twin end": "rejected uncertain_at_since",
    "39 P1366 names b, b has no start": "rejected uncertain_at_since",
    "41 too old open": "rejected uncertain_at_since",
    "46 day end, month start": "modification 2021-03-01",
    "47 homonym subject 1": "rejected ambiguous_name",
    "47b homonym subject 2": "rejected ambiguous_name",
    # Wikidata has a hole from 2015 on.
    "49 predecessor died 2015, b 2022": "update 2022-01-01",
    # The death ends the term; who came until the next holder is not known.
    "50 stated end after death": "update 2022-01-01",
    "52 duplicate precision of same term": "modification 2022-01-01",
    # A name that shares one of its two words with the subject is not given away by the question.
    "55 answer in question": "modification 2022-01-01",
    # A hole of Wikidata, and no proof that there was nobody.
    "56 successor c named only later, gap filled? a end stated 2019, c 2022 (hole)": "update 2022-01-01",
    "57 hole before new: a at since ends 2021, hole 2021-23, c 2023": "modification 2023-06-01",
    "58 no end, next known holder 6 years later": "modification 2023-06-01",
    "33 spouse died 2021, remarried 2023": "modification 2023-06-01",
    "33b spouse died 2021, no end": "rejected ended_without_successor",
    "33c undated spouse, later dated one": "rejected uncertain_at_since",
    # Divorces are common and often not recorded: a marriage without dates decides nothing.
    "33d single undated spouse": "rejected uncertain_at_since",
    "34 coach months/years": "modification 2023-01-01",
    "35 co-CEOs then one": "rejected uncertain_at_since",
    "38 office P39": "modification 2022-01-01",
    "38b MPs with district": "rejected uncertain_at_since",
    "38c parliament w/o district, one current known": "rejected uncertain_at_since",
    "58b start 1935, no end, no death stated, next known holder 2023": "rejected uncertain_at_since",
    "58c start 1985 (37 y before since), next known 2023": "rejected uncertain_at_since",
    "25d novalue at since (explicit vacancy) then b": "injection 2023-01-01",
    # As above.
    "37b twin then c (since lies after the twin's end)": "rejected uncertain_at_since",
    "60 twin is a re-read: same start, ends 2021 and later end 2023": "modification 2023-01-01",
    # The two days belong to nobody that is named; the old value is not known.
    "61 gap of two days at since between terms of one holder": "update 2023-02-01",
    "62 acting by P2868 at since": "rejected uncertain_at_since",
    # The item is no acting or interim role but a rank of honour; the catalogue lists those that are.
    "62b P3831 other 'interim' item": "modification 2023-01-01",
    "33e undated spouse died 2015, remarried 2023": "update 2023-06-01",
    "08c dead since 44 BCE person in entities": "modification 2023-01-01",
    # A name that nobody knows keeps its own capital, as The Hague does; the Bahamas and others are listed.
    "63 lower-case 'The' label subject": "modification 2023-01-01",
    "64 label with parenthesis": "modification 2023-01-01",
    "65 office label without its country, P1001 known": "modification 2023-01-01",
    "65b Federal Minister": "modification 2023-01-01",
    "65c Minister": "modification 2023-01-01",
    "66 P582 later than successor by years (stale end)": "rejected uncertain_at_as_of",
    "67 start of new only to the decade": "rejected uncertain_at_since",
    "69 end = day before next start, since = that end day": "modification 2020-01-01",
    "70 holder 1 by redirect id absent from dump, no label": "rejected no_label",
    "71 contradicting holders, one preferred (rank should decide)": "modification 2022-01-01",
    # It may have held at any time.
    "72 vandal: normal statement w/o dates beside dated timeline": "rejected uncertain_at_since",
    "73 P580 somevalue for new": "rejected uncertain_at_since",
    "74 new start 2022 by P585-only of old (point in time) plus P580": "modification 2022-01-01",
    "75 object is not human (a government)": "rejected ended_without_successor",
    "21 Julian day 1918-02-01 = Gregorian 02-14": "modification 1918-02-14",
    "21b same day written Gregorian": "no change",
    "21c Julian month Jan 1918 (= 14 Jan..13 Feb Gregorian)": "rejected uncertain_at_since",
    "21d Julian leap 1900-02-29 as former start": "modification 1918-02-15",
    "Assistant Minister for Trade": "modification 2023-01-01",
    "Federal Minister for Railways": "modification 2023-01-01",
    "Minister for Trade": "modification 2023-01-01",
    "Coordinating Minister for Economy": "modification 2023-01-01",
    "Special Minister of State": "modification 2023-01-01",
    "Governor of the Central Bank": "modification 2023-01-01",
    "President of the Supreme Court": "modification 2023-01-01",
    "Chairman of the Joint Chiefs": "modification 2023-01-01",
    "Executive Secretary": "modification 2023-01-01",
    "President of the Senate": "modification 2023-01-01",
    "Mayor": "modification 2023-01-01",
    "Ombudsman": "modification 2023-01-01",
    "Auditor General": "modification 2023-01-01",
    "Solicitor General": "modification 2023-01-01",
    "Chief of the General Staff": "modification 2023-01-01",
    "King": "modification 2023-01-01",
    "Monarch": "modification 2023-01-01",
}

# Words that the edit question of a situation must hold; a monarch and a mayor are those of a place, not in it.
ASKED = {
    "65 office label without its country, P1001 known": "in Testonia",
    "65b Federal Minister": "in Testonia",
    "65c Minister": "in Testonia",
    "Assistant Minister for Trade": "in Zorland",
    "Federal Minister for Railways": "in Zorland",
    "Minister for Trade": "in Zorland",
    "Coordinating Minister for Economy": "in Zorland",
    "Special Minister of State": "in Zorland",
    "Governor of the Central Bank": "in Zorland",
    "President of the Supreme Court": "in Zorland",
    "Chairman of the Joint Chiefs": "in Zorland",
    "Executive Secretary": "in Zorland",
    "President of the Senate": "in Zorland",
    "Mayor": "of Zorland",
    "Ombudsman": "in Zorland",
    "Auditor General": "in Zorland",
    "Solicitor General": "in Zorland",
    "Chief of the General Staff": "in Zorland",
    "King": "of Zorland",
    "Monarch": "of Zorland",
}


def situations() -> list[dict[str, str]]:
    if not SITUATIONS.exists():
        return []
    with SITUATIONS.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@cache
def snapshot(file: str, days: str) -> tuple[dict[str, list[dict]], dict[str, list[dict]], list[dict]]:
    """(edits by subject, rejections by subject, questions) of a refresh between two days, as of mid-2024."""
    since, as_of = (datetime.date.fromisoformat(day) for day in days.split())
    catalogue = load_catalogue()
    source = open_dump(
        str(CASES / file), properties_of(catalogue), DumpSettings(day=max(as_of, datetime.date(2024, 6, 1)))
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        told = stage_source(source, catalogue, "en", folder / "told", None)
        settings = SnapshotSettings(since, as_of, quarantine_days=0)
        files = build_files(told, catalogue, settings, source.freshness().day, folder)
        read = {table: pq.read_table(files[table]).to_pylist() for table in ("edits", "rejections", "questions")}
    by_subject = []
    for table in ("edits", "rejections"):
        rows = defaultdict(list)
        for row in read[table]:
            rows[row["subject"]].append(row)
        by_subject.append(rows)
    return *by_subject, read["questions"]


def outcome(situation: dict[str, str]) -> set[str]:
    edits, rejections, _ = snapshot(situation["file"], situation["since as_of"])
    subject = situation["subject"]
    found = {f"{row['kind']} {row['changed_on_earliest']}" for row in edits.get(subject, ())}
    left_out = {"timelines", "crosscheck", "changes", "questions"}
    found |= {
        f"rejected {row['reason']}"
        for row in rejections.get(subject, ())
        if row["stage"] in left_out and row["reason"] != "no_probe" and not found
    }
    return found or {"no change"}


@pytest.mark.parametrize(
    "situation", situations(), ids=lambda row: f"{row['file'].partition('.')[0]} {row['situation']}"
)
def test_a_situation_of_the_world_comes_out_as_common_sense_expects(situation: dict[str, str]) -> None:
    assert OUTCOMES[situation["situation"]] in outcome(situation), situation["expected by common sense"]
    edits, _, _ = snapshot(situation["file"], situation["since as_of"])
    if words := ASKED.get(situation["situation"]):
        (edit,) = edits[situation["subject"]]
        assert words in edit["prompt"]


@pytest.mark.skipif(not SITUATIONS.exists(), reason="the situations do not lie beside the project")
def test_no_question_reaches_across_a_hole_or_beyond_a_death() -> None:
    _, _, questions = snapshot("situations.json.gz", "2020-01-01 2024-01-01")
    about = defaultdict(list)
    for row in questions:
        about[row["chain"][0]["subject"], row["kind"]].append(row)
    assert ("Q9000083", "timeline") not in about  # nobody is named for two years before the new holder
    married = [row for row in about["Q9500175", "history"] if row["asked_on"] >= datetime.date(2021, 1, 1)]
    assert not married  # the spouse died in 2021


@pytest.mark.skipif(not SITUATIONS.exists(), reason="the situations do not lie beside the project")
@pytest.mark.parametrize(
    ("file", "days", "kinds"),
    [
        ("widower.json.gz", "2022-06-01 2024-01-01", ["update"]),
        ("died-in-first-year.json.gz", "2020-01-01 2024-01-01", []),
    ],
)
def test_a_death_never_costs_more_than_its_own_timeline(file: str, days: str, kinds: list[str]) -> None:
    edits, _, _ = snapshot(file, days)
    assert [row["kind"] for rows in edits.values() for row in rows] == kinds
