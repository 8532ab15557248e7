"""The command line: the commands, what all of them share, and where their options come from.

The commands themselves are in `flows.commands`; what is printed follows `flows.output`, and options from a file follow
`flows.configuration`. Exit codes: 0 done, 1 a check failed, 2 wrong use; errors are one line that names the fix.
"""

from __future__ import annotations

import gc
import inspect as introspection
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from chronofacts.flows.commands import experimenting, listing, making, over_time, reading, serving, sharing
from chronofacts.flows.configuration import PREFIX, read_configuration, unread_variables
from chronofacts.flows.output import drop_output, mode, open_streams, print_error, stop_progress
from chronofacts.flows.stopping import Stopped, end_on_signal, leave, listen, stoppable
from chronofacts.schemas.addresses import PASSED
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.files import is_full_disk
from chronofacts.schemas.redact import redact

__all__ = ["COMMANDS", "app", "main", "options_of"]

YOUNG = 10_000
"""New objects after which Python looks for cycles among them. By itself it does so after some hundred, and thousands of
times while torch and transformers are loaded: a sixth of that time."""
UsageError: Any = typer.BadParameter.__base__
"""Typer's, of whichever click it has."""


class _OneLine(TyperGroup):
    """The commands, whose wrong use is one line that names the help, like every other error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        given = (args, prog_name, complete_var, False, windows_expand_args)
        if not standalone_mode:
            return super().main(*given, **extra)
        try:
            code = super().main(*given, **extra)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
                sys.exit(error.exit_code)
            command = error.ctx.info_name if error.ctx is not None and error.ctx.parent is not None else ""
            at = f"chronofacts {command}".strip()
            print_error(f"{at}: {error.format_message().rstrip('.')}; see {at} --help")
            sys.exit(error.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="chronofacts",
    cls=_OneLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"]},
)

COMMANDS: Mapping[str, Callable[..., None]] = {
    "demo": making.demo,
    "refresh": making.refresh,
    "backfill": making.backfill,
    "inspect": reading.inspect,
    "verify": reading.verify,
    "diff": reading.diff,
    "export": sharing.export,
    "import": sharing.import_,
    "publish": sharing.publish,
    "edit": experimenting.edit,
    "experiment": experimenting.experiment,
    "trace": experimenting.trace,
    "report": experimenting.report,
    "stale": over_time.stale,
    "follow": over_time.follow,
    "serve": serving.serve,
    "editors": listing.editors,
    "settings": listing.settings,
}
"""In the order of the help."""

RESUMED = ("refresh", "backfill", "experiment", "follow", "publish", "serve")
"""Commands that go on from what a stopped one left."""
TAKES_ITS_TIME = ("serve",)
"""Commands that are not ended where they are: this one ends a server and the runs that are at work."""

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the result and errors alone, no progress.", envvar=f"{PREFIX}_QUIET"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", envvar=f"{PREFIX}_JSON")]


def _guard(name: str, body: Callable[..., None]) -> Callable[..., None]:
    """The command, which also takes --quiet and --json, and whose errors become one line and an exit code."""

    def tell(by: str) -> str:
        again = "; the same command again goes on from what is done" if name in RESUMED else ""
        return f"chronofacts {name}: stopped by {by}{again}"

    @wraps(body)
    def guarded(*args: Any, quiet: bool, as_json: bool, **kwargs: Any) -> None:
        mode.quiet, mode.as_json = quiet, as_json
        try:
            with stoppable(None if name in TAKES_ITS_TIME else tell):
                body(*args, **kwargs)
        except ChronoFactsError as error:
            print_error(f"chronofacts {name}: {error}")
            raise typer.Exit(error.exit_code) from None
        except Stopped as stop:
            print_error(tell(stop.name))
            raise typer.Exit(stop.exit_code) from None
        finally:
            stop_progress()

    kinds = {**get_type_hints(body, include_extras=True), "quiet": Quiet, "as_json": AsJson}
    of_body = list(introspection.signature(body).parameters.values())
    added = [
        introspection.Parameter(key, introspection.Parameter.KEYWORD_ONLY, default=False)
        for key in ("quiet", "as_json")
    ]
    parameters = [parameter.replace(annotation=kinds[parameter.name]) for parameter in (*of_body, *added)]
    guarded.__signature__ = introspection.Signature(parameters)  # type: ignore[attr-defined]
    guarded.__annotations__ = kinds
    return guarded


for _name, _body in COMMANDS.items():
    app.command(_name)(_guard(_name, _body))


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"chronofacts {version('chronofacts')}")
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="File with options, one table per command. Default: your own, and chronofacts.toml here."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_show_version, is_eager=True, allow_from_autoenv=False
        ),
    ] = False,
) -> None:
    """What does my language model believe that is no longer true, and how do I fix it?

    An option is taken from the command line, else from the environment (CHRONOFACTS_REFRESH_SOURCE), else from the
    file (--config, CHRONOFACTS_CONFIG, or chronofacts.toml), else it has its default.

    Example: chronofacts demo --quick
    """
    commands: dict[str, Any] = context.command.commands  # type: ignore[attr-defined]
    options = {name: options_of(command) for name, command in commands.items()}
    try:
        context.default_map = read_configuration(config, options)
        for line in unread_variables(os.environ, variables_of(commands)):
            print_error(f"chronofacts: {line}")
    except ChronoFactsError as error:
        print_error(f"chronofacts: {error}")
        raise typer.Exit(error.exit_code) from None


def options_of(command: Any) -> dict[str, str]:
    """option (`as-of`) -> parameter (`as_of`)"""
    words = ((word, one.name) for one in command.params for word in one.opts)
    return {word.removeprefix("--"): name for word, name in words if word.startswith("--")}


def variables_of(commands: Mapping[str, Any]) -> set[str]:
    """Every variable of the environment that an option is read from."""
    found = {f"{PREFIX}_CONFIG", f"{PREFIX}_CACHE", f"{PREFIX}_USER_AGENT", f"{PREFIX}_WEBHOOK", f"{PREFIX}_VERSION"}
    found.add(PASSED)
    for name, command in commands.items():
        for one in command.params:
            own = one.envvar if isinstance(one.envvar, list | tuple) else [one.envvar] if one.envvar else []
            found |= {*own, f"{PREFIX}_{name}_{one.name}".upper().replace("-", "_")}
    return found


def main() -> None:
    listen()
    gc.set_threshold(YOUNG)
    sys.excepthook = _print_fault
    open_streams()
    try:
        app()
    except OSError as error:
        if not is_full_disk(error):
            raise
        drop_output()
        print_error(f"chronofacts: no room is left where it writes ({error}); make room and run the same command again")
        sys.exit(1)
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > 128:  # stopped
            leave(end.code)
        raise
    finally:
        end_on_signal()
        gc.freeze()  # the end of Python would look through everything for cycles: a second, once torch is loaded


def _print_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of the program, in full but for secrets: what libraries raise may quote addresses and headers."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


if __name__ == "__main__":
    main()
