"""The dataset card and its charts: what a reader of the repository sees."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.pipeline.publishing.charts import edits_by_relation_svg
from chronofacts.pipeline.snapshots.card import write_card
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import EDITS


def card_of(snapshot: Path) -> str:
    write_card(snapshot, read_manifest(snapshot))
    return (snapshot / "README.md").read_text(encoding="utf-8")


def test_the_worked_example_asks_one_edit_in_every_kind(sample_snapshot: Path) -> None:
    example = (
        (sample_snapshot / "README.md").read_text(encoding="utf-8").partition("## One edit")[2].partition("\n## ")[0]
    )
    kinds = re.findall(r"^\| (\w+) \|", example, re.MULTILINE)[1:]
    assert kinds == ["edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline"]
    edit_id = re.findall(r"`([0-9a-f]{16})`", example)[0]
    edits = pq.read_table(sample_snapshot / "edits" / "edits.parquet")
    assert edit_id in edits["edit_id"].to_pylist()


def test_the_card_counts_multi_hop_questions_by_hops(sample_snapshot: Path) -> None:
    text = (sample_snapshot / "README.md").read_text(encoding="utf-8")
    counted = {int(hops): int(rows) for hops, rows in re.findall(r"^\| ([234]) \| 1 \| (\d+) \|$", text, re.MULTILINE)}
    assert set(counted) == {2, 3} and all(counted.values())


def test_the_card_says_how_it_was_verified_what_it_does_not_promise_and_what_to_cite(sample_snapshot: Path) -> None:
    text = (sample_snapshot / "README.md").read_text(encoding="utf-8")
    for title in ("How it was verified", "Known limits", "Citation", "What was left out, and why"):
        assert f"\n## {title}\n" in text
    assert "2406.04496" in text and "2305.14795" in text


def test_a_set_without_edits_has_a_card(sample_snapshot: Path, tmp_path: Path) -> None:
    empty = Path(shutil.copytree(sample_snapshot, tmp_path / "empty"))
    for table in ("edits", "questions"):
        for file in (empty / table).iterdir():
            pq.write_table(pq.read_table(file).slice(0, 0), file)
    text = card_of(empty)
    assert "## One edit" not in text and "## Known limits" in text


def test_a_hostile_name_is_no_markup_in_the_example(sample_snapshot: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(sample_snapshot, tmp_path / "hostile"))
    file = hostile / "edits" / "edits.parquet"
    edits = pq.read_table(file)
    names = pa.array(["<img src=x> | [click](http://evil)"] * edits.num_rows)
    pq.write_table(edits.set_column(edits.schema.get_field_index("subject_label"), "subject_label", names), file)
    text = card_of(hostile)
    assert "<img" not in text and "](http://evil" not in text


def test_the_chart_of_relations_has_a_bar_for_each_with_its_count() -> None:
    rows = [{"relation": name} for name in ("ceo", "capital", "ceo", "a<b")]
    svg = edits_by_relation_svg(pa.Table.from_pylist(rows, schema=pa.schema([EDITS.field("relation")])))
    assert svg.count("<rect") == 3 and "a&lt;b" in svg
    assert re.search(r">ceo</text>\n<rect[^>]*/>\n<text[^>]*>2<", svg)
