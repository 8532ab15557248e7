"""The commands that list what there is: `editors`, and `settings`, the keys of `--set`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from chronofacts.flows.commands.completion import complete_owner
from chronofacts.flows.output import mode, print_error, print_result
from chronofacts.schemas.errors import BadInput

__all__ = ["editors", "settings"]


def editors() -> None:
    """List the editors: the ways to bring a model up to date, what they change and need, and what they cost.

    Example: chronofacts editors
    """
    from chronofacts.flows.setting_keys import list_editors

    listed, broken = list_editors()
    for line in broken:
        print_error(f"chronofacts editors: {line}")
    if mode.as_json:
        return print_result("", {one.name: asdict(one) for one in listed})
    from rich.console import Console
    from rich.table import Table

    table = Table("editor", "changes", "needs", "s/fact", "what it does, and the paper", box=None, padding=(0, 1))
    for one in listed:
        cost = "" if one.seconds_per_fact is None else f"{one.seconds_per_fact:.3g}"
        paper = "" if one.paper.rpartition(", ")[2] in one.meaning else one.paper  # told once
        source = " · ".join(text for text in (paper, one.package) if text)
        table.add_row(
            one.name, one.changes, ", ".join(one.needs), cost, f"{one.meaning}{f' ({source})' if source else ''}"
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print("\ns/fact: seconds of a processor for each fact of the small world")


def settings(
    name: Annotated[
        str,
        typer.Argument(
            help="run, world, scoring, trace, or an editor. Default: all of ours.",
            show_default=False,
            autocompletion=complete_owner,
        ),
    ] = "",
) -> None:
    """List the keys of --set with type, default and meaning.

    Example: chronofacts settings lora
    """
    from chronofacts.editing.options import nearest
    from chronofacts.editing.registry import all_editors
    from chronofacts.flows.setting_keys import EDITORS, OWNERS, key_of, settings_of

    owners = [*OWNERS, *all_editors()]
    chosen = name.partition("+")[0]
    if chosen and chosen not in owners:
        raise BadInput(f"nothing here has settings and is called {name!r}{nearest(name, owners)}")
    found = {owner: settings_of(owner) for owner in ([chosen] if chosen else [*OWNERS, *EDITORS])}
    if mode.as_json:
        keys = ("name", "kind", "default", "meaning")
        return print_result(
            "", {owner: [{key: asdict(one)[key] for key in keys} for one in ones] for owner, ones in found.items()}
        )
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    for owner, ones in found.items():
        table = Table("--set", "type", "default", "meaning", box=None, padding=(0, 1), title_justify="left")
        for one in ones:
            table.add_row(key_of(owner, one), one.kind, one.default, one.meaning)
        console.print(table)
        console.print()
