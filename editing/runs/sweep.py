"""A grid of settings of one editor, tried in one run on one model, and the best of them.

`sweep="rank=4,8,16 layers=all,1"` is every combination. All members read the same wordings, so that the hidden states
of the frozen layers are computed once for all of them (`forward.hidden_state_cache`). Greedy exact match on samples
judges each member: the edits that it trained, wordings of them that it never saw, and facts that must not move. The
best has the highest harmonic mean of the three, as in Meng et al. 2022. The experiment scores the best alone in full.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.editors import EditBatch, EditorSettings, ModelCache, read_editor_settings
from chronofacts.editing.editors.trained.examples import (
    TrainingExample,
    choose_replay,
    encode_examples,
    make_examples,
    trained_prompts,
)
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.models.encoding import Encoded, form_of
from chronofacts.editing.options import nearest, option_names
from chronofacts.editing.runs.cost import Cost
from chronofacts.editing.training import TrainingFailed, find_recalled, share_recalled
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["SWEEP", "Member", "choose_best", "find_grid", "format_sweep", "read_grid", "sweep"]

MEASURES = {
    "edits": "share of the edits' main questions answered with the new value",
    "paraphrases": "the same in a wording that was not trained",
    "kept": "share of the sentences that no edit touches, known before, still answered as before",
}
SWEEP = pa.schema(
    [
        pa.field("member", pa.int32(), metadata={"doc": "index in the grid, from 0"}),
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
    """Its own settings, as `key=value` words."""
    editor: EditorSettings


def read_grid(text: str, editor: EditorSettings) -> tuple[Member, ...]:
    """Every combination of `key=a,b,c` words, each on top of the editor's own settings.

    Raises BadInput for a word that is no list, and for an option or value that the editor does not have.
    """
    known, axes = option_names(type(editor.settings)), dict[str, list[str]]()
    for word in text.split():
        key, sign, values = word.partition("=")
        axes[key] = [value for value in values.split(",") if value]
        if not sign or not axes[key]:
            raise BadInput(f"sweep: {word!r} is no key=value,value; {EXAMPLE}")
        if key not in known:
            raise BadInput(f"sweep: {editor.name} has no option {key!r}{nearest(key, known)}")
    if not axes:
        raise BadInput(f"sweep is empty; {EXAMPLE}")
    members = []
    for chosen in itertools.product(*axes.values()):
        point = dict(zip(axes, chosen, strict=True))
        read = read_editor_settings(editor.name, point, seed=0).settings
        config = replace(editor.settings, **{key: getattr(read, key) for key in point})
        words = " ".join(f"{key}={value}" for key, value in point.items())
        members.append(Member(words, replace(editor, settings=config)))
    return tuple(members)


def find_grid(editors: Sequence[EditorSettings], text: str) -> tuple[Member, ...]:
    """The grid of the first editor that trains. Raises BadInput as `read_grid`, and when none trains."""
    for editor in editors:
        if {"learning_rate", "wordings"} <= set(option_names(type(editor.settings))):
            return read_grid(text, editor)
    raise BadInput("sweep: no editor of this run trains anything; name lora, freeze, finetune or p-tuning")


def choose_best(
    editors: Sequence[EditorSettings], text: str, model: Any, tokenizer: Any, batch: EditBatch, out: Path
) -> tuple[EditorSettings, ...]:
    """The editors with the best member in place of the first that trains; writes `out / "sweep.parquet"`.

    The table of an interrupted run is read instead of made again.
    """
    grid, path = find_grid(editors, text), out / "sweep.parquet"
    swept = grid[0].editor.name
    if path.is_file():
        table = pq.read_table(path)
    else:
        batch.progress(f"sweep of {len(grid)} settings of {swept}")
        table = sweep(grid, model, tokenizer, batch)
        pq.write_table(table, path)
    for line in format_sweep(table).splitlines():
        batch.progress(line)
    best = grid[table["best"].to_pylist().index(True)].editor
    return tuple(best if editor.name == swept else editor for editor in editors)


def sweep(
    grid: Sequence[Member], model: Any, tokenizer: Any, batch: EditBatch, prefix_bytes: int = 4 << 30
) -> pa.Table:
    """`SWEEP`, one row per member in the grid's order; restores the model.

    prefix_bytes: most memory of the frozen layers' states, over all members. Raises CheckFailed when no member's loss
    stayed a number.
    """
    cache = ModelCache(hidden_states=HiddenStateCache(prefix_bytes))
    samples = _draw_samples(model, tokenizer, batch, grid)
    rows: list[dict[str, Any]] = []
    for number, member in enumerate(grid):
        figures = _try(member.editor, model, tokenizer, batch, samples, cache)
        blank = dict.fromkeys(SWEEP.names) | {"member": number, "settings": member.words, "score": 0.0, "best": False}
        rows.append(blank | figures)
        batch.progress(f"sweep {number + 1} of {len(grid)}: {member.words}, score {rows[-1]['score']:.2f}")
    if all(row["loss"] is None for row in rows):
        raise CheckFailed("no member of the sweep could be trained; lower learning_rate")
    max(rows, key=lambda row: row["score"])["best"] = True
    return pa.Table.from_pylist(rows, schema=SWEEP)


def format_sweep(table: pa.Table) -> str:
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
    editor: EditorSettings,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    samples: Mapping[str, Sequence[Encoded]],
    cache: ModelCache,
) -> dict[str, Any]:
    """One member's figures."""
    quiet = replace(batch, progress=lambda line: None)
    with Cost() as cost:
        try:
            edited = editor.method.edit(model, tokenizer, quiet, editor.settings, cache)
        except TrainingFailed:
            edited = None
    if edited is None:
        return {"seconds": cost.seconds}
    try:
        shares = {name: share_recalled(edited.model, examples) for name, examples in samples.items()}
    finally:
        edited.undo()
    return shares | {
        "score": _harmonic(shares.values()),
        "loss": edited.report.get("loss"),
        "trained_parameters": edited.report.get("trained_parameters"),
        "seconds": cost.seconds,
    }


def _draw_samples(model: Any, tokenizer: Any, batch: EditBatch, grid: Sequence[Member]) -> dict[str, list[Encoded]]:
    """The questions of each measure, the same for all members, at most `SAMPLE` each.

    `kept` holds only what the unedited model knows: nobody can keep the rest.
    """
    edits = batch.edits.slice(0, SAMPLE)
    configs = [member.editor.settings for member in grid]
    trained = {text for config in configs for text in trained_prompts(edits, config)}
    unseen = [
        TrainingExample(others[-1], form_of(others[-1]), answer)  # the last paraphrase is never trained
        for others, answer in zip(edits["paraphrases"].to_pylist(), edits["target_new"].to_pylist(), strict=True)
        if others and others[-1] not in trained
    ]
    stable = choose_replay(batch, 0, SAMPLE, seed=1)[1] if batch.sentences.num_rows else []
    examples = {"edits": make_examples(edits, ("prompt",), 0), "paraphrases": unseen, "kept": stable}
    samples = {name: encode_examples(model, tokenizer, several) for name, several in examples.items()}
    known = find_recalled(model, samples["kept"])
    samples["kept"] = [one for one, is_known in zip(samples["kept"], known, strict=True) if is_known]
    return {name: several for name, several in samples.items() if several}


def _harmonic(shares: Any) -> float:
    values = list(shares)
    return len(values) / sum(1 / value for value in values) if values and all(values) else 0.0
