"""The command that keeps running: `serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import parse_settings
from chronofacts.flows.output import print_result

__all__ = ["serve"]


def serve(
    cron: Annotated[str, typer.Option(help="When to run: minute, hour, day, month, weekday (UTC).")] = "0 4 3 * *",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="key=value, a parameter of the monthly flow: repo=ORG/NAME.", envvar="CHRONOFACTS_SERVE_SET"
        ),
    ] = None,
    webhook: Annotated[
        str, typer.Option(help="Address that gets a JSON message when a run fails.", envvar="CHRONOFACTS_WEBHOOK")
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the server that is started.", min=1, max=65535)] = 4200,
) -> None:
    """Run the monthly flow on schedule, on this machine, until stopped; with a server whose UI shows it.

    The server is the one that PREFECT_API_URL names, or one of its own.

    Example: chronofacts serve --set source=qlever --set repo=ORG/NAME
    """
    from chronofacts.flows.server import own_server

    words = parse_settings(set_ or [])
    if webhook:
        os.environ["CHRONOFACTS_WEBHOOK"] = webhook  # no parameter: those are shown in the UI, and this is a secret
    with own_server(port) as address:
        from chronofacts.flows.monthly import monthly
        from chronofacts.flows.parameters import read_parameters

        parameters = read_parameters(monthly, words)
        print_result(
            f"serving monthly at {cron!r} (UTC), seen at {address}; stop with Ctrl-C",
            {"cron": cron, "parameters": parameters, "ui": address},
        )
        monthly.serve(name="monthly", cron=cron, parameters=parameters, limit=1)
