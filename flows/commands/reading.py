"""The commands that only read snapshots: `inspect`, `verify` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.arguments import Snapshot
from flows.output import fail, mode, tell

__all__ = ["diff", "inspect", "verify"]


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
