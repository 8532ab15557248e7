"""Where an option comes from: command line, environment, file, default; and what is printed where, for all commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chronofacts.flows.cli import COMMANDS, app
from tests.pipeline.publishing.small_snapshot import make_snapshot

runner = CliRunner()
ROOT = Path(__file__).resolve().parents[2]


def why(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str, env: str = "", file: str = "") -> str:
    """What `inspect`'s option --why is in the end: the snapshot does not exist, so that its error names it."""
    monkeypatch.chdir(folder)
    (folder / "chronofacts.toml").write_text(f'[inspect]\nwhy = "{file}"\n' if file else "")
    told = []
    monkeypatch.setattr(
        "chronofacts.pipeline.snapshots.entity_report.report_entity", lambda snapshot, qid: told.append(qid) or []
    )
    result = runner.invoke(app, ["inspect", "S", *words], env={"CHRONOFACTS_INSPECT_WHY": env} if env else {})
    assert result.exit_code == (0 if told else 2), result.output
    return told[0] if told else ""


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why(tmp_path, monkeypatch, "--why", "Q1", env="Q2", file="Q3") == "Q1"
    assert why(tmp_path, monkeypatch, env="Q2", file="Q3") == "Q2"
    assert why(tmp_path, monkeypatch, file="Q3") == "Q3"
    assert why(tmp_path, monkeypatch) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[inspct]\n", ["inspct", "did you mean inspect"]),
        ("[publish]\nrepoo = 'x'\n", ["repoo", "did you mean repo"]),
        ("[publish]\nrepo = {a = 1}\n", ["repo", "must be a text"]),
        ("[publish\n", ["is no TOML"]),
        ("repo = 'x'\n", ["repo", "is no command"]),
    ],
)
def test_a_wrong_file_is_one_line_with_the_mend(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "c.toml").write_text(text)
    result = runner.invoke(app, ["--config", str(tmp_path / "c.toml"), "verify", "S"])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr


def test_a_file_that_was_found_is_named_and_may_begin_with_a_mark_of_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "chronofacts.toml"
    file.write_text("[inspct]\n", encoding="utf-8-sig")
    assert "did you mean inspect" in runner.invoke(app, ["verify", "S"]).stderr
    file.write_text("[inspect\n", encoding="utf-8-sig")
    said = runner.invoke(app, ["verify", "S"]).stderr
    assert f"{file} is no TOML" in said and "--config" not in said


def test_a_file_that_is_named_and_missing_is_told(tmp_path: Path) -> None:
    result = runner.invoke(app, ["--config", str(tmp_path / "none.toml"), "verify", "S"])
    assert result.exit_code == 2 and "none.toml" in result.stderr


def test_required_options_and_lists_may_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chronofacts.toml").write_text(
        '[refresh]\nsince = "2021-01-01"\nas-of = "2020-01-01"\nout = "x"\n'
        '[experiment]\nset = ["lora.rank=x"]\nout = "y"\neditor = "lora"\n'
    )
    result = runner.invoke(app, ["refresh"])
    assert result.exit_code == 2 and "--since 2021-01-01" in result.stderr
    make_snapshot(tmp_path / "S")
    result = runner.invoke(app, ["experiment", "S"])
    assert result.exit_code == 2 and "rank = 'x'" in result.stderr.replace("lora.rank", "rank"), result.stderr


def test_every_command_takes_quiet_and_json() -> None:
    for command in [registered.name for registered in app.registered_commands]:
        shown = runner.invoke(app, [command, "--help"]).stdout
        assert "--quiet" in shown and "--json" in shown, command


def test_json_is_all_of_standard_output_and_quiet_silences_the_rest(tmp_path: Path) -> None:
    words = ["refresh", "--since", "2021-01-01", "--as-of", "2025-01-01", "--relations", "capital", "--json"]
    loud = run(tmp_path, *words, "--out", "loud")
    assert json.loads(loud.stdout) == {"snapshot": "loud"} and " s  " in loud.stderr
    quiet = runner.invoke(app, [*words, "--out", str(tmp_path / "quiet"), "--quiet"])
    assert json.loads(quiet.stdout) == {"snapshot": str(tmp_path / "quiet")} and quiet.stderr == ""


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CHRONOFACTS_"))}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", *words],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder / "prefect"), **environment},
    )  # fmt: skip


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    for typed, place, wanted in (("chronofacts exp", "1", "export"), ("chronofacts publish --dr", "2", "--dry-run")):
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'chronofacts'; "
                                   "from chronofacts.flows.cli import main; main()"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "_CHRONOFACTS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": place},
        )  # fmt: skip
        assert wanted in done.stdout.split(), done.stderr


def test_a_variable_that_nothing_reads_is_told_and_a_version_in_the_environment_breaks_nothing(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "S")
    given = {"CHRONOFACTS_VERSION": "1.0", "CHRONOFACTS_REFRESH_SORCE": "wdqs"}
    told = runner.invoke(app, ["verify", str(snapshot)], env=given)
    assert told.exit_code == 0, told.stderr
    (line,) = [line for line in told.stderr.splitlines() if "SORCE" in line]
    assert "did you mean CHRONOFACTS_REFRESH_SOURCE?" in line and "VERSION" not in told.stderr


def test_every_option_is_named_in_the_environment_as_on_the_command_line(tmp_path: Path) -> None:
    for command in COMMANDS:
        shown = " ".join(runner.invoke(app, [command, "--help"]).stdout.split())
        names = set(re.findall(r"env var: (\w+)", shown))
        assert {"CHRONOFACTS_JSON", "CHRONOFACTS_QUIET"} <= names
        for name in names - {"CHRONOFACTS_USER_AGENT", "CHRONOFACTS_WEBHOOK"}:
            option = name.removeprefix("CHRONOFACTS_").removeprefix(f"{command.upper()}_").lower().replace("_", "-")
            assert f"--{option} " in shown, name
    snapshot = make_snapshot(tmp_path / "S")
    told = runner.invoke(app, ["verify", str(snapshot)], env={"CHRONOFACTS_JSON": "1"})
    assert json.loads(told.stdout)["sound"]
    words = ["experiment", str(snapshot), "--editor", "lora", "--out", str(tmp_path / "R")]
    told = runner.invoke(app, words, env={"CHRONOFACTS_EXPERIMENT_SET": "lora.rank=x"})
    assert told.exit_code == 2 and "rank" in told.stderr
