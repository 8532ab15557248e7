"""How a model is scored: the `--set scoring.…` keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chronofacts.schemas.errors import BadInput

__all__ = ["ScoringSettings"]


@dataclass(frozen=True)
class ScoringSettings:
    batch_size: int = 128
    """Rows that go through the model at once, at most."""
    batch_tokens: int = 16384
    """Tokens of a batch, padding included, at most: what bounds memory."""
    margin: int = 8
    """Tokens that a generated answer may be longer than the longest right one."""
    prefix: Literal["none", "dated", "few-shot"] = "none"
    """What stands before every question: nothing, the day it is asked on, or other questions with their answers."""
    cot: bool = False
    """Ask multi-hop questions also with worked examples that think aloud (chain of thought)."""
    thought: int = 64
    """Tokens that thinking aloud may take, answer included."""
    hops: bool = True
    """Ask also for each hop of a chain, and hop by hop with the model's own answers put in."""
    pressure: int = 0
    """Edit questions that are asked again under pressure, in four ways: after the outdated name, repeated, after "Is
    OLD the …?", after a true sentence about the past, as an objection; 0: none. Costs four questions a fact."""
    reasoning: int = 0
    """Questions over several facts that are asked by another name of their subject, and pairs of edits of which is
    asked whether they have the same answer; so many of each, at most."""
    dates: int = 0
    """Changes of which right and wrong dates are compared and of which is asked since when they hold, and questions
    of each kind that nobody can be named for (before, after, vacant, to come); 0: none. Needs mode=all or chunks."""
    fluency: int = 100
    """Facts of which the model writes freely for the n-gram entropy; 0: of none."""
    fluency_tokens: int = 100
    """As many tokens it writes then, and never ends before (Meng et al. 2022 take 100)."""
    perplexity: int = 500
    """Held-out sentences that the model reads; 0: none."""
    text: str | None = None
    """A file with one text a line, to be read in place of the snapshot's sentences."""
    lm_eval: tuple[str, ...] = ()
    """Tasks of lm-evaluation-harness to run on every model state."""
    lm_eval_path: str | None = None
    """A folder with tasks of your own, as `chronofacts export --format lm-eval` writes."""
    lm_eval_limit: int | None = None
    """Documents of each task, at most."""
    processes: int = 1
    """Processes that share the questions, one per GPU where there are several."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_tokens", "thought", "fluency_tokens", "processes"):
            if getattr(self, name) < 1:
                raise BadInput(f"scoring: {name} = {getattr(self, name)}; it must be at least 1")
        for name in ("margin", "fluency", "perplexity", "pressure", "reasoning", "dates"):
            if getattr(self, name) < 0:
                raise BadInput(f"scoring: {name} = {getattr(self, name)}; it cannot be below 0")
