"""The commands that only read snapshots: `inspect`, `verify` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chronofacts.flows.commands.arguments import Snapshot
from chronofacts.flows.output import mode, print_error, print_result
from chronofacts.schemas.errors import BadInput

__all__ = ["diff", "inspect", "verify"]


def inspect(
    snapshot: Snapshot,
    why: Annotated[
        str | None,
        typer.Option(help="Audit one entity: all that was kept and left out about this QID.", show_default=False),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="With --why: what Wikidata itself says of it now.")] = False,
    user_agent: Annotated[
        str, typer.Option(help="With --live: who asks, with your URL or e-mail.", envvar="CHRONOFACTS_USER_AGENT")
    ] = "",
    api: Annotated[
        str, typer.Option(help="With --live: the API that is asked.")
    ] = "https://www.wikidata.org/w/api.php",
) -> None:
    """Show what is in a snapshot: counts, examples, and what was left out and why.

    Example: chronofacts inspect S --why Q142
    """
    if live and why is None:
        raise BadInput("--live is about one entity; name it with --why, for example --why Q142 --live")
    if why is not None:
        return _show_entity(snapshot, why, api if live else None, user_agent)

    from chronofacts.pipeline.snapshots.summary import summarise

    found = summarise(snapshot)
    if mode.as_json:
        return print_result("", found.as_json())
    from chronofacts.flows.terminal import print_inspection

    print_inspection(found)


def _show_entity(snapshot: Path, qid: str, api: str | None, user_agent: str) -> None:
    """Print what a snapshot has of one entity, and what a wiki has now, where its API is given."""
    from chronofacts.flows.terminal import print_audit, print_now
    from chronofacts.pipeline.snapshots.entity_report import report_entity
    from chronofacts.pipeline.snapshots.live_check import check_live
    from chronofacts.pipeline.sources.wikibase_api import open_api

    findings, now = report_entity(snapshot, qid), None
    if api is not None:
        with open_api(api, user_agent) as wiki:
            now = check_live(snapshot, qid, wiki)
    if mode.as_json:
        rows = [finding._asdict() for finding in findings]
        return print_result("", rows if now is None else {"findings": rows, "now": [line._asdict() for line in now]})
    print_audit(qid, findings)
    if now is not None:
        print_now(qid, now)


def verify(snapshot: Snapshot) -> None:
    """Check a snapshot: sums, schemas, and every promise of the design. Exit 1 with what broke.

    Example: chronofacts verify S
    """
    from chronofacts.pipeline.snapshots.verify import invariants_for
    from chronofacts.pipeline.snapshots.verify import verify as find_problems
    from chronofacts.schemas.manifest import read_manifest

    problems = find_problems(snapshot)
    for problem in problems:
        print_error(f"broken: {problem}")
    if problems and mode.as_json:
        print_result("", {"snapshot": snapshot, "sound": False, "broken": problems})
    if problems:
        raise typer.Exit(1)
    checked = len(invariants_for(read_manifest(snapshot)))
    print_result(
        f"{snapshot} is sound ({checked} promises, every checksum)",
        {"snapshot": snapshot, "sound": True, "promises": checked, "broken": []},
    )


def diff(
    old: Annotated[Path, typer.Argument(help="The older snapshot.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The newer snapshot.", show_default=False)],
) -> None:
    """Tell two snapshots apart: how the world changed, and how Wikidata was corrected.

    Example: chronofacts diff OLD NEW --json
    """
    from chronofacts.pipeline.snapshots.compare import compare_snapshots, count_kinds
    from chronofacts.schemas.catalogue import load_catalogue
    from chronofacts.schemas.manifest import read_manifest

    relations = read_manifest(new).relations
    differences = compare_snapshots(old, new, load_catalogue().select(relations))
    if mode.as_json:
        return print_result("", {"counts": count_kinds(differences), "differences": differences.to_pylist()})
    from chronofacts.flows.terminal import print_differences

    print_differences(differences)
