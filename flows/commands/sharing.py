"""The commands by which snapshots go to others and come from them: `export`, `import` and `publish`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import Out, Snapshot, require_editing
from chronofacts.flows.commands.completion import JUDGE, complete_export, complete_import, complete_model
from chronofacts.flows.commands.reach import require_hub, require_model
from chronofacts.flows.commands.works import run_work
from chronofacts.flows.output import print_result, show_progress
from chronofacts.schemas.errors import BadInput

__all__ = ["export", "import_", "publish"]

_IMPORTED = ("edits", "questions", "rejections")
"""Tables whose rows `import` counts."""


def export(
    snapshot: Snapshot,
    out: Out,
    format: Annotated[
        str,
        typer.Option(help="easyedit, mquake, lm-eval or judge.", show_default=False, autocompletion=complete_export),
    ],
    judge: Annotated[
        str,
        typer.Option(
            help="With --format judge: a model that judges here, which writes verdicts.jsonl too.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = "",
) -> None:
    """Write a snapshot in the format of another tool: EasyEdit, MQuAKE or lm-evaluation-harness.

    With --format judge: the answers of a run, R, or of its folder of scores, each with its question, the right answers
    and the prompt for a judge. What the judge says of them comes back by `import --format judge`.

    Example: chronofacts export S --format lm-eval --out tasks

    Example: chronofacts export R --format judge --out to-judge
    """
    if format == JUDGE:
        return _export_answers(snapshot, out, judge)
    if judge:
        raise BadInput("--judge is for --format judge")
    show_progress(f"{snapshot} as {format}, to {out}")
    from chronofacts.pipeline.exchange import export_snapshot

    written = export_snapshot(snapshot, format, out)
    print_result("\n".join(f"wrote {path}" for path in written), {"files": written})


def _export_answers(run: Path, out: Path, judge: str) -> None:
    """Answers to be judged, and a model's verdicts on them where one is named."""
    from chronofacts.editing.judging.items import export_items

    show_progress(f"answers of {run} to be judged, to {out}")
    if judge:
        require_editing()
        require_model(judge)
        from chronofacts.editing.judging.local_judge import judge_locally

        files, count = export_items(run, out, lambda folder: judge_locally(run, judge, folder, show_progress))
    else:
        files, count = export_items(run, out)
    wrote = "\n".join(f"wrote {path}" for path in files)
    print_result(f"{wrote}\n{count} answers", {"files": files, "answers": count})


def _import_verdicts(file: Path, run: Path) -> None:
    from chronofacts.editing.judging.verdicts import import_verdicts

    found = import_verdicts(file, run)
    judged = ", ".join(f"{judge}: {count}" for judge, count in found.judges.items())
    print_result(
        f"verdicts of {judged}; {found.unclear} neither yes nor no, {found.repeated} said again, {found.others} about "
        f"answers that {run} does not have; {found.before} were there before, {found.replaced} of them "
        f"replaced   (next: chronofacts report {shlex.quote(str(run))} --out page)",
        {"run": run, **found._asdict()},
    )


def import_(
    file: Annotated[Path, typer.Argument(help="The benchmark's .json or .jsonl file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Snapshot folder to make; with judge: the run.", show_default=False)],
    format: Annotated[
        str,
        typer.Option(
            help="easyedit, mquake, counterfact, zsre, rippleedits, wikibigedit, qaedit, wikifactdiff, facts or judge.",
            show_default=False,
            autocompletion=complete_import,
        ),
    ],
    since: Annotated[str, typer.Option(help="Day of the old answers, YYYY-MM-DD. Default: the format's.")] = "",
    as_of: Annotated[str, typer.Option(help="Day of the new answers, YYYY-MM-DD. Default: the format's.")] = "",
) -> None:
    """Read an established benchmark into the tables of a snapshot, so that every editor runs on it.

    With --format judge: verdicts on the answers of a run, which the report shows beside exact match.

    Example: chronofacts import MQuAKE-T.json --format mquake --out S

    Example: chronofacts import verdicts.jsonl --format judge --out R
    """
    if format == JUDGE:
        if since or as_of:
            raise BadInput("--since and --as-of are for snapshots; verdicts have no days")
        return _import_verdicts(file, out)
    from chronofacts.schemas.dates import parse_day

    first = parse_day(since, "--since") if since else None
    second = parse_day(as_of, "--as-of") if as_of else None
    from chronofacts.pipeline.exchange import import_snapshot

    manifest = import_snapshot(file, format, out, first, second)
    counts = {name: sum(e.rows for f, e in manifest.files.items() if f.startswith(f"{name}/")) for name in _IMPORTED}
    counted = ", ".join(f"{rows} {name}" for name, rows in counts.items())
    print_result(f"snapshot: {out} ({counted})", {"snapshot": out, "rows": counts})


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
    base_answers: Annotated[
        list[Path] | None,
        typer.Option(
            help="Publish a model's base answers too: the --out of `stale`, or a run of `experiment`.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Publish the sample too, whose facts are not read from Wikidata.")
    ] = False,
) -> None:
    """Publish a snapshot to the Hugging Face Hub: one commit, tagged with its day, read back afterwards.

    Log in first: `hf auth login`, or HF_TOKEN. Publishing again is safe and does only what is missing.
    With --adapter: a LoRA adapter that was trained on the snapshot, as a model whose card names its facts.

    Example: chronofacts publish S --repo my-org/what-changed --dry-run

    Example: chronofacts publish S --repo my-org/llama-2025 --adapter R/adapters/lora
    """
    from chronofacts.pipeline.publishing.contents import BaseAnswers
    from chronofacts.pipeline.publishing.hub import PublishSettings, check_options
    from chronofacts.schemas.manifest import read_manifest
    from chronofacts.schemas.redact import redact

    manifest = read_manifest(snapshot)  # before anything slow starts
    if manifest.curated and not (yes or dry_run):
        raise BadInput(
            f"{snapshot} is made from the sample, whose facts were written by hand and not read from Wikidata; "
            "take --yes to publish it all the same, or --source wdqs for facts of Wikidata"
        )
    if base_model and adapter is None:
        raise BadInput("--base-model says what an adapter belongs to; give --adapter RUN/adapters/lora too")
    if base_answers and adapter is not None:
        raise BadInput("--base-answers go with a snapshot, and --adapter publishes a model; publish them one by one")
    answers = [BaseAnswers(run) for run in base_answers or ()]
    for one in answers:
        one.file(snapshot)
    settings = PublishSettings(endpoint, private, force_tag, dry_run)
    api = check_options(repo, settings)
    show_progress(f"{'what would be sent' if dry_run else 'sending'} to {repo} at {redact(api.endpoint)}")
    require_hub(api.endpoint)
    from chronofacts.flows.publish import publish as send
    from chronofacts.flows.publish import publish_adapter

    if adapter is not None:
        sent = run_work(publish_adapter, adapter, snapshot, repo, base_model, settings)
        lines, url, commit = sent.lines(), sent.url, sent.commit
    else:
        published = run_work(send, snapshot, repo, settings, (), answers)
        lines, url, commit = published.plan.lines(), published.url, published.commit
    needs_yes = manifest.curated and not yes
    result = {"plan": lines, "dry_run": dry_run, "needs_yes": needs_yes, "url": url, "commit": commit}
    last = [] if dry_run else [f"published: {url}"]
    if needs_yes:
        last.append("to send it, add --yes: the facts of the sample were written by hand and not read from Wikidata")
    print_result("\n".join([*lines, *last]), result)
