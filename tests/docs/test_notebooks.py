"""The notebooks run from the first cell to the last, in an empty folder; pages are made from what the code says."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import chronofacts as cf
from chronofacts.editing.models.load import save_model
from tests.editing.models.families import tiny, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def refresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], cf.Snapshot]:
    """`chronofacts.refresh`, which makes the same snapshot once for all notebooks."""
    place, real = tmp_path_factory.mktemp("snapshots"), cf.refresh

    @cache
    def make(since: str, as_of: str) -> cf.Snapshot:
        return real(since, as_of, place / f"{since}-{as_of}")

    return lambda since, as_of, out: cf.Snapshot(Path(shutil.copytree(make(since, as_of).path, out)))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_from_the_first_cell_to_the_last(
    notebook: Path, refresh: Callable[[str, str, str], cf.Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cf, "refresh", refresh)
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "tiny")
    names: dict[str, Any] = {}
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        assert not cell["outputs"], "outputs go stale; the page shows the code"
        exec("".join(cell["source"]).replace('"smollm2"', '"tiny"'), names)
    if notebook.stem == "compare_editors":
        assert (
            set(names["summary"]["editor"]) == {"none", "lora", "memory"} and (tmp_path / "page/index.html").is_file()
        )
    if notebook.stem == "edit_a_fact":
        assert names["after"].summary()["n"].min() > 0 and (tmp_path / "acme").is_dir()
    if notebook.stem == "snapshot":
        assert len(names["edits"]) > 50 and {"multi_hop", "locality"} <= set(names["questions"]["kind"])


@pytest.fixture(scope="module")
def pages() -> Any:
    """`docs/generated_pages.py`, which is in no package."""
    spec = importlib.util.spec_from_file_location("generated_pages", ROOT / "docs" / "generated_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_name_every_command_setting_and_column(pages: Any) -> None:
    from chronofacts.flows.cli import COMMANDS
    from chronofacts.schemas.tables import SNAPSHOT_TABLES

    commands, settings, data = pages.commands_page(), pages.settings_page(), pages.data_page()
    assert all(f"\n## {name}\n" in commands for name in COMMANDS) and "`--since`" in commands
    assert "`lora.rank`" in settings and "`limit`" in settings and "\n## memit\n" in settings
    assert all(f"`{column}`" in data for schema in SNAPSHOT_TABLES.values() for column in schema.names)
    for page in (commands, settings, data):
        rows = [line.replace("\\|", "") for line in page.splitlines() if line.startswith("|")]
        assert {row.count("|") for row in rows} <= {4, 5}


def test_every_page_of_the_site_is_there(pages: Any) -> None:
    named = [
        line.rpartition(": ")[2] for line in (ROOT / "mkdocs.yml").read_text().splitlines() if line.endswith(".md")
    ]
    made = {*pages.PAGES.values(), "commands.md", "settings.md", "data.md"}
    made |= {f"notebooks/{notebook.stem}.md" for notebook in NOTEBOOKS}
    assert set(named) == made | {"python.md", "add_an_editor.md", "deployments.md", "releasing.md", "model_families.md"}
    shown = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for line in shown.splitlines():
        if line.startswith("::: "):
            module, _, name = line.removeprefix("::: ").rpartition(".")
            assert hasattr(importlib.import_module(module), name), line
