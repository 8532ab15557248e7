"""The command line: names, exit codes, and errors that are one line with the mend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chronofacts.flows.cli import app
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.sources.entity_server import entity, serving

runner = CliRunner()


def run(*arguments: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def refresh(out: Path, **options: str) -> tuple[int, str, str]:
    given = {"since": "2021-01-01", "as_of": "2025-01-01", "source": "sample", **options}
    return run(
        "refresh",
        "--out",
        out,
        *(part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)),
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"since": "2025-01-01", "as_of": "2021-01-01"}, ["--since 2025-01-01", "--as-of 2021-01-01"]),
        ({"since": "01.02.2021"}, ["--since", "YYYY-MM-DD"]),
        ({"as_of": "2024-02-30"}, ["--as-of", "YYYY-MM-DD"]),
        ({"relations": "P6,P99999"}, ["P99999"]),
        ({"relations": "head_of_goverment"}, ["head_of_goverment", "head_of_government"]),
        ({"as_of": "2026-01-01"}, ["--as-of 2026-01-01", "2025-06-30"]),
        ({"source": "sampel"}, ["--source", "sampel"]),
    ],
)
def test_wrong_use_of_refresh_is_one_line_and_leaves_nothing(
    tmp_path: Path, options: dict[str, str], words: list[str]
) -> None:
    code, _, error = refresh(tmp_path / "out", **options)
    lines = [line for line in error.splitlines() if line.startswith("chronofacts")]
    assert code == 2
    assert len(lines) == 1 and all(word in lines[0] for word in words), error
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    code, _, error = refresh(tmp_path / "out")
    assert code == 2 and "is not empty" in error
    assert (tmp_path / "out" / "precious").read_text() == "x"


def test_an_output_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code, _, error = refresh(tmp_path / "file" / "out")
    assert code == 2 and "cannot be written" in error


def test_a_sound_snapshot_verifies_and_is_counted(sample_snapshot: Path) -> None:
    code, out, _ = run("verify", sample_snapshot)
    assert code == 0 and "is sound" in out
    code, out, _ = run("inspect", sample_snapshot, "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"tables", "edits", "questions", "rejections"}
    assert sum(found["edits"]["by_relation"].values()) == found["tables"]["edits"] >= 120
    assert found["questions"]["by_kind"]["multi_hop"] >= 100
    assert sum(found["questions"]["by_hops"].values()) == found["tables"]["questions"]
    assert sum(found["rejections"]["by_reason"].values()) == found["tables"]["rejections"]


def test_inspect_shows_examples_and_reasons(sample_snapshot: Path) -> None:
    code, out, _ = run("inspect", sample_snapshot)
    assert code == 0 and "multi_hop" in out and "left out because" in out


def test_inspect_why_audits_one_entity(sample_snapshot: Path) -> None:
    code, out, _ = run("inspect", sample_snapshot, "--why", "Q145")
    assert code == 0 and "timelines about Q145" in out and "Keir Starmer" in out
    assert run("inspect", sample_snapshot, "--why", "nobody")[0] == 2


def test_inspect_why_live_asks_wikidata_itself(sample_snapshot: Path) -> None:
    with serving() as server:
        server.entities["Q145"] = entity("Q145", "United Kingdom", P6="Q5")
        asked = ("inspect", sample_snapshot, "--why", "Q145", "--live", "--api", server.url)
        code, out, _ = run(*asked)
        assert code == 0 and "Wikidata now about Q145" in out and "only in Wikidata" in out
        told = json.loads(run(*asked, "--json")[1])
    assert told["findings"] and {line["verdict"] for line in told["now"]} == {"gone", "other"}


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--live"], "--why"), (["--why", "Q145", "--live"], "--user-agent"),
     (["--why", "Q145", "--live", "--api", "here"], "--api")],
)  # fmt: skip
def test_wrong_use_of_live_is_one_line(sample_snapshot: Path, options: list[str], word: str) -> None:
    code, _, error = run("inspect", sample_snapshot, *options)
    assert code == 2 and word in error


def test_a_damaged_file_fails_verification_by_name(sample_snapshot: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(sample_snapshot, tmp_path / "damaged")
    path = damaged / "edits" / "edits-test.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    code, _, error = run("verify", damaged)
    assert code == 1 and "edits-test.parquet" in error


def test_a_wrong_login_is_one_line_without_the_token(
    hub: LocalHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrongButLong")
    code, out, error = run("publish", snapshot, "--repo", "org/name", "--endpoint", hub.url, "--quiet", "--yes")
    assert code == 2 and error.count("\n") == 1 and "hf auth login" in error
    assert "wrongButLong" not in out + error


def test_the_sample_is_published_only_where_that_is_said(sample_snapshot: Path) -> None:
    code, _, error = run("publish", sample_snapshot, "--repo", "org/name", "--quiet")
    assert code == 2 and error.count("\n") == 1 and "not read from Wikidata" in error and "--yes" in error


def test_a_plan_to_publish_the_sample_says_what_the_real_run_needs(hub: LocalHub, snapshot: Path) -> None:
    words = ("publish", snapshot, "--repo", "org/name", "--endpoint", hub.url, "--dry-run", "--quiet")
    code, out, _ = run(*words)
    assert code == 0 and "to send it, add --yes" in out.splitlines()[-1]
    code, out, _ = run(*words, "--yes")
    assert code == 0 and "--yes" not in out


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_what_is_no_snapshot_is_wrong_use(tmp_path: Path, command: str) -> None:
    code, _, error = run(command, tmp_path)
    assert code == 2 and "is not a snapshot" in error


def test_a_snapshot_does_not_differ_from_itself(sample_snapshot: Path) -> None:
    code, out, _ = run("diff", sample_snapshot, sample_snapshot, "--json")
    assert code == 0 and set(json.loads(out)["counts"].values()) == {0}


def test_every_command_has_help_with_an_example() -> None:
    for command in [registered.name for registered in app.registered_commands]:
        code, out, _ = run(command, "--help")
        assert code == 0 and f"chronofacts {command}" in out, command
