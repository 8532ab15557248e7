"""The commands that edit models and measure them: `edit`, `experiment`, `trace` and `report`."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import (
    Out,
    Snapshot,
    parse_settings,
    require_editing,
    require_report,
    settings_option,
    split_names,
)
from chronofacts.flows.commands.completion import (
    complete_editors,
    complete_model,
    complete_setting,
    complete_trace_setting,
)
from chronofacts.flows.commands.reach import require_model
from chronofacts.flows.commands.works import run_work
from chronofacts.flows.output import mode, print_error, print_result, show_progress
from chronofacts.schemas.errors import BadInput

log = logging.getLogger("chronofacts.edit")

__all__ = ["edit", "experiment", "report", "trace"]


def edit(
    model: Annotated[
        str,
        typer.Option(
            help="A folder, a name on the Hub, a GGUF file or smollm2.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    facts: Annotated[
        Path,
        typer.Option(
            help="Your facts, .csv or .jsonl: prompt and target, where known subject, old, paraphrases, cloze.",
            show_default=False,
        ),
    ],
    editor: Annotated[str, typer.Option(help="One editor by its name.", autocompletion=complete_editors)] = "lora",
    ask: Annotated[
        list[str] | None, typer.Option(help="Another question to ask before and after.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to make for the edit alone, without the model.", show_default=False)
    ] = None,
    merged: Annotated[
        Path | None, typer.Option(help="Folder to make for the whole edited model.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        settings_option("edit", "key=value of the editor: rank=8."),
    ] = None,
) -> None:
    """Teach a model facts of your own, and show what it answers before and after.

    Example: chronofacts edit --model smollm2 --facts my.csv --ask "Who runs Acme?" --out acme
    """
    from chronofacts.flows.setting_keys import check_words
    from chronofacts.pipeline.exchange.own_facts import UNDATED, collect_facts, read_facts
    from chronofacts.schemas.files import check_out

    several, words = read_facts(facts), parse_settings(set_ or [])
    tables = collect_facts(several).tables(UNDATED)
    for folder in filter(None, (out, merged)):
        check_out(folder)
    check_words([editor], words)
    if model == "small-world":
        raise BadInput("the small world is made by an experiment; give its folder, --model RUN/model, or another model")
    require_editing()
    show_progress(f"{editor}: teaching {len(several)} facts to {model}; loading torch")
    require_model(model)
    from chronofacts.editing.edited import answer, edit
    from chronofacts.editing.editors import read_editor_settings
    from chronofacts.editing.models.load import load_model
    from chronofacts.editing.threads import fit_threads, threads_restored

    chosen = read_editor_settings(
        editor, {key.removeprefix(f"{editor}."): value for key, value in words.items()}, seed=0
    )
    wanted = {fact.prompt: fact.target for fact in several} | {
        text: fact.target for fact in several for text in fact.paraphrases
    }
    prompts = list(dict.fromkeys([*wanted, *(ask or ())]))
    log.info("loading %s", model)
    with threads_restored():
        loaded, tokenizer = load_model(model)
        fit_threads(loaded.num_parameters())
        log.info("asking %d questions before the edit", len(prompts))
        before = answer(loaded, tokenizer, prompts)
        log.info("%s: teaching %d facts", chosen.name, len(several))
        with edit(loaded, tokenizer, tables["edits"], chosen, progress=log.info) as edited:
            after = edited.generate(prompts)
            if out is not None:
                edited.save(out)
            if merged is not None:
                edited.merge(merged)
    rows = [
        {"prompt": prompt, "before": old, "after": new, "target": wanted.get(prompt)}
        for prompt, old, new in zip(prompts, before, after, strict=True)
    ]
    if mode.as_json:
        print_result("", {"answers": rows, "edit": out, "model": merged})
        return
    from chronofacts.flows.terminal import print_answers

    print_answers(rows)
    for made, what in ((out, "edit"), (merged, "model")):
        if made is not None:
            print_result(f"{what}: {made}", {})


_COUNTED = ("edits", "questions")
"""Tables whose rows the first line of `experiment` tells."""


def experiment(
    snapshot: Snapshot,
    out: Out,
    model: Annotated[
        str,
        typer.Option(
            help="A folder, a name on the Hub, a GGUF file, smollm2, or small-world. "
            "Default: small-world, or the model of --load.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = "",
    editor: Annotated[
        str,
        typer.Option(
            help="Editors by name, joined by commas, or all. Default: none,lora,lora+replay, or none with --load.",
            show_default=False,
            autocompletion=complete_editors,
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(
            help="Take so many facts with their questions: a seeded choice with each relation's share. Default: all.",
            show_default=False,
            min=1,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Take only the edits that the model, asked first, answers so: stale, known, other or silent.",
            show_default=False,
        ),
    ] = None,
    load: Annotated[
        list[Path] | None,
        typer.Option(
            help="A saved edit to ask as well, R/adapters/lora; of others a PEFT adapter, BASE..EDITED or a delta.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        settings_option("experiment", "key=value, for the run or for editors: lora.rank=8.", complete_setting),
    ] = None,
) -> None:
    """Edit a model with a snapshot's changes, and measure what was learnt, what spread and what broke.

    Example: chronofacts experiment S --model small-world --editor none,lora,lora+replay --out R
    """
    from chronofacts.flows.setting_keys import check_words
    from chronofacts.schemas.files import check_out
    from chronofacts.schemas.manifest import read_manifest

    words, saved = parse_settings(set_ or []), load or []
    if limit is not None:
        words["limit"] = str(limit)
    if only is not None:
        words["only"] = only
    editors = split_names(editor or ("none" if saved else "none,lora,lora+replay"))
    manifest = read_manifest(snapshot)
    check_out(out)
    check_words(editors, words)
    require_editing()
    rows = {table: sum(e.rows for f, e in manifest.files.items() if f.startswith(f"{table}/")) for table in _COUNTED}
    show_progress(
        f"{', '.join(editors) or 'saved edits'} on {model or (saved and 'their model') or 'small-world'}: "
        f"{rows['edits']} changes from {manifest.since} to {manifest.as_of}, {rows['questions']} questions, to {out}; "
        "loading torch"
    )
    if model:
        require_model(model, words.get("revision"))
    from chronofacts.editing.editors.saved_edit import base_of
    from chronofacts.editing.runs.experiment import run_experiment
    from chronofacts.editing.runs.settings import SMALL_WORLD, read_settings

    settings = read_settings(editors, words, saved)
    model = model or (base_of(saved[0]) if saved else SMALL_WORLD)
    summary = run_work(run_experiment, snapshot, model, settings, out)
    from chronofacts.editing.report import run_warnings, terminal_table

    table = terminal_table([out])
    print_result(
        f"\n{table}\n\nrun: {out}   (next: chronofacts report {shlex.quote(str(out))} --out page)",
        {"run": out, "metrics": summary.metrics, "warnings": run_warnings([out])},
    )


def trace(
    snapshot: Snapshot,
    model: Annotated[
        str, typer.Option(help="A folder or a name on the Hub.", show_default=False, autocompletion=complete_model)
    ],
    out: Out,
    set_: Annotated[
        list[str] | None,
        settings_option(
            "trace", "key=value: facts=50, draws=10, noise=3, window=10, dtype=bfloat16.", complete_trace_setting
        ),
    ] = None,
) -> None:
    """Find the layers and tokens at which a model looks up a snapshot's old facts: causal tracing, with a heat map.

    Example: chronofacts trace S --model R/model --out T
    """
    from chronofacts.flows.setting_keys import check_trace_words
    from chronofacts.schemas.files import check_out
    from chronofacts.schemas.manifest import read_manifest

    settings = parse_settings(set_ or [])
    read_manifest(snapshot)
    check_out(out)
    check_trace_words(settings)
    require_editing()
    show_progress(f"where does {model} look up the facts of {snapshot}?")
    require_model(model, settings.get("revision"))
    from chronofacts.editing.runs.trace_run import run_trace

    found = run_trace(snapshot, model, settings, out, logging.getLogger("chronofacts.trace").info)
    memit = f"{found.memit[0]} to {found.memit[-1]}"
    print_result(
        f"traced {found.facts} facts: rome would edit layer {found.rome[0]}, memit layers {memit}\n"
        f"heat map: {found.out / 'heat_map.png'}",
        {"out": found.out, "facts": found.facts, "rome": found.rome, "memit": found.memit},
    )


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, made by `experiment`.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to make for the page.", show_default=False)] = None,
) -> None:
    """Write runs as one self-contained HTML page with plots, and as Markdown.

    Example: chronofacts report R --out page
    """
    if out is not None:
        require_report()
    from chronofacts.editing.report import as_json as read_figures
    from chronofacts.editing.report import terminal_table, write_report

    page = write_report(runs, out) if out is not None else None
    if mode.as_json:
        if page is not None:
            print_error(f"report: {page}")
        return print_result("", read_figures(runs))
    print_result(f"report: {page}" if page is not None else terminal_table(runs), None)
