"""README and CONTRIBUTING: every command in them is one, and those that need nothing from outside are run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chronofacts.flows.cli import app
from chronofacts.flows.configuration import read_configuration

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/deployments.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
RUN = ("verify", "inspect", "export")  # of the sample, in seconds; the demo and the flows have tests of their own
runner = CliRunner()


def blocks(kind: str) -> list[str]:
    return [text for page in PAGES for found, text in BLOCK.findall((ROOT / page).read_text()) if found == kind]


def shell_lines() -> list[str]:
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.partition("    #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def of_ours() -> list[list[str]]:
    """Words after `chronofacts` of every command that the pages show."""
    words = [shlex.split(line) for line in shell_lines()]
    starts = [found for found in words if found[0] == "chronofacts"]
    return [found[1:] for found in starts] + [
        found[found.index("chronofacts.flows.cli") + 1 :] for found in words if "chronofacts.flows.cli" in found
    ]


@pytest.mark.parametrize("words", of_ours(), ids=" ".join)
def test_a_command_that_is_shown_takes_its_options(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    assert set(context.params) >= {"quiet", "as_json"}


def test_every_command_is_shown() -> None:
    assert {words[0] for words in of_ours()} | {"demo"} == set(COMMANDS)


def test_what_is_shown_about_the_sample_runs(sample_snapshot: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S").symlink_to(sample_snapshot)
    shown = [words for words in of_ours() if words[0] in RUN and "S" in words]
    assert len(shown) >= 5
    for words in shown:
        result = runner.invoke(app, words)
        assert result.exit_code == 0, (words, result.output)


def test_every_make_target_that_is_shown_is_one() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = (line.partition("#")[0] for line in shell_lines())
    shown = {word for line in lines if line.startswith("make ") for word in line.split()[1:]}
    assert shown and shown <= targets


def test_every_file_and_picture_that_is_shown_is_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), target
        for path in re.findall(r"`((?:docs|tests|benchmarks|pipeline|data)/[\w./]+\.\w+)`", (ROOT / page).read_text()):
            assert (ROOT / path).exists(), path


def test_every_file_of_the_two_walks_defines_what_is_said_to_be_in_it() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Two walks")[2].partition("\n## ")[0]
    lines = "".join(text for _, text in BLOCK.findall(section)).splitlines()
    assert len(lines) > 40
    for file, names in (line.split(": ") for line in lines):
        module = (ROOT / f"{file}.py").read_text()
        for name in names.split(", "):
            assert re.search(rf"^(class |def |)({name})\b", module, re.MULTILINE), (file, name)


def test_the_settings_that_are_shown_are_options(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    assert tomllib.loads(text)
    (tmp_path / "chronofacts.toml").write_text(text)
    from chronofacts.flows.cli import options_of

    read = read_configuration(None, {name: options_of(command) for name, command in COMMANDS.items()}, tmp_path)
    assert read["refresh"]["source"] == "qlever"
