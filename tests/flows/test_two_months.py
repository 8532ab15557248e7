"""A month, a changed world, a second month: published, told and linked; killed and run again, the same in the end.

It is killed at two chosen moments here, and at ten random ones in benchmarks/two_months.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chronofacts.schemas.manifest import read_manifest
from tests.flows.forks import MONTHS, Forks
from tests.flows.two_months import FIRST, REPO, SECOND, Installation, Month, make_model
from tests.pipeline.publishing.local_hub import LocalHub, local_hub
from tests.pipeline.publishing.sending import run_datasets
from tests.pipeline.sources.sample_world import sample_as_of
from tests.pipeline.sources.sparql.endpoint_server import serving


@dataclass
class Done:
    """The installation after its second month, and what the months told."""

    installation: Installation
    hub: LocalHub
    first: Month
    second: Month
    after_first: Path
    hub_after_first: Any


@pytest.fixture(scope="module")
def begun(prefect_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Month]]:
    folder = tmp_path_factory.mktemp("two-months")
    model = make_model(folder / "model")
    with local_hub() as hub, serving(sample_as_of(FIRST)) as endpoint, Forks(MONTHS) as forks:
        installation = Installation(folder / "whole", hub, endpoint, prefect_address, model=model, run=forks.run)
        first = installation.month(FIRST)
        assert first.code == 0, first.errors
        yield installation, first


@pytest.fixture(scope="module")
def done(begun: tuple[Installation, Month]) -> Done:
    installation, first = begun
    kept, state = installation.copy(installation.folder.with_name("first")).folder, installation.hub_state()
    installation.endpoint.queries.clear()
    second = installation.month(SECOND)
    assert second.code == 0, second.errors
    return Done(installation, installation.hub, first, second, kept, state)


def test_the_first_month_is_published_under_its_day(begun: tuple[Installation, Month]) -> None:
    installation, first = begun
    assert read_manifest(Path(first.told["snapshot"])).as_of == FIRST
    assert str(FIRST) in installation.state()["tags"]


def test_the_second_month_is_read_as_an_update_of_the_first(done: Done) -> None:
    details = [query for query in done.installation.endpoint.queries if "?amount" in query]
    assert 0 < len(details) < 12
    assert read_manifest(Path(done.second.told["snapshot"])).as_of == SECOND


def test_both_months_are_one_commit_each_and_load_by_their_tags(done: Done, tmp_path: Path) -> None:
    assert done.installation.state()["tags"] == [str(FIRST), str(SECOND)]
    assert len(done.installation.state()["commits"]) == 3  # the repository's own, and one a month
    code = (
        f"for tag in {[str(FIRST), str(SECOND)]!r}:\n"
        "    edits = load_dataset(REPO, 'edits', revision=tag, split='train+test')\n"
        "    print(sorted(row['target_new'] for row in edits if row['subject'] in ('Q30', 'Q117')))"
    )
    before, after = run_datasets(done.hub, code, tmp_path / "home")
    assert before == "['Joe Biden']"
    # In January 2025 Ghana got a new president, and the United States the one that it had on the first day.
    assert "Mahama" in after and "Biden" not in after and "Trump" not in after


def test_the_card_tells_the_changes_of_the_month_and_links_the_report(done: Done) -> None:
    card = done.hub.content(REPO, str(SECOND), "README.md").decode()
    assert f"## Changes since {FIRST}" in card
    changes = card.partition("## Changes since")[2]
    assert changes.split("\n")[2] == "4 edits are new, 1 are gone, 0 have another value or day."
    assert "| Who is the head of state of Ghana? | Nana Akufo-Addo | John Mahama | 2025-01-07 |" in changes
    names = [name for name in done.hub.repos[REPO].files("main") if name.startswith(f"reports/{SECOND}")]
    assert len(names) == 1
    assert f"{done.hub.url}/datasets/{REPO}/resolve/main/{names[0]}" in card
    assert done.hub.content(REPO, "main", names[0]).startswith(b"<!doctype html")


def test_a_third_run_changes_nothing_and_asks_the_hub_less_than_ten_times(done: Done) -> None:
    before = done.installation.state()
    done.hub.log.clear()
    assert done.installation.month(SECOND).code == 0
    assert done.installation.state() == before
    assert 0 < len(done.hub.log) < 10


@pytest.mark.parametrize("moment", ["reads", "commits"])
def test_a_second_month_that_is_killed_and_run_again_ends_the_same(done: Done, moment: str, tmp_path: Path) -> None:
    wanted, finished = done.installation.state(), done.hub.repos
    again = done.installation.copy(tmp_path / "again", of=done.after_first)
    again.restore_hub(done.hub_after_first)

    def arm(kill: Callable[[], None]) -> None:
        third = len(again.endpoint.queries) + 2
        if moment == "reads":
            again.endpoint.fault = lambda number, query: kill() if number == third else None
        else:
            done.hub.fault("POST", "/commit/", run=kill)

    try:
        assert again.month(SECOND, arm=arm).code == -signal.SIGKILL
        rerun = again.month(SECOND)
        assert rerun.code == 0, rerun.errors
        assert again.state() == wanted
    finally:
        done.hub.repos = finished
