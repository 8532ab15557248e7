"""The command that keeps running: `serve`."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from chronofacts.flows.commands.arguments import parse_settings, settings_option
from chronofacts.flows.output import print_result
from chronofacts.flows.prefect_server import require_prefect
from chronofacts.schemas.addresses import hide, is_address

__all__ = ["serve"]


def serve(
    cron: Annotated[str, typer.Option(help="When to run: minute, hour, day, month, weekday (UTC).")] = "0 4 3 * *",
    set_: Annotated[
        list[str] | None,
        settings_option("serve", "key=value, a parameter of the monthly flow: repo=ORG/NAME."),
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
    # The parameters of a schedule lie in Prefect's database; what is secret of an address stays in memory.
    words = {key: hide(value, key) if is_address(value) else value for key, value in parse_settings(set_ or []).items()}
    if webhook:
        os.environ["CHRONOFACTS_WEBHOOK"] = webhook  # no parameter: those are shown in the UI, and this is a secret
    require_prefect("schedules need it;")
    from chronofacts.flows.scheduled.serve import serve_monthly

    def show(address: str, parameters: dict[str, Any], login: str) -> None:
        asks = f", which asks for the password {login}" if login else ""
        print_result(
            f"serving monthly at {cron!r} (UTC), seen at {address}{asks}; stop with Ctrl-C",
            {"cron": cron, "parameters": parameters, "ui": address, "login": login or None},
        )

    serve_monthly(cron, words, port, show)
