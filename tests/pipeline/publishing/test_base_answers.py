"""Base answers go to the Hub beside their snapshot, are a config of it, and may come later."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from yaml import safe_load

from chronofacts.pipeline.publishing.contents import BaseAnswers
from chronofacts.pipeline.publishing.hub import Published, PublishSettings, publish
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.base_answers import BASE_ANSWERS, FILE
from chronofacts.schemas.errors import BadInput
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.publishing.small_snapshot import make_snapshot

REPO, TAG = "org/what-changed", "2025-01-01"


def answers(run: Path, snapshot: Path, model: str = "org/model", most: int | None = None, **more: Any) -> BaseAnswers:
    """A run whose model gives the old answer to every edit question, or to so many of them."""
    rows = [
        dict.fromkeys(BASE_ANSWERS.names)
        | {"model": model, "model_hash": "0123456789abcdef", "question_id": one["question_id"], "kind": "edit"}
        | {"question": one["question"], "answer": one["answer"], "generated": one["answer_before"], "state": "stale"}
        | more
        for one in read_table(snapshot, "questions").to_pylist()
        if one["kind"] == "edit"
    ]
    run.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows[:most], schema=BASE_ANSWERS), run / FILE)
    return BaseAnswers(run)


def send(hub: LocalHub, snapshot: Path, *several: BaseAnswers, force_tag: bool = False) -> Published:
    settings = PublishSettings(endpoint=hub.url, force_tag=force_tag)
    return publish(snapshot, REPO, settings, lambda folder: None, lambda seconds: None, base_answers=several)


def config(hub: LocalHub) -> dict[str, Any] | None:
    card = hub.content(REPO, "main", "README.md").decode()
    configs = safe_load(card.split("---")[1])["configs"]
    return next((one for one in configs if one["config_name"] == "base_answers"), None)


def test_they_are_a_config_of_the_dataset(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    given = answers(tmp_path / "run", snapshot)
    send(hub, snapshot, given)
    found = config(hub)
    name = f"base_answers/{TAG}-org-model-0123456789abcdef.parquet"
    assert found is not None and found["data_files"] == [{"split": "train", "path": [name]}]
    assert hub.content(REPO, TAG, name) == (tmp_path / "run" / FILE).read_bytes()


def test_without_them_there_is_no_such_config(hub: LocalHub, snapshot: Path) -> None:
    send(hub, snapshot)
    assert config(hub) is None


def test_those_that_come_later_are_added_and_the_tag_stays(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    first = send(hub, snapshot, answers(tmp_path / "one", snapshot, "org/one"))
    second = send(hub, snapshot, answers(tmp_path / "two", snapshot, "org/two"))
    assert hub.repos[REPO].tags == {TAG: first.commit} and second.plan.tag_step == "keep"
    found = config(hub)
    assert found is not None and len(found["data_files"][0]["path"]) == 2
    again = send(hub, snapshot, answers(tmp_path / "two", snapshot, "org/two"))
    assert again.plan.is_no_op


def test_those_of_a_model_that_was_asked_more_take_the_place_of_the_fewer(
    hub: LocalHub, snapshot: Path, tmp_path: Path
) -> None:
    name = f"base_answers/{TAG}-org-model-0123456789abcdef.parquet"
    first = send(hub, snapshot, answers(tmp_path / "few", snapshot, most=1))
    sent = send(hub, snapshot, answers(tmp_path / "all", snapshot)).plan
    assert set(sent.replace) >= {name} and sent.tag_step == "keep"
    assert hub.content(REPO, "main", name) == (tmp_path / "all" / FILE).read_bytes()
    assert hub.repos[REPO].tags == {TAG: first.commit}


def test_those_of_an_earlier_month_are_added_beside_the_newest(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    send(hub, snapshot)
    send(hub, make_snapshot(tmp_path / "next", datetime.date(2025, 2, 1)))
    sent = send(hub, snapshot, answers(tmp_path / "run", snapshot)).plan
    assert set(sent.add) == {f"base_answers/{TAG}-org-model-0123456789abcdef.parquet"} and not sent.replace
    assert config(hub) is None, "the card is that of the newest month"


def test_those_of_a_snapshot_whose_tag_is_moved_to_another_go(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    send(hub, snapshot, answers(tmp_path / "run", snapshot))
    other = make_snapshot(tmp_path / "other", holders={1: 4})
    sent = send(hub, other, force_tag=True).plan
    assert f"base_answers/{TAG}-org-model-0123456789abcdef.parquet" in sent.delete
    assert config(hub) is None and not any(name.startswith("base_answers/") for name in hub.repos[REPO].files(TAG))


def test_answers_to_other_questions_are_refused(snapshot: Path, tmp_path: Path) -> None:
    given = answers(tmp_path / "run", snapshot, question_id="of another month")
    with pytest.raises(BadInput, match="of another month"):
        given.file(snapshot)
