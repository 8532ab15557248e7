"""The commands that list what there is: `editors`, and `settings`, the keys of `--set`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from chronofacts.flows.commands.completion import complete_owner
from chronofacts.flows.output import mode, print_result
from chronofacts.schemas.errors import BadInput

__all__ = ["editors", "settings"]


def editors() -> None:
    """List the editors: the ways to bring a model up to date.

    Example: chronofacts editors
    """
    from chronofacts.flows.setting_keys import describe_editor, editor_names

    named = {name: describe_editor(name) for name in editor_names()}
    if mode.as_json:
        return print_result("", named)
    width = max(map(len, named))
    print_result("\n".join(f"{name:{width}}  {meaning}" for name, meaning in named.items()), None)


def settings(
    name: Annotated[
        str,
        typer.Argument(
            help="run, world, scoring, trace, or an editor. Default: all.",
            show_default=False,
            autocompletion=complete_owner,
        ),
    ] = "",
) -> None:
    """List the keys of --set with type, default and meaning.

    Example: chronofacts settings lora
    """
    from chronofacts.editing.options import nearest
    from chronofacts.flows.setting_keys import EDITORS, OWNERS, key_of, settings_of

    owners = [*OWNERS, *EDITORS]
    chosen = name.partition("+")[0]
    if chosen and chosen not in owners:
        raise BadInput(f"nothing here has settings and is called {name!r}{nearest(name, owners)}")
    found = {owner: settings_of(owner) for owner in ([chosen] if chosen else owners)}
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
