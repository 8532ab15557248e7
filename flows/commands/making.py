"""The commands that make a snapshot: `refresh`, and `demo`, which goes on to the report."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import Out, require_editing, split_names
from chronofacts.flows.output import print_result, show_progress

__all__ = ["demo", "refresh"]


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder to make. Default: the first free demo-output/N.", show_default=False)
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A part of the facts only: a result in about a minute.")
    ] = False,
) -> None:
    """The main job end to end on the shipped sample: snapshot, model, LoRA, report. Downloads nothing.

    Example: chronofacts demo --quick
    """
    from chronofacts.schemas.files import check_out

    folder = out or next(path for number in count(1) if not (path := Path("demo-output") / str(number)).exists())
    check_out(folder)
    show_progress()
    require_editing()
    from chronofacts.flows.prefect_env import quiet_flows

    with quiet_flows():
        from chronofacts.flows.demo import run_demo

        made = run_demo(folder, quick)
    print_result(
        f"\n{made.table}\n\nsnapshot: {made.snapshot}\nrun:      {made.run}\nreport:   {made.report}",
        {"snapshot": made.snapshot, "run": made.run, "report": made.report},
    )


def refresh(
    since: Annotated[
        str, typer.Option(help="First day, YYYY-MM-DD, or model:NAME for a model's stated cutoff.", show_default=False)
    ],
    as_of: Annotated[str, typer.Option(help="Second day, YYYY-MM-DD: the day it should know.", show_default=False)],
    out: Out,
    source: Annotated[
        str,
        typer.Option(
            help="sample: the slice of Wikidata that ships with the project; wdqs, qlever or the address of a SPARQL "
            "endpoint; raw:DIR: a reading kept by --raw; the file, folder or pattern of a JSON dump."
        ),
    ] = "sample",
    relations: Annotated[
        str, typer.Option(help="Ids or properties of relations, joined by commas: P6,office_holder. Default: all.")
    ] = "",
    language: Annotated[str, typer.Option(help="Language of names and questions: en or nl.")] = "en",
    seed: Annotated[int, typer.Option(help="Seed of everything that is sampled.")] = 0,
    quarantine_days: Annotated[
        int, typer.Option(help="Leave out what was edited in so many days before the source's day; 0 keeps it.")
    ] = 3,
    hops_per_edit: Annotated[
        int, typer.Option(help="Multi-hop questions per edit of 2, of 3 and of 4 hops, at most.", min=0)
    ] = 3,
    update: Annotated[
        Path | None,
        typer.Option(help="An older snapshot of the same endpoint: read only what changed since.", show_default=False),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps every answer of an endpoint, or the parts of a dump.", show_default="OUT.raw"
        ),
    ] = None,
    user_agent: Annotated[
        str, typer.Option(help="Who asks, with your URL or e-mail.", envvar="CHRONOFACTS_USER_AGENT")
    ] = "",
    scope: Annotated[
        str,
        typer.Option(
            help="Read the whole or what changes. Default: changes for wdqs, qlever and a large dump.",
            show_default=False,
        ),
    ] = "",
    dump_day: Annotated[
        str,
        typer.Option(help="Day of a dump, YYYY-MM-DD. Default: from its name or its edits.", show_default=False),
    ] = "",
    task_runner: Annotated[
        str,
        typer.Option(
            help="What reads a dump's parts: threads, processes, dask or dask:ADDRESS. Default: by their size.",
            show_default=False,
        ),
    ] = "",
    keep_damaged: Annotated[
        bool, typer.Option("--keep-damaged", help="Use what can be read of a dump that is cut off.")
    ] = False,
) -> None:
    """Make a snapshot: what changed between two days, with its questions.

    Example: chronofacts refresh --source sample --since 2021-01-01 --as-of 2025-01-01 --out S
    """
    from chronofacts.flows.settings import RefreshSettings
    from chronofacts.pipeline.build import SnapshotSettings
    from chronofacts.pipeline.sources.dump.source import DumpSettings
    from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings
    from chronofacts.schemas.cutoffs import parse_since
    from chronofacts.schemas.dates import parse_day

    days = parse_since(since), parse_day(as_of, "--as-of")
    recordings = raw or Path(f"{out}.raw")
    dump = DumpSettings(parse_day(dump_day, "--dump-day") if dump_day else None, recordings, keep_damaged, scope)
    settings = RefreshSettings(
        source,
        out,
        SnapshotSettings(*days, language, seed, quarantine_days, hops_per_edit),
        split_names(relations),
        update,
        EndpointSettings(user_agent, recordings, scope),
        dump,
        task_runner,
    )
    show_progress()
    from chronofacts.flows.prefect_env import quiet_flows

    with quiet_flows():
        from chronofacts.flows.refresh import refresh as refresh_flow

        refresh_flow(settings)
    print_result(f"snapshot: {out}", {"snapshot": out})
