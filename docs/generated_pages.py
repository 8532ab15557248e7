"""Pages of the site that are made from the code when the site is built: none can differ from what it describes.

`mkdocs.yml` names this file as a hook. README, CONTRIBUTING and CHANGELOG become pages as they are, the commands and
their options come from the command line's own help, settings and tables from their definitions, and each notebook
becomes a page. Leaves out: `python.md`, which mkdocstrings fills.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chronofacts.flows.cli import app
from chronofacts.flows.setting_keys import EDITORS, OWNERS, describe_editor, key_of, settings_of
from chronofacts.schemas.tables import SNAPSHOT_TABLES, describe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
BARE_LINK = re.compile(r"\]\((?!https?://|#)(?:docs/)?([^)]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    from mkdocs.structure.files import File

    notebooks = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
    pages = {
        **{page: _as_page(ROOT / source) for source, page in PAGES.items()},
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "data.md": data_page(),
        **{f"notebooks/{file.stem}.md": notebook_page(file) for file in notebooks},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def _as_page(source: Path) -> str:
    """Links to our own pages lead to the pages, pictures to the pictures."""
    return BARE_LINK.sub(lambda link: f"]({PAGES.get(link[1], link[1])})", source.read_text(encoding="utf-8"))


def commands_page() -> str:
    """Every command with its options, as `--help` has them."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", "", *_paragraphs(group.help or ""), ""]
    for name, command in group.commands.items():
        parts += [f"## {name}", "", *_paragraphs(command.help or ""), ""]
        rows = [_option(one) for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
        parts += _table(("option", "meaning", "default"), rows)
    return "\n".join(parts)


def _paragraphs(text: str) -> Iterable[str]:
    """Examples become code."""
    for paragraph in text.strip().split("\n\n"):
        line = " ".join(paragraph.split())
        yield f"```sh\n{line.removeprefix('Example: ')}\n```" if line.startswith("Example: ") else line
        yield ""


def _option(parameter: Any) -> tuple[str, str, str]:
    names = (
        ", ".join(f"`{word}`" for word in parameter.opts)
        if parameter.param_type_name == "option"
        else (f"`{parameter.name.upper()}`")
    )
    default = "" if parameter.default in (None, "", False) or callable(parameter.default) else f"`{parameter.default}`"
    return names, getattr(parameter, "help", None) or "", default


def settings_page() -> str:
    """Every key of `--set`, as `chronofacts settings` lists them."""
    parts = [
        "# Settings",
        "",
        "`chronofacts experiment --set KEY=VALUE`, once for each. `chronofacts settings NAME` prints these tables.",
        "",
    ]
    for owner in (*OWNERS, *EDITORS):
        parts += [f"## {owner}", "", f"{describe_editor(owner)}." if owner in EDITORS else "", ""]
        rows = [(f"`{key_of(owner, one)}`", one.kind, f"`{one.default}`", one.meaning) for one in settings_of(owner)]
        parts += _table(("key", "type", "default", "meaning"), rows) if rows else ["It has none.", ""]
    return "\n".join(parts)


def data_page() -> str:
    """Every table of a snapshot with its columns."""
    parts = [
        "# Data",
        "",
        "A snapshot is a folder of Parquet, one folder a table. Dates are days; an interval has both its ends.",
        "",
    ]
    for name, schema in SNAPSHOT_TABLES.items():
        parts += [
            f"## {name}",
            "",
            *_table(("column", "type", "meaning"), [(f"`{c}`", f"`{t}`", m) for c, t, m in describe(schema)]),
        ]
    return "\n".join(parts)


def notebook_page(file: Path) -> str:
    """The cells of a notebook, text as it is and code as code; the tests run them."""
    link = f"*This page is the notebook `docs/notebooks/{file.name}`.*"
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join([*parts, link, ""])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines] + [""]


def _cell(text: str) -> str:
    """In one line, and no mark that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
