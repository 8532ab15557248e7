"""What a model is known to say is not scored again, and never served as another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chronofacts.editing.scoring import SLICE, ScoreCache, ScoringSettings, all_probes, evaluate, score_with_cache
from chronofacts.editing.scoring.cache import default_folder, state_key
from chronofacts.editing.snapshot import Snapshot

SETTINGS = ScoringSettings(hops=False, fluency=3, perplexity=3)


@pytest.fixture
def probes(snapshot: Snapshot) -> pa.Table:
    return all_probes(snapshot.questions.slice(0, 40), snapshot.sentences, SETTINGS)


def refuse(part: pa.Table) -> pa.Table:
    raise AssertionError("scored again")


def test_a_second_run_asks_nothing_and_says_the_same(
    model_and_tokenizer: Any, probes: pa.Table, tmp_path: Path
) -> None:
    store = ScoreCache(tmp_path, state_key("model"))
    first = evaluate(*model_and_tokenizer, probes, SETTINGS, store)
    again = score_with_cache(store, probes, SETTINGS, refuse)
    assert again.equals(first.select(again.column_names).cast(again.schema))
    assert evaluate(None, None, probes, SETTINGS, store).equals(first)


def test_another_models_results_are_not_served(model_and_tokenizer: Any, probes: pa.Table, tmp_path: Path) -> None:
    evaluate(*model_and_tokenizer, probes, SETTINGS, ScoreCache(tmp_path, state_key("one model")))
    other = ScoreCache(tmp_path, state_key("another"))
    with pytest.raises(AssertionError, match="scored again"):
        score_with_cache(other, probes, SETTINGS, refuse)
    (written,) = tmp_path.glob("*/*.parquet")
    smuggled = other.folder_for(SETTINGS) / written.name  # even a file under the wrong name is known for what it is
    smuggled.parent.mkdir()
    smuggled.write_bytes(written.read_bytes())
    with pytest.raises(AssertionError, match="scored again"):
        score_with_cache(other, probes, SETTINGS, refuse)


def test_other_settings_are_other_results(model_and_tokenizer: Any, probes: pa.Table, tmp_path: Path) -> None:
    store = ScoreCache(tmp_path, state_key("model"))
    evaluate(*model_and_tokenizer, probes, SETTINGS, store)
    with pytest.raises(AssertionError, match="scored again"):
        score_with_cache(store, probes, ScoringSettings(hops=False, fluency=3, perplexity=3, margin=2), refuse)


def test_a_damaged_file_does_not_count(model_and_tokenizer: Any, probes: pa.Table, tmp_path: Path) -> None:
    store = ScoreCache(tmp_path, state_key("model"))
    whole = evaluate(*model_and_tokenizer, probes, SETTINGS, store)
    for file in tmp_path.glob("*/*.parquet"):
        file.write_bytes(file.read_bytes()[:100])
    assert evaluate(*model_and_tokenizer, probes, SETTINGS, store).equals(whole)


def test_a_part_of_a_slice_is_asked_whole(probes: pa.Table, tmp_path: Path) -> None:
    from chronofacts.editing.scoring.score_tables import RESULTS

    store, asked = ScoreCache(tmp_path, "s"), []

    def ask(part: pa.Table) -> pa.Table:
        asked.append(part.num_rows)
        return pa.Table.from_pylist([{"generated": name} for name in part["probe_id"].to_pylist()], schema=RESULTS)

    score_with_cache(store, probes.slice(0, 20), SETTINGS, ask, 10)
    found = score_with_cache(store, probes.slice(5, 20), SETTINGS, ask, 10)
    assert asked == [10, 10, 10] and found["generated"].to_pylist() == probes["probe_id"].to_pylist()[5:25]
    assert SLICE > 1000


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    model_and_tokenizer: Any, probes: pa.Table, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    store = ScoreCache(tmp_path / "file", state_key("model"))
    assert evaluate(*model_and_tokenizer, probes, SETTINGS, store).num_rows == probes.num_rows


def test_the_folder_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHRONOFACTS_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "scores"
    monkeypatch.setenv("CHRONOFACTS_CACHE", "")
    assert default_folder() is None
    monkeypatch.delenv("CHRONOFACTS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_folder() == tmp_path / "x" / "chronofacts" / "scores"
