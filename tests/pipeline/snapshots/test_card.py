"""The dataset card and its charts: what a reader of the repository sees."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.publishing.charts import edits_by_relation_svg
from chronofacts.pipeline.snapshots.card import size_category, write_card
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
    edits = pq.read_table(sample_snapshot / "edits" / "edits-test.parquet")
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


def test_the_card_says_that_answers_are_kept_out_of_questions_as_whole_words(sample_snapshot: Path) -> None:
    text = (sample_snapshot / "README.md").read_text(encoding="utf-8")
    assert "No question has its answer among its words (a longer word may hold it" in text


def test_a_hostile_name_is_no_markup_in_the_example(sample_snapshot: Path, tmp_path: Path) -> None:
    hostile = Path(shutil.copytree(sample_snapshot, tmp_path / "hostile"))
    file = hostile / "edits" / "edits-test.parquet"
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


def test_the_card_of_the_sample_says_that_nobody_read_its_facts_from_wikidata(sample_snapshot: Path) -> None:
    text = (sample_snapshot / "README.md").read_text(encoding="utf-8")
    croissant = json.loads((sample_snapshot / "croissant.json").read_text(encoding="utf-8"))
    assert "not read from Wikidata" in text and "`confidence` counts the places in the sample" in text
    head = text.partition("## Columns")[0]
    assert "made from Wikidata" not in head and "Facts are CC0." in head
    assert croissant["creator"]["name"] != "Wikidata contributors" and "written by hand" in croissant["citeAs"]
    assert "not read from Wikidata" in read_manifest(sample_snapshot).source_detail
    assert DatasetCard(text).data.annotations_creators == ["expert-generated"]


def test_the_card_of_an_endpoint_speaks_of_wikidata(sample_snapshot: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample_snapshot, tmp_path / "S"))
    write_card(folder, replace(read_manifest(folder), source="wdqs", source_detail="wdqs"))
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "written by hand" not in text and "Facts are CC0, from Wikidata." in text and "made from Wikidata" in text
    assert DatasetCard(text).data.source_datasets == ["extended|other-wikidata"]


@given(st.integers(0, 10**11))
def test_a_size_is_named_by_the_class_that_holds_it(rows: int) -> None:
    found = re.fullmatch(r"(?:n>(\d+[KMB]))|(?:(\d+[KMB])<)?n<(\d+[KMB])", size_category(rows))
    assert found is not None
    worth = {"K": 10**3, "M": 10**6, "B": 10**9}
    over, low, high = (int(bound[:-1]) * worth[bound[-1]] if bound else None for bound in found.groups())
    assert (over or low or 0) <= rows and (high is None or rows < high)


def test_the_hubs_own_library_reads_the_metadata_of_the_card(sample_snapshot: Path) -> None:
    data = DatasetCard.load(sample_snapshot / "README.md").data
    assert data.license == "cc0-1.0" and data.language == ["en"] and data.size_categories == ["10K<n<100K"]
    assert {"multi_hop", "edits"} <= {config["config_name"] for config in data.to_dict()["configs"]}
