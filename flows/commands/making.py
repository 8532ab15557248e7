"""The commands that make snapshots: `refresh`, `backfill`, and `demo`, which goes on to the report."""

from __future__ import annotations

import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chronofacts.flows.commands.arguments import Out, require_editing, split_names
from chronofacts.flows.commands.checks import check_refresh, check_source, last_days
from chronofacts.flows.commands.works import run_work
from chronofacts.flows.output import print_result, show_progress
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.dates import parse_day

if TYPE_CHECKING:
    from chronofacts.flows.settings import RefreshSettings

__all__ = ["backfill", "demo", "refresh"]


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
    require_editing()
    show_progress(f"the demonstration goes to {folder}")
    from chronofacts.flows.demo import run_demo

    made = run_demo(folder, quick, run_work)
    print_result(
        f"\n{made.table}\n\nsnapshot: {made.snapshot}\nrun:      {made.run}\nreport:   {made.report}",
        {"snapshot": made.snapshot, "run": made.run, "report": made.report, "warnings": made.warnings},
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
    days = check_refresh(source, since, as_of, split_names(relations), language, out, user_agent)
    read_on = parse_day(dump_day, "--dump-day") if dump_day else None
    show_progress(f"a snapshot of what changed from {days[0]} to {days[1]}, by {source}, to {out}")
    from chronofacts.flows.refresh import refresh as make_snapshot
    from chronofacts.flows.settings import RefreshSettings
    from chronofacts.pipeline.build import SnapshotSettings
    from chronofacts.pipeline.sources.dump.source import DumpSettings
    from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings

    recordings = raw or Path(f"{out}.raw")
    settings = RefreshSettings(
        source,
        out,
        SnapshotSettings(*days, language, seed, quarantine_days, hops_per_edit),
        split_names(relations),
        update,
        EndpointSettings(user_agent, recordings, scope),
        DumpSettings(read_on, recordings, keep_damaged, scope),
        task_runner,
    )
    run_work(make_snapshot, settings)
    print_result(f"snapshot: {out}", {"snapshot": out})


def backfill(
    months: Annotated[str, typer.Option(help="2024-01..2024-12, or one month.", show_default=False)],
    store: Annotated[
        str, typer.Option(help="Folder or address (s3://…, gs://…) that holds the snapshots.")
    ] = "data/snapshots",
    source: Annotated[str, typer.Option(help="As of `refresh`.")] = "wdqs",
    relations: Annotated[
        str, typer.Option(help="Ids or properties of relations, joined by commas. Default: all.")
    ] = "",
    repo: Annotated[str, typer.Option(help="Dataset to publish each month to: ORG/NAME. Default: none.")] = "",
    endpoint: Annotated[
        str | None, typer.Option(help="Address of the Hub. Default: HF_ENDPOINT, or huggingface.co.")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Folder that keeps every answer of an endpoint for good.", show_default=False)
    ] = None,
    user_agent: Annotated[
        str, typer.Option(help="Who asks, with your URL or e-mail.", envvar="CHRONOFACTS_USER_AGENT")
    ] = "",
) -> None:
    """Make the snapshots of past months that a store lacks, each of what changed in a year; run it again to go on.

    Example: chronofacts backfill --months 2024-01..2024-12 --source qlever
    """
    days = last_days(months)
    check_source(source, user_agent, days[-1], "--months")
    names = split_names(relations)
    if names:
        load_catalogue().select(names)
    show_progress(f"{len(days)} months, {days[0]} to {days[-1]}, by {source}, into {store}")
    from chronofacts.flows.months import backfill as fill
    from chronofacts.flows.months import make_month
    from chronofacts.flows.publish import publish
    from chronofacts.flows.refresh import refresh as make_snapshot
    from chronofacts.pipeline.publishing.hub import PublishSettings, check_options
    from chronofacts.pipeline.snapshots.store import open_store

    settings = PublishSettings(endpoint)
    if repo:
        check_options(repo, settings)
    opened = open_store(store)

    def make_one(wanted: RefreshSettings) -> Path:
        return run_work(make_snapshot, wanted)

    def make(day: datetime.date) -> Path:
        return make_month(opened, source, None, day, names, user_agent, raw, refresh=make_one)

    made = fill(opened, days, make, (lambda folder: run_work(publish, folder, repo, settings)) if repo else None)
    result = {str(day): folder for day, folder in made.items()}
    print_result("\n".join(f"{day}: {folder}" for day, folder in result.items()), result)
