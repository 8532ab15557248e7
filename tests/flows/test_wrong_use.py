"""Ten wrong uses of every command: each is one line that names what is wrong, and an exit code of 2."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chronofacts.flows.cli import COMMANDS, app
from tests.pipeline.publishing.small_snapshot import make_snapshot

runner = CliRunner()
PROGRESS = re.compile(r" *\d+\.\d s  ")
REFRESH = "--since 2021-01-01 --as-of 2025-01-01 --out new"
BENCHMARK = "bad.json --format zsre --out new"
EVERYWHERE = [("--nope", "--nope"), ("--json=x", "--json"), ("--quiet=maybe", "--quiet")]
"""Of every command; the others are its own."""
WRONG = {
    "demo": [
        ("--out", "--out"), ("--out full", "not empty"), ("--out file", "is a file"), ("x", "(x)"),
        ("--quik", "--quick"), ("--out file/x", "cannot be written"), ("--quick=maybe", "--quick"),
    ],
    "refresh": [
        ("", "--since"), ("--since 2021-01-01", "--as-of"), ("--since x --as-of 2025-01-01 --out new", "YYYY-MM-DD"),
        ("--since 2025-01-01 --as-of 2021-01-01 --out new", "is not before"),
        ("--since model:lama --as-of 2025-01-01 --out new", "did you mean 'llama-2'"),
        ("--since 2021-01-01 --as-of 2025-01-01 --out full", "not empty"), (f"{REFRESH} --source smaple", "sample"),
        (f"{REFRESH} --relations P999", "P999"), (f"{REFRESH} --language xx", "en, nl"),
        (f"{REFRESH} --as-of 2035-01-01", "2025-06-30"), (f"{REFRESH} --hops-per-edit -1", "--hops-per-edit"),
        (f"{REFRESH} --seed x", "--seed"), (f"{REFRESH} --source wdqs", "--user-agent"),
        (f"{REFRESH} --update empty", "not a snapshot"), (f"{REFRESH} --task-runner ray", "threads"),
        (f"{REFRESH} --scope all", "whole"), (f"{REFRESH} --dump-day 2021", "--dump-day"),
        (f"{REFRESH} --quarantine-days -3", "--quarantine-days"), ("--sice 2021-01-01", "--since"),
    ],
    "backfill": [
        ("", "--months"), ("--months 2024", "2024-01..2024-12"), ("--months 2024-13", "2024-01..2024-12"),
        ("--months 2024-05..2024-01", "ends before"), ("--months 2024-01 --source x", "sample"),
        ("--months 2024-01", "--user-agent"), ("--months 2024-01 --source sample --store file", "'file'"),
        ("--months 2024-01 --source sample --relations x", "relation 'x'"),
        ("--months 2024-01 --source sample --repo x", "ORG/NAME"), ("--months 2030-01 --source sample", "2025-06-30"),
    ],
    "inspect": [
        ("", "snapshot"), ("nothing", "not a snapshot"), ("empty", "not a snapshot"), ("file", "not a snapshot"),
        ("S --why Q", "QID"), ("S --why Q999999999", "names no"), ("S --live", "--why"), ("S S", "(S)"),
        ("S --why", "--why"), ("S --why=", "not a QID"), ("S --why= --live", "not a QID"),
    ],
    "verify": [
        ("", "snapshot"), ("nothing", "not a snapshot"), ("empty", "not a snapshot"), ("file", "not a snapshot"),
        ("S S", "(S)"), ("full", "not a snapshot"), ("S --why Q1", "--why"),
    ],
    "diff": [
        ("", "old"), ("S", "new"), ("S nothing", "nothing"), ("empty S", "empty"), ("S S S", "(S)"), ("S file", "file"),
        ("full full", "full"),
    ],
    "export": [
        ("", "snapshot"), ("S", "--out"), ("S --format x --out new", "easyedit"), ("S --format easyedit", "--out"),
        ("empty --format easyedit --out new", "not a snapshot"), ("S --format easyedit --out full", "not empty"),
        ("S --format easyedits --out new", "did you mean easyedit"), ("S --format zsre --out new", "imported"),
        ("S --format", "--format"), ("S --format mquake --out file", "is a file"),
    ],
    "import": [
        ("", "file"), ("bad.json", "--out"), ("bad.json --format mquake --out new", "bad.json"),
        ("nothing --format mquake --out new", "nothing"), ("bad.json --format mquak --out new", "did you mean mquake"),
        ("bad.json --format lm-eval --out new", "exported"), ("bad.json --format zsre --out full", "not empty"),
        ("empty --format zsre --out new", "empty"), ("bad.csv --format facts --out new", "--since"),
        (f"{BENCHMARK} --since x", "YYYY-MM-DD"), (f"{BENCHMARK} --since 2025-01-01 --as-of 2024-01-01", "not before"),
    ],
    "publish": [
        ("", "snapshot"), ("S", "--repo"), ("S --repo x --yes", "ORG/NAME"), ("S --repo a/b/c --yes", "ORG/NAME"),
        ("empty --repo a/b", "not a snapshot"), ("S --repo a/b", "--yes"), ("S --repo a/b --private=x", "--private"),
        ("S --repo a/b --dry-run --endpoint nope", "not an address"),
        ("S --repo a/b --yes --base-model x", "--adapter"),
        ("S --repo a/b --yes --base-answers empty", "base_answers.parquet"),
    ],
    "edit": [
        ("", "--model"), ("--model x", "--facts"), ("--model x --facts nothing.csv", "nothing.csv"),
        ("--model x --facts bad.csv", "bad.csv"), ("--model x --facts no-rows.csv", "no-rows.csv"),
        ("--model small-world --facts good.csv", "small world"),
        ("--model x --facts good.csv --editor lorra", "did you mean 'lora'"),
        ("--model x --facts good.csv --set rank", "key=value"), ("--model x --facts good.csv --set rank=many", "rank"),
        ("--model x --facts good.csv --out full", "not empty"),
        ("--model x --facts good.csv --editor lora,rome", "lora,rome"),
    ],
    "experiment": [
        ("", "snapshot"), ("S", "--out"), ("nothing --out new", "not a snapshot"), ("S --out full", "not empty"),
        ("S --out new --editor lorra", "did you mean 'lora'"), ("S --out new --set lora.rnak=8", "rank"),
        ("S --out new --set rank", "key=value"), ("S --out new --limit x", "--limit"),
        ("S --out new --limit 0", "--limit"),
        ("S --out new --editor none+replay", "none"), ("S --out new --only old", "only = 'old'"),
        ("S --out new --set lora.targets=heads", "attention"),
    ],
    "trace": [
        ("", "snapshot"), ("S", "--model"), ("S --model x", "--out"), ("empty --model x --out new", "not a snapshot"),
        ("S --model x --out full", "not empty"), ("S --model x --out file", "is a file"),
        ("S --model x --out new --set facts", "key=value"), ("S --model x --out new --set fcts=1", "'facts'"),
        ("S --model x --out new --set facts=x", "facts = 'x'"),
        ("S --model x --out new --set chunk=2", "chunk means nothing to a trace"),
    ],
    "report": [
        ("", "runs"), ("nothing", "nothing"), ("empty", "empty"), ("file", "file"), ("full", "full"), ("S", "S"),
        ("empty --out full", "empty"), ("--out new", "runs"),
    ],
    "stale": [
        ("", "model"), ("x", "data/snapshots"), ("x --store file", "'file'"), ("x --store empty", "no snapshot"),
        ("x --snapshot nothing", "not a snapshot"), ("x --snapshot S --out full", "not empty"),
        ("small-world --snapshot S", "RUN/model"), ("x --snapshot S --limit 0", "--limit"),
        ("x --snapshot S --set lora.rank=8", "'lora'"), ("x --snapshot S --set dtyp=x", "did you mean 'dtype'"),
    ],
    "follow": [
        ("", "snapshots"), ("S S", "--out"), ("S --out new", "at least two"), ("nothing S --out new", "nothing"),
        ("empty S --out new", "empty"), ("S S --out full", "not empty"), ("S S --out new --editor lorra", "'lora'"),
        ("S S --out new --editor none", "none teaches"), ("S S --out new --set lora.rnak=8", "rank"),
        ("S S --out new --limit 0", "--limit"),
    ],
    "serve": [
        ("--port 0", "--port"), ("--port x", "--port"), ("--port 99999", "--port"), ("--set repo", "key=value"),
        ("--set sorce=x", "sorce"), ("--set keep_last=many", "keep_last"), ("x", "(x)"), ("--cron", "--cron"),
        ("--set as_of=2024-13-31", "as_of"), ("--cron daily", "--cron"),
    ],
    "editors": [
        ("x", "(x)"), ("-x", "-x"), ("none lora", "none"), ("--out x", "--out"), ("--editor lora", "--editor"),
        ("--set a=b", "--set"), ("--live", "--live"),
    ],
    "settings": [
        ("lorra", "did you mean 'lora'"), ("lora rome", "(rome)"), ("lora.rank", "lora"), ("-x", "-x"),
        ("--set a=b", "--set"), ("wrld", "did you mean 'world'"), ("--editor lora", "--editor"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("wrong")
    make_snapshot(made / "S")
    for name in ("empty", "full"):
        (made / name).mkdir()
    for name, text in (
        ("full/x", "x"), ("file", "x"), ("bad.json", "[[["), ("bad.csv", "a,b\n1\n"), ("no-rows.csv", ""),
        ("good.csv", "prompt,target\nWho?,Me\n"),
    ):  # fmt: skip
        (made / name).write_text(text)
    yield made
    shutil.rmtree(made)


def test_ten_wrong_uses_of_every_command_are_listed() -> None:
    assert list(WRONG) == list(COMMANDS)
    assert all(len(uses) + len(EVERYWHERE) >= 10 for uses in WRONG.values())


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [(command, *use) for command, uses in WRONG.items() for use in (*uses, *EVERYWHERE)],
    ids=lambda value: value or "nothing",
)
def test_it_is_one_line_that_names_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str, told: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_TOKEN", "hf_ofNobody")
    for name in ("CHRONOFACTS_USER_AGENT", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    result = runner.invoke(app, [command, *words.split()])
    lines = [line for line in result.stderr.splitlines() if line.strip() and not PROGRESS.match(line)]
    assert result.exit_code == 2, result.stderr
    assert len(lines) == 1 and lines[0].startswith("chronofacts") and told in lines[0], result.stderr
    assert result.stdout == "" and not (folder / "new").exists()
