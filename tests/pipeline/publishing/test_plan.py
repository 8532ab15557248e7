"""What publishing would write, from what a repository holds: no server."""

import pytest

from chronofacts.pipeline.publishing.contents import LocalFile
from chronofacts.pipeline.publishing.plan import RemoteFile, RemoteState, plan_publication
from chronofacts.schemas.errors import BadInput

TAG = "2025-01-01"


def local(content: str) -> LocalFile:
    return LocalFile(content.encode(), len(content), f"sha256 of {content}", f"git {content}")


def remote(content: str, large: bool = True) -> RemoteFile:
    return RemoteFile(len(content), f"git {content}", f"sha256 of {content}" if large else "")


FILES = {"edits/edits-test.parquet": local("edits"), "manifest.json": local("manifest"), "README.md": local("card")}
SAME = {
    "edits/edits-test.parquet": remote("edits"),
    "manifest.json": remote("manifest", large=False),
    "README.md": remote("card", large=False),
}


def plan(state: RemoteState, force_tag: bool = False):
    return plan_publication(FILES, "org/name", TAG, "title", state, force_tag)


def test_a_repository_that_is_not_there_gets_every_file_and_a_tag() -> None:
    planned = plan(RemoteState())
    assert (planned.create_repo, set(planned.add), planned.tag_step) == (True, set(FILES), "create")


def test_a_file_that_is_the_same_is_not_sent_again() -> None:
    planned = plan(RemoteState("c1", {**SAME, "README.md": remote("other", large=False)}))
    assert (set(planned.add), set(planned.replace)) == (set(), {"README.md"})
    assert set(planned.keep) == {"edits/edits-test.parquet", "manifest.json"}


def test_a_parquet_file_of_an_earlier_snapshot_goes_and_a_strangers_file_stays() -> None:
    there = {name: remote(name) for name in ("questions/edit-old.parquet", "figures/a.parquet", "notes.txt")}
    assert plan(RemoteState("c1", there)).delete == ("questions/edit-old.parquet",)


def test_what_stands_under_its_tag_is_not_published_again_even_behind_a_newer_head() -> None:
    state = RemoteState("c2", {"README.md": remote("newer")}, (TAG, "2025-02-01"), "c1", SAME)
    assert plan(state).is_no_op


def test_a_card_written_by_another_version_of_the_program_is_no_reason_to_publish() -> None:
    tagged = {**SAME, "README.md": remote("older card", large=False)}
    assert plan(RemoteState("c1", tagged, (TAG,), "c1", tagged)).is_no_op


def test_a_tag_on_another_snapshot_is_refused_and_moved_only_when_asked() -> None:
    other = {**SAME, "manifest.json": remote("other manifest", large=False)}
    state = RemoteState("c1", other, (TAG,), "c1", other)
    with pytest.raises(BadInput, match="--force-tag"):
        plan(state)
    assert plan(state, force_tag=True).tag_step == "move"


def test_a_tagged_commit_with_a_table_too_many_is_another_snapshot() -> None:
    more = {**SAME, "questions/edit-test.parquet": remote("more")}
    with pytest.raises(BadInput, match="another snapshot"):
        plan(RemoteState("c1", more, (TAG,), "c1", more))


def test_an_older_snapshot_never_becomes_the_head() -> None:
    with pytest.raises(BadInput, match="2025-02-01, which is newer"):
        plan(RemoteState("c1", {}, ("2024-12-01", "2025-02-01")), force_tag=True)


def test_a_commit_that_got_no_tag_gets_it_without_another_commit() -> None:
    planned = plan(RemoteState("c1", SAME))
    assert (planned.commits, planned.tag_step, planned.is_no_op) == (False, "create", False)


def test_moving_a_tag_to_where_it_stands_is_nothing_to_do() -> None:
    assert plan(RemoteState("c1", SAME, (TAG,), "c1", SAME), force_tag=True).is_no_op


def test_the_printed_plan_names_every_file_with_size_and_sum() -> None:
    told = "\n".join(plan(RemoteState("c1", {"questions/x.parquet": remote("x")})).lines())
    assert "add      README.md  4 bytes  sha256 sha256 of card" in told
    assert "delete   questions/x.parquet" in told
    assert "17 bytes in all" in told
