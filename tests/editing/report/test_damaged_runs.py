"""Runs come from strangers: whatever is missing or of another kind is one line, or the report does without it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.models.load import save_model
from chronofacts.editing.report import as_json, terminal_table
from chronofacts.editing.report.markdown import as_markdown
from chronofacts.editing.report.runs import read_runs
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.schemas.errors import CheckFailed
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

KINDS: tuple[Any, ...] = (None, [1], {"x": 1}, "s", -1e300, True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of a model that says nothing."""
    place = tmp_path_factory.mktemp("sound")
    world = write_invented(place / "S", facts=6, edits=3, people=8)
    save_model(tiny("llama"), tiny_tokenizer(), place / "model")
    settings = read_settings(["memory"], {"cache": "none", "scoring.fluency": "2", "scoring.perplexity": "2"})
    return run_experiment(world, str(place / "model"), settings, place / "run").out


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


def show(run: Path) -> bool:
    """Whether it is shown; raises what is no refusal."""
    try:
        as_markdown(read_runs([run]))
        as_json([run])
        terminal_table([run])
    except CheckFailed as refusal:
        assert str(run) in str(refusal) and "\n" not in str(refusal)
        return False
    return True


def places(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Of the keys of `run.json`, three levels deep; of an editor's figures, two."""
    few = ("edit_success", "seconds") if above[:1] == ("metrics",) and len(above) == 2 else None
    for key in (few or value) if isinstance(value, dict) and len(above) < 3 else ():
        yield (*above, key)
        yield from places(value[key], (*above, key))


def test_a_run_json_without_a_key_or_with_another_kind_of_value_is_refused_or_shown(run: Path) -> None:
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    shown = {place: 0 for place in places(about) if "files" not in place and place[:1] != ("settings",)}
    assert len(shown) > 40 and show(run)
    for number, place in enumerate(shown):
        for value in ("gone", KINDS[number % len(KINDS)]):
            other = copy.deepcopy(about)
            inner = other
            for key in place[:-1]:
                inner = inner[key]
            if value == "gone":
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            (run / "run.json").write_text(json.dumps(other), encoding="utf-8")
            shown[place] += show(run)
    for needed in (("snapshot", "since"), ("model", "hash"), ("metrics", "none"), ("metrics",), ("snapshot",)):
        assert not shown[needed]


@pytest.mark.parametrize("table", ["scores/none.parquet", "metrics.parquet", "differences.parquet"])
def test_a_table_that_was_cut_off_asks_for_another_run_and_not_for_a_snapshot(run: Path, table: str) -> None:
    whole = (run / table).read_bytes()
    (run / table).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckFailed, match=r"\.parquet is damaged .*; run the experiment again"):
        read_runs([run])


@pytest.mark.parametrize("table", ["scores/none.parquet", "metrics.parquet", "differences.parquet"])
def test_a_table_without_a_column_of_another_type_or_without_values_is_refused_or_shown(run: Path, table: str) -> None:
    whole, refused = pq.read_table(run / table), 0
    for place, name in enumerate(whole.column_names):
        for other in (
            whole.drop_columns([name]),
            whole.set_column(place, name, pa.nulls(whole.num_rows, whole.schema.field(name).type)),
            whole.set_column(place, name, pa.array([["x"]] * whole.num_rows)),
        ):
            pq.write_table(other, run / table)
            refused += not show(run)
    assert refused > len(whole.column_names) / 2
