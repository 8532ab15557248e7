"""Where a model's knowledge ends, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from chronofacts.editing.metrics.staleness import Cutoff, Month

__all__ = ["describe_cutoff"]


def describe_cutoff(found: Sequence[Month], cutoff: Cutoff | None, model: str) -> str:
    """Where the knowledge of an unedited model seems to end; empty where no fact has a day."""
    if not found:
        return ""
    if cutoff is not None:
        return (
            f"By the dates of the facts alone, {model} knows the world until about {cutoff.day:%B %Y} "
            f"(95 %: {cutoff.low:%B %Y} to {cutoff.high:%B %Y}): it knows {cutoff.before:.0%} of what changed before, "
            f"and {cutoff.after:.0%} of what changed after."
        )
    new = sum(month.new * month.n for month in found) / sum(month.n for month in found)
    outdated, had_one = "", sum(month.outdated for month in found if month.old is not None)
    if had_one:
        old = sum(month.old * month.outdated for month in found if month.old is not None) / had_one
        outdated = f" and the outdated one to {old:.0%} of those that had one"
    return (
        f"Of the facts that changed from {found[0].day:%B %Y} to {found[-1].day:%B %Y}, {model} unedited gives "
        f"the new answer to {new:.0%}{outdated}; no day stands out at which its knowledge would end."
    )
