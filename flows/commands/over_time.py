"""The commands about a model and the passing of time: `stale` and `follow`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import (
    Out,
    parse_settings,
    require_editing,
    require_report,
    settings_option,
    split_names,
)
from chronofacts.flows.commands.completion import complete_editors, complete_model, complete_setting
from chronofacts.flows.commands.reach import require_model
from chronofacts.flows.output import mode, print_error, print_result, show_progress
from chronofacts.schemas.errors import BadInput

__all__ = ["follow", "stale"]

STORE = "data/snapshots"
"""As of `backfill` and `serve`."""


def stale(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a name on the Hub, a GGUF file or smollm2.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    snapshot: Annotated[
        Path | None,
        typer.Option(help="A snapshot folder. Default: the newest of the store.", show_default=False),
    ] = None,
    store: Annotated[str, typer.Option(help="Folder or address that holds the snapshots.")] = STORE,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to make for the page, the figures and the base answers.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Ask about so many facts, a seeded choice. Default: all.", show_default=False, min=1),
    ] = None,
    set_: Annotated[
        list[str] | None,
        settings_option("stale", "key=value: dtype=bfloat16, chat=no, scoring.prefix=dated.", complete_setting),
    ] = None,
) -> None:
    """Ask a model what changed: what does it believe that is no longer true, and since when?

    Example: chronofacts stale smollm2 --snapshot S --out how-stale
    """
    from chronofacts.flows.setting_keys import check_words
    from chronofacts.schemas.files import check_out
    from chronofacts.schemas.manifest import read_manifest

    words = parse_settings(set_ or [])
    if limit is not None:
        words["limit"] = str(limit)
    if out is not None:
        check_out(out)
        require_report()
    check_words(["none"], words)
    if model == "small-world":
        raise BadInput("the small world is made by an experiment; give its folder, RUN/model, or another model")
    folder = snapshot if snapshot is not None else _newest(store)
    manifest = read_manifest(folder)
    require_editing()
    show_progress(f"what does {model} know of {manifest.since} to {manifest.as_of} ({folder})? loading torch")
    require_model(model, words.get("revision"))
    from chronofacts.editing.report.stale import stale_as_json, stale_as_text, write_stale
    from chronofacts.editing.runs.settings import read_settings
    from chronofacts.editing.runs.stale_run import run_stale

    settings = read_settings(["none"], words)
    found = run_stale(folder, model, settings, logging.getLogger("chronofacts.stale").info)
    page = write_stale(found, out) if out is not None else None
    if mode.as_json and page is not None:
        print_error(f"page: {page}")
    print_result(stale_as_text(found) + (f"\n\npage: {page}" if page is not None else ""), stale_as_json(found))


def follow(
    snapshots: Annotated[
        list[str],
        typer.Argument(help="A store of snapshots (folder or address), or snapshot folders.", show_default=False),
    ],
    out: Out,
    model: Annotated[
        str,
        typer.Option(
            help="A folder, a name on the Hub, a GGUF file, smollm2, or small-world.", autocompletion=complete_model
        ),
    ] = "small-world",
    editor: Annotated[
        str, typer.Option(help="Editors by name, joined by commas.", autocompletion=complete_editors)
    ] = "lora,lora+replay",
    limit: Annotated[
        int | None,
        typer.Option(
            help="Take so many facts of each month, first those that change again. Default: all.",
            show_default=False,
            min=1,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        settings_option("follow", "key=value, for the run or for editors: lora.rank=8.", complete_setting),
    ] = None,
) -> None:
    """Teach one model month after month, and ask after each month what it still knows of all before.

    Example: chronofacts follow data/snapshots --model small-world --editor lora,lora+replay --out R
    """
    from chronofacts.flows.setting_keys import check_words
    from chronofacts.schemas.files import check_out

    words, named = parse_settings(set_ or []), split_names(editor)
    editors = [name for name in named if name != "none"]
    if limit is not None:
        words["limit"] = str(limit)
    if not editors:
        why = "the editor none teaches the model nothing" if named else "no editor was named"
        raise BadInput(f"{why}; take lora, lora+replay, memit or memory")
    check_out(out)
    check_words(editors, words)
    require_report()
    folders = [folder for name in snapshots for folder in _folders(name)]
    if len(folders) < 2:
        raise BadInput("a model is followed through at least two snapshots; name a store, or several snapshot folders")
    require_editing()
    show_progress(f"{', '.join(editors)} on {model} through {len(folders)} snapshots, to {out}; loading torch")
    require_model(model, words.get("revision"))
    from chronofacts.editing.report.follow import follow_as_json, follow_as_text, write_follow_page
    from chronofacts.editing.runs.follow import run_follow
    from chronofacts.editing.runs.settings import read_settings

    settings = read_settings(editors, words)
    found = run_follow(folders, model, settings, out, logging.getLogger("chronofacts.follow").info)
    page = write_follow_page(found)
    print_result(f"\n{follow_as_text(found)}\n\nrun: {out}   (page: {page})", {"run": out, **follow_as_json(found)})


def _folders(name: str) -> list[Path]:
    """The snapshot that a name is, or all of the store that it is. Raises BadInput for what is neither."""
    from chronofacts.flows.months import fetch_snapshot
    from chronofacts.pipeline.snapshots.store import open_store
    from chronofacts.schemas.manifest import read_manifest

    folder = Path(name)
    if "://" not in name:
        if (folder / "manifest.json").is_file():
            read_manifest(folder)
            return [folder]
        if not folder.is_dir():
            raise BadInput(f"{name!r} is neither a snapshot nor a store of snapshots; make one by refresh or backfill")
    store = open_store(name)
    days = store.days()
    if not days:
        raise BadInput(f"{name!r} is neither a snapshot nor a store of snapshots; make one by refresh or backfill")
    return [fetch_snapshot(store, day) for day in days]


def _newest(store: str) -> Path:
    """The newest snapshot of a store as a folder. Raises BadInput where there is none."""
    from chronofacts.flows.months import fetch_snapshot
    from chronofacts.pipeline.snapshots.store import open_store

    way = (
        "name a snapshot by --snapshot S or another --store, or make one: chronofacts refresh --source sample "
        "--since 2021-01-01 --as-of 2025-01-01 --out S"
    )
    if "://" not in store and not Path(store).is_dir():  # opening a store makes its folder
        raise BadInput(f"there is no store of snapshots {store!r}; {way}")
    opened = open_store(store)
    day = opened.latest()
    if day is None:
        raise BadInput(f"the store {store!r} has no snapshot; {way}")
    return fetch_snapshot(opened, day)
