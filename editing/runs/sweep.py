"""A grid of settings of one editor, tried in one run on one model, and the best of them.

`sweep="rank=4,8,16 layers=all,1"` is every combination. All members read the same wordings, so that what the frozen
layers give is computed once for all of them (`forward.hidden_state_cache`). Each is judged on samples by greedy exact
match: the edits it was trained on, wordings of them that it never saw, and facts that must not move; the best has the
highest harmonic mean of the three, as in Meng et al. 2022. Leaves out the full scoring (`scoring`), which the best
alone is given.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.editors import Material, Plan, make_plan
from chronofacts.editing.editors.trained.examples import Lesson, edit_lessons, replay_lessons
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.models.encoding import Encoded, encode, form_of
from chronofacts.editing.models.load import context_length
from chronofacts.editing.options import nearest, option_names
from chronofacts.editing.runs.cost import Cost
from chronofacts.editing.runs.results import ExperimentSettings, Prepared
from chronofacts.editing.training import TrainingFailed, recalled, share_recalled
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["SWEEP", "Member", "planned_grid", "read_grid", "sweep", "sweep_plans", "sweep_table"]

MEASURES = {
    "edits": "share of the edits' main questions answered with the new value",
    "paraphrases": "the same in a wording that was not trained",
    "kept": "share of the sentences that no edit touches, known before, still answered as before",
}
SWEEP = pa.schema(
    [
        pa.field("member", pa.int32(), metadata={"doc": "place in the grid, from 0"}),
        pa.field("settings", pa.string(), metadata={"doc": "key=value words, joined by spaces"}),
        *(pa.field(name, pa.float64(), metadata={"doc": doc}) for name, doc in MEASURES.items()),
        pa.field("score", pa.float64(), metadata={"doc": "harmonic mean of the three"}),
        pa.field("loss", pa.float64(), metadata={"doc": "of the last pass; null after a loss that was no number"}),
        pa.field("trained_parameters", pa.int64(), metadata={"doc": "of the adapter or the weights"}),
        pa.field("seconds", pa.float64(), metadata={"doc": "of editing"}),
        pa.field("best", pa.bool_(), metadata={"doc": "the first with the highest score"}),
    ]
)
EXAMPLE = "write for example sweep='rank=4,8 layers=all,1'"
SAMPLE = 400  # questions per measure: a share within about 0.05 of the whole's


@dataclass(frozen=True)
class Member:
    """One point of the grid."""

    words: str
    """What sets it apart, as `key=value` words."""
    plan: Plan


def read_grid(text: str, plan: Plan) -> tuple[Member, ...]:
    """Every combination of `key=a,b,c` words, as settings of this editor that is otherwise as planned.

    Raises BadInput for a word that is no list, and for an option or value that the editor does not have.
    """
    known, axes = option_names(type(plan.config)), dict[str, list[str]]()
    for word in text.split():
        key, sign, values = word.partition("=")
        axes[key] = [value for value in values.split(",") if value]
        if not sign or not axes[key]:
            raise BadInput(f"sweep: {word!r} is no key=value,value; {EXAMPLE}")
        if key not in known:
            raise BadInput(f"sweep: {plan.name} has no option {key!r}{nearest(key, known)}")
    if not axes:
        raise BadInput(f"sweep is empty; {EXAMPLE}")
    members = []
    for chosen in itertools.product(*axes.values()):
        point = dict(zip(axes, chosen, strict=True))
        read = make_plan(plan.name, point, seed=0).config
        config = replace(plan.config, **{key: getattr(read, key) for key in point})
        members.append(Member(" ".join(f"{key}={value}" for key, value in point.items()), replace(plan, config=config)))
    return tuple(members)


def planned_grid(settings: ExperimentSettings) -> tuple[Member, ...]:
    """The grid of the run's first editor that trains. Raises BadInput as `read_grid`, and when none trains."""
    for plan in settings.plans:
        if {"learning_rate", "wordings"} <= set(option_names(type(plan.config))):
            return read_grid(settings.run.sweep or "", plan)
    raise BadInput("sweep: no editor of this run trains anything; name lora, freeze, finetune or p-tuning")


def sweep_plans(settings: ExperimentSettings, prepared: Prepared, material: Material, out: Path) -> ExperimentSettings:
    """The settings with the best member in place of the first editor that trains; writes `out / "sweep.parquet"`.

    A table that is there already, of a run that was interrupted, is taken as it is.
    """
    grid, path = planned_grid(settings), out / "sweep.parquet"
    swept = grid[0].plan.name
    if path.is_file():
        table = pq.read_table(path)
    else:
        material.progress(f"sweep of {len(grid)} settings of {swept}")
        table = sweep(grid, prepared.model, prepared.tokenizer, material)
        pq.write_table(table, path)
    for line in sweep_table(table).splitlines():
        material.progress(line)
    best = grid[table["best"].to_pylist().index(True)].plan
    return replace(settings, plans=tuple(best if plan.name == swept else plan for plan in settings.plans))


def sweep(
    grid: Sequence[Member], model: Any, tokenizer: Any, material: Material, prefix_bytes: int = 4 << 30
) -> pa.Table:
    """`SWEEP`, one row per member in the grid's order; the model is afterwards as before.

    prefix_bytes: for what the frozen layers give, over all members. Raises CheckFailed when no member's loss stayed a
    number.
    """
    store, asked = HiddenStateCache(prefix_bytes), _questions(model, tokenizer, material, grid)
    rows: list[dict[str, Any]] = []
    for number, member in enumerate(grid):
        figures = _try(member.plan, model, tokenizer, replace(material, prefix=store), asked)
        blank = dict.fromkeys(SWEEP.names) | {"member": number, "settings": member.words, "score": 0.0, "best": False}
        rows.append(blank | figures)
        material.progress(f"sweep {number + 1} of {len(grid)}: {member.words}, score {rows[-1]['score']:.2f}")
    if all(row["loss"] is None for row in rows):
        raise CheckFailed("no member of the sweep could be trained; lower learning_rate")
    max(rows, key=lambda row: row["score"])["best"] = True
    return pa.Table.from_pylist(rows, schema=SWEEP)


def sweep_table(table: pa.Table) -> str:
    """The table as a person reads it, the best marked."""
    width = max(len("settings"), *(len(text) for text in table["settings"].to_pylist()))
    lines = [f"  {'settings':{width}}  edits  paraphrases  kept  score    loss  seconds"]
    for row in table.to_pylist():
        figures = f"{row['edits'] or 0:5.2f}  {row['paraphrases'] or 0:11.2f}  {row['kept'] or 0:4.2f}"
        loss = "  no number" if row["loss"] is None else f"{row['loss']:6.3f}"
        mark = "*" if row["best"] else " "
        lines.append(f"{mark} {row['settings']:{width}}  {figures}  {row['score']:5.2f}  {loss}  {row['seconds']:7.1f}")
    return "\n".join([*lines, "* best"])


def _try(
    plan: Plan, model: Any, tokenizer: Any, material: Material, asked: Mapping[str, Sequence[Encoded]]
) -> dict[str, Any]:
    """One member's figures."""
    with Cost() as cost:
        try:
            edited = plan.editor.edit(model, tokenizer, replace(material, progress=lambda line: None), plan.config)
        except TrainingFailed:
            edited = None
    if edited is None:
        return {"seconds": cost.seconds}
    try:
        shares = {name: share_recalled(edited.model, examples) for name, examples in asked.items()}
    finally:
        edited.undo()
    return shares | {
        "score": _harmonic(shares.values()),
        "loss": edited.report.get("loss"),
        "trained_parameters": edited.report.get("trained_parameters"),
        "seconds": cost.seconds,
    }


def _questions(model: Any, tokenizer: Any, material: Material, grid: Sequence[Member]) -> dict[str, list[Encoded]]:
    """What members are asked, the same for all: no more than `SAMPLE` per measure.

    Kept is only what the untouched model knows: nobody can keep the rest.
    """

    def tokens(lessons: Sequence[Lesson]) -> list[Encoded]:
        prompts, answers = [one.prompt for one in lessons], [one.answer for one in lessons]
        return encode(tokenizer, prompts, answers, context_length(model))

    edits = material.edits.slice(0, SAMPLE)
    configs = [member.plan.config for member in grid]
    trained = {one.text for config in configs for one in edit_lessons(edits, config.wordings, config.paraphrases)}
    unseen = [
        Lesson(others[-1], form_of(others[-1]), answer)  # the last paraphrase is never trained (`trained.examples`)
        for others, answer in zip(edits["paraphrases"].to_pylist(), edits["target_new"].to_pylist(), strict=True)
        if others and others[-1] not in trained
    ]
    stable = tokens(replay_lessons(material, 0, SAMPLE, seed=1)) if material.sentences.num_rows else []
    asked = {"edits": tokens(edit_lessons(edits, ("prompt",), 0)), "paraphrases": tokens(unseen)}
    known = [example for example, right in zip(stable, recalled(model, stable), strict=True) if right]
    return {name: examples for name, examples in {**asked, "kept": known}.items() if examples}


def _harmonic(shares: Any) -> float:
    values = list(shares)
    return len(values) / sum(1 / value for value in values) if values and all(values) else 0.0
