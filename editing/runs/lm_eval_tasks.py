"""Tasks of lm-evaluation-harness on every model state: what the model still can do that no edit is about.

The harness is an extra (`pip install 'chronofacts[lm-eval]'`). Its own cache of answers, which does not tell models
apart, stays off. Perplexity does not need it (`scoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.schemas.errors import BadInput

__all__ = ["TaskFigure", "check_tasks", "run_tasks"]


RESAMPLES = 100
"""Of figures that have no closed form of their error; with none, the harness tells the error of no figure at all."""


@dataclass(frozen=True)
class TaskFigure:
    """One metric of one task."""

    value: float
    stderr: float | None
    """Standard error, where the harness knows one."""
    n: int
    """Documents."""


def check_tasks(settings: ScoringSettings) -> None:
    """Raises BadInput when tasks are wanted that cannot be run, before anything slow begins."""
    if not settings.lm_eval:
        return
    if find_spec("lm_eval") is None:
        raise BadInput(
            "scoring.lm_eval needs lm-evaluation-harness; install it with: pip install 'chronofacts[lm-eval]'"
        )
    known = set(_tasks(settings).all_tasks)
    for name in settings.lm_eval:
        if name not in known:
            raise BadInput(f"scoring.lm_eval: there is no task {name!r}; name its folder with scoring.lm_eval_path")


def run_tasks(
    model: Any, tokenizer: Any, settings: ScoringSettings, progress: Callable[[str], None] = lambda line: None
) -> Mapping[str, TaskFigure]:
    """`lm_eval:TASK:METRIC` -> figure; nothing without tasks, and for an editor that rewrites prompts.

    Such an editor (in-context, memory) answers through `rewrite`, which the harness does not call.
    """
    if not settings.lm_eval:
        return {}
    if hasattr(model, "rewrite") or not hasattr(model, "generate"):
        progress("lm-eval: left out, since this editor asks the model in its own way")
        return {}
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    progress(f"lm-eval: {', '.join(settings.lm_eval)}")
    model.eval()
    harness = HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size,
        add_bos_token=_puts_bos(tokenizer), device=str(next(model.parameters()).device),
    )  # fmt: skip
    found = lm_eval.simple_evaluate(
        model=harness,
        tasks=list(settings.lm_eval),
        limit=settings.lm_eval_limit,
        bootstrap_iters=RESAMPLES,
        log_samples=False,
        task_manager=_tasks(settings),
    )
    return _figures(found["results"], found["n-samples"])


def _tasks(settings: ScoringSettings) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=settings.lm_eval_path)


def _puts_bos(tokenizer: Any) -> bool:
    """Whether our own evaluation puts it before every text, so that the harness does the same."""
    ids = list(tokenizer("x")["input_ids"])
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def _figures(results: Mapping[str, Any], samples: Mapping[str, Any]) -> dict[str, TaskFigure]:
    figures = {}
    for task, values in results.items():
        for key, value in values.items():
            name, _, filtered = key.partition(",")
            if isinstance(value, int | float) and not name.endswith("_stderr") and filtered:
                error = values.get(f"{name}_stderr,{filtered}")
                count = int(samples.get(task, {}).get("effective", 0))
                stderr = float(error) if isinstance(error, int | float) else None
                figures[f"lm_eval:{task}:{name}"] = TaskFigure(float(value), stderr, count)
    return figures
