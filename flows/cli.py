"""The command line: parsing and printing, nothing else.

Every command imports what it needs when it runs, so that `chronofacts --help` answers at once.
Exit codes: 0 done, 1 a check failed, 2 wrong use; errors are one line that names the mend. What is printed follows
`flows.output`, and where options come from `flows.configuration`.
"""

from __future__ import annotations

import inspect as introspection
import logging
import os
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from flows.configuration import PREFIX, read_configuration
from flows.output import fail, mode, show_progress, tell
from schemas.errors import BadInput, ChronoFactsError

app = typer.Typer(
    name="chronofacts",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and errors alone, no progress.")]
Snapshot = Annotated[Path, typer.Argument(help="A snapshot folder, made by `refresh`.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

IMPORTED = ("edits", "questions", "rejections")
"""Tables whose rows `import` tells."""


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes --quiet and --json, and whose `ChronoFactsError`s become one line and an exit code."""

    def register(body: Callable[..., None]) -> Callable[..., None]:
        @wraps(body)
        def guarded(*args: Any, quiet: bool, as_json: bool, **kwargs: Any) -> None:
            mode.quiet, mode.as_json = quiet, as_json
            try:
                body(*args, **kwargs)
            except ChronoFactsError as error:
                fail(f"chronofacts {name}: {error}")
                raise typer.Exit(error.exit_code) from None

        kinds = {**get_type_hints(body, include_extras=True), "quiet": Quiet, "as_json": AsJson}
        of_body = list(introspection.signature(body).parameters.values())
        added = [
            introspection.Parameter(key, introspection.Parameter.KEYWORD_ONLY, default=False)
            for key in ("quiet", "as_json")
        ]
        parameters = [parameter.replace(annotation=kinds[parameter.name]) for parameter in (*of_body, *added)]
        guarded.__signature__ = introspection.Signature(parameters)  # type: ignore[attr-defined]
        guarded.__annotations__ = kinds
        return app.command(name)(guarded)

    return register


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
        typer.Option(help="File with options, one table per command. Default: chronofacts.toml here, if there is one."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
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
    except ChronoFactsError as error:
        fail(f"chronofacts: {error}")
        raise typer.Exit(error.exit_code) from None


def options_of(command: Any) -> dict[str, str]:
    """option (`as-of`) -> parameter (`as_of`)"""
    words = ((word, one.name) for one in command.params for word in one.opts)
    return {word.removeprefix("--"): name for word, name in words if word.startswith("--")}


@command("demo")
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
    from schemas.folders import check_out

    folder = out or next(path for number in count(1) if not (path := Path("demo-output") / str(number)).exists())
    check_out(folder)
    show_progress()
    require_editing()
    from flows.environment import quiet_flows

    with quiet_flows():
        from flows.demo import run_demo

        told = run_demo(folder, quick)
    tell(
        f"\n{told.table}\n\nsnapshot: {told.snapshot}\nrun:      {told.run}\nreport:   {told.report}",
        {"snapshot": told.snapshot, "run": told.run, "report": told.report},
    )


@command("refresh")
def refresh(
    since: Annotated[
        str, typer.Option(help="First day, YYYY-MM-DD, or model:NAME for a model's stated cutoff.", show_default=False)
    ],
    as_of: Annotated[str, typer.Option(help="Second day, YYYY-MM-DD: the day it should know.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything.", show_default=False)],
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
    from schemas.catalogue import load_catalogue
    from schemas.cutoffs import parse_since
    from schemas.dates import check_dates, parse_day
    from schemas.folders import check_out

    first, second = parse_since(since), parse_day(as_of, "--as-of")
    wanted = tuple(part for part in (piece.strip() for piece in relations.split(",")) if part)
    # Wrong use is told before anything slow begins.
    check_dates(first, second)
    check_out(out)
    catalogue = load_catalogue()
    if wanted:
        catalogue.select(wanted)
    show_progress()
    from flows.environment import quiet_flows

    with quiet_flows():
        from flows.refresh import refresh as refresh_flow
        from pipeline.sources.dump import DumpOptions
        from pipeline.sources.live import EndpointOptions

        kept = raw or Path(f"{out}.raw")
        refresh_flow(
            source,
            first,
            second,
            out,
            wanted,
            language,
            seed,
            quarantine_days,
            EndpointOptions(user_agent, kept, scope),
            update,
            DumpOptions(parse_day(dump_day, "--dump-day") if dump_day else None, kept, keep_damaged, scope),
            task_runner,
            hops_per_edit,
        )
    tell(f"snapshot: {out}", {"snapshot": out})


@command("inspect")
def inspect(
    snapshot: Snapshot,
    why: Annotated[str, typer.Option(help="Audit one entity: all that was kept and left out about this QID.")] = "",
) -> None:
    """Show what is in a snapshot: counts, examples, and what was left out and why.

    Example: chronofacts inspect S --why Q142
    """
    if why:
        from flows.terminal import print_audit
        from pipeline.audit import audit

        found_about = audit(snapshot, why)
        if mode.as_json:
            tell("", [finding._asdict() for finding in found_about])
        else:
            print_audit(why, found_about)
        return
    from pipeline.inspection import inspect as read_inspection

    found = read_inspection(snapshot)
    if mode.as_json:
        return tell("", found.as_json())
    from flows.terminal import print_inspection

    print_inspection(found)


@command("verify")
def verify(snapshot: Snapshot) -> None:
    """Check a snapshot: sums, schemas, and every promise of the design. Exit 1 with what broke.

    Example: chronofacts verify S
    """
    from pipeline.verify import promises
    from pipeline.verify import verify as find_problems
    from schemas.manifest import read_manifest

    problems = find_problems(snapshot)
    for problem in problems:
        fail(f"broken: {problem}")
    if problems and mode.as_json:
        tell("", {"snapshot": snapshot, "sound": False, "broken": problems})
    if problems:
        raise typer.Exit(1)
    checked = len(promises(read_manifest(snapshot)))
    tell(
        f"{snapshot} is sound ({checked} promises, every checksum)",
        {"snapshot": snapshot, "sound": True, "promises": checked, "broken": []},
    )


@command("diff")
def diff(
    old: Annotated[Path, typer.Argument(help="The older snapshot.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The newer snapshot.", show_default=False)],
) -> None:
    """Tell two snapshots apart: how the world changed, and how Wikidata was corrected.

    Example: chronofacts diff OLD NEW --json
    """
    from pipeline.compare import compare_snapshots, count_kinds
    from schemas.catalogue import load_catalogue
    from schemas.manifest import read_manifest

    relations = read_manifest(new).relations
    differences = compare_snapshots(old, new, load_catalogue().select(relations))
    if mode.as_json:
        return tell("", {"counts": count_kinds(differences), "differences": differences.to_pylist()})
    from flows.terminal import print_differences

    print_differences(differences)


@command("export")
def export(
    snapshot: Snapshot,
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything.", show_default=False)],
    format: Annotated[str, typer.Option(help="easyedit, mquake or lm-eval.", show_default=False)],
) -> None:
    """Write a snapshot in the format of another tool: EasyEdit, MQuAKE or lm-evaluation-harness.

    Example: chronofacts export S --format lm-eval --out tasks
    """
    show_progress()
    from pipeline.exchange import export_snapshot

    written = export_snapshot(snapshot, format, out)
    tell("\n".join(f"wrote {path}" for path in written), {"files": written})


@command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The benchmark's .json or .jsonl file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Snapshot folder to make; it must not hold anything.", show_default=False)],
    format: Annotated[str, typer.Option(help="easyedit, mquake, counterfact or zsre.", show_default=False)],
    since: Annotated[str, typer.Option(help="Day of the old answers, YYYY-MM-DD. Default: the format's.")] = "",
    as_of: Annotated[str, typer.Option(help="Day of the new answers, YYYY-MM-DD. Default: the format's.")] = "",
) -> None:
    """Read an established benchmark into the tables of a snapshot, so that every editor runs on it.

    Example: chronofacts import MQuAKE-T.json --format mquake --out S
    """
    from schemas.dates import parse_day

    first = parse_day(since, "--since") if since else None
    second = parse_day(as_of, "--as-of") if as_of else None
    from pipeline.exchange import import_snapshot

    manifest = import_snapshot(file, format, out, first, second)
    counts = {name: sum(e.rows for f, e in manifest.files.items() if f.startswith(f"{name}/")) for name in IMPORTED}
    told = ", ".join(f"{rows} {name}" for name, rows in counts.items())
    tell(f"snapshot: {out} ({told})", {"snapshot": out, "rows": counts})


@command("publish")
def publish(
    snapshot: Snapshot,
    repo: Annotated[str, typer.Option(help="Dataset to publish to: ORG/NAME.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the exact plan; write nothing.")] = False,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of the Hub. Default: HF_ENDPOINT, or huggingface.co.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    force_tag: Annotated[
        bool, typer.Option("--force-tag", help="Move a tag that stands on another snapshot of that day.")
    ] = False,
    adapter: Annotated[
        Path | None,
        typer.Option(help="Publish this adapter, RUN/adapters/lora, as a PEFT model instead.", show_default=False),
    ] = None,
    base_model: Annotated[
        str, typer.Option(help="With --adapter: its base model's name on the Hub, if it was loaded from a folder.")
    ] = "",
) -> None:
    """Publish a snapshot to the Hugging Face Hub: one commit, tagged with its day, read back afterwards.

    Log in first: `hf auth login`, or HF_TOKEN. Publishing again is safe and does only what is missing.
    With --adapter: a LoRA adapter that was trained on the snapshot, as a model whose card names its facts.

    Example: chronofacts publish S --repo my-org/what-changed --dry-run

    Example: chronofacts publish S --repo my-org/llama-2025 --adapter R/adapters/lora
    """
    from pipeline.hub import PublishSettings, check_options
    from schemas.manifest import read_manifest

    read_manifest(snapshot)  # before anything slow starts
    if base_model and adapter is None:
        raise BadInput("--base-model says what an adapter belongs to; give --adapter RUN/adapters/lora too")
    check_options(repo, PublishSettings(endpoint, private, force_tag, dry_run))
    show_progress()
    from flows.environment import quiet_flows

    with quiet_flows():
        from flows.publish import publish as publish_flow
        from flows.publish import publish_adapter

        if adapter is not None:
            sent = publish_adapter(adapter, snapshot, repo, base_model, endpoint, private, dry_run)
            lines, url, commit = sent.lines(), sent.url, sent.commit
        else:
            published = publish_flow(snapshot, repo, endpoint, private, force_tag, dry_run)
            lines, url, commit = published.plan.lines(), published.url, published.commit
    told = {"plan": lines, "dry_run": dry_run, "url": url, "commit": commit}
    tell("\n".join([*lines, *([] if dry_run else [f"published: {url}"])]), told)


@command("experiment")
def experiment(
    snapshot: Snapshot,
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything.", show_default=False)],
    model: Annotated[str, typer.Option(help="A folder, a name on the Hub, or small-world.")] = "small-world",
    editor: Annotated[str, typer.Option(help="Editors by name, joined by commas.")] = "none,lora,lora+replay",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, for the run or for editors: lora.rank=8.")
    ] = None,
) -> None:
    """Edit a model with a snapshot's changes, and measure what was learnt, what spread and what broke.

    Example: chronofacts experiment S --model small-world --editor none,lora,lora+replay --out R
    """
    from schemas.folders import check_out
    from schemas.manifest import read_manifest

    settings = parse_settings(set_ or [])
    editors = [name for name in (part.strip() for part in editor.split(",")) if name]
    read_manifest(snapshot)
    check_out(out)
    require_editing()
    from editing.experiment import read_settings

    read_settings(editors, settings)
    show_progress()
    from flows.environment import quiet_flows

    with quiet_flows():
        from flows.experiment import experiment as experiment_flow

        metrics = experiment_flow(snapshot, model, editors, out, settings)
    from editing.report import terminal_table

    table = terminal_table([out])
    tell(
        f"\n{table}\n\nrun: {out}   (next: chronofacts report {out} --out page)",
        {"run": out, "metrics": metrics},
    )


@command("trace")
def trace(
    snapshot: Snapshot,
    model: Annotated[str, typer.Option(help="A folder or a name on the Hub.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: facts=50, draws=10, noise=3, window=10, dtype=bfloat16."),
    ] = None,
) -> None:
    """Find the layers and tokens at which a model looks up a snapshot's old facts: causal tracing, with a heat map.

    Example: chronofacts trace S --model R/model --out T
    """
    from schemas.manifest import read_manifest

    settings = parse_settings(set_ or [])
    read_manifest(snapshot)
    require_editing()
    show_progress()
    from editing.trace_run import run_trace

    found = run_trace(snapshot, model, settings, out, logging.getLogger("chronofacts.trace").info)
    memit = f"{found.memit[0]} to {found.memit[-1]}"
    tell(
        f"traced {found.facts} facts: rome would edit layer {found.rome[0]}, memit layers {memit}\n"
        f"heat map: {found.out / 'heat_map.png'}",
        {"out": found.out, "facts": found.facts, "rome": found.rome, "memit": found.memit},
    )


@command("report")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, made by `experiment`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to make for the page.", show_default=False)] = None,
) -> None:
    """Write runs as one self-contained HTML page with plots, and as Markdown.

    Example: chronofacts report R --out page
    """
    require_editing()
    from editing.report import as_json as read_figures
    from editing.report import terminal_table, write_report

    page = write_report(runs, out) if out is not None else None
    if mode.as_json:
        if page is not None:
            fail(f"report: {page}")
        return tell("", read_figures(runs))
    tell(f"report: {page}" if page is not None else terminal_table(runs), None)


@command("serve")
def serve(
    cron: Annotated[str, typer.Option(help="When to run: minute, hour, day, month, weekday (UTC).")] = "0 4 3 * *",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, a parameter of the monthly flow: repo=ORG/NAME.")
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
    from flows.server import own_server

    words = parse_settings(set_ or [])
    if webhook:
        os.environ["CHRONOFACTS_WEBHOOK"] = webhook  # no parameter: those are shown in the UI, and this is a secret
    with own_server(port) as address:
        from flows.monthly import monthly
        from flows.parameters import read_parameters

        parameters = read_parameters(monthly, words)
        tell(
            f"serving monthly at {cron!r} (UTC), seen at {address}; stop with Ctrl-C",
            {"cron": cron, "parameters": parameters, "ui": address},
        )
        monthly.serve(name="monthly", cron=cron, parameters=parameters, limit=1)


def parse_settings(words: list[str]) -> dict[str, str]:
    """`key=value` words as a mapping; BadInput for a word without a sign of equality."""
    settings = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.strip():
            raise BadInput(f"--set {word!r} is not key=value; write for example --set lora.rank=8")
        settings[key.strip()] = value.strip()
    return settings


def require_editing() -> None:
    """Raises BadInput where the libraries that edit models are not installed."""
    missing = [name for name in ("torch", "transformers", "peft", "matplotlib") if find_spec(name) is None]
    if missing:
        raise BadInput(f"editing needs {', '.join(missing)}; install them with: pip install 'chronofacts[edit]'")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
