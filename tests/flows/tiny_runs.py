"""Settings of runs that take seconds, and what of a run's files tells of the machine."""

from __future__ import annotations

COSTS = {"seconds", "scoring_seconds", "peak_memory_mb", "written_at"}

TINY = {
    "cache": "none",
    "scoring.hops": "false",
    "scoring.fluency": "2",
    "scoring.fluency_tokens": "8",
    "scoring.perplexity": "8",
    "world.vocabulary": "400",
    "world.hidden": "32",
    "world.feed_forward": "64",
    "world.steps": "20",
    "lora.epochs": "1",
}
