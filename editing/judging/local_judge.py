"""A causal model on this machine as judge: is "yes" likelier than "no" after the judging prompt?

The likelihoods are compared rather than a text generated, so that there is always a verdict and nothing is sampled. The
judge's name holds the hash of its weights: two models of one name are two judges.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from chronofacts.editing.judging.items import Item, list_items, read_scores, write_prompt
from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.models.load import context_length, load_model, model_hash
from chronofacts.editing.scoring.teacher_forcing import teacher_force
from chronofacts.editing.threads import fit_threads, threads_restored
from chronofacts.schemas.errors import BadInput

__all__ = ["judge_locally"]

BATCH = 32


@threads_restored()
def judge_locally(
    source: Path, model: str, out: Path, progress: Callable[[str], None] = lambda line: None
) -> tuple[Path, int]:
    """Write a model's verdicts on every answer of a run, or of a folder of scores, as `verdicts.jsonl` in out.

    out: a folder that is there. Answers with the same prompt are judged once. Returns the file and the number of
    verdicts. Raises BadInput for a model that cannot be loaded and where a prompt is longer than its context.
    """
    items: dict[str, Item] = {}
    for table in read_scores(source):
        for item in list_items(table):
            items.setdefault(item.prompt_hash, item)
    progress(f"judge: loading {model}")
    loaded, tokenizer = load_model(model)
    fit_threads(loaded.num_parameters())
    judge = f"{Path(model).name} {model_hash(loaded)}"
    several = list(items.values())
    prompts = [render(write_prompt(item.question, item.gold, item.answer), "question") for item in several]
    words = ["yes"] * len(several) + ["no"] * len(several)
    try:
        encoded = encode(tokenizer, [*prompts, *prompts], words, context_length(loaded))
    except BadInput as error:
        raise BadInput(f"the judge {model} cannot read what it is to judge: {error}; take a model that can") from error
    progress(f"judge: {len(several)} answers to be judged")
    likelihoods = teacher_force(loaded, encoded, BATCH)
    yes, no = likelihoods[: len(several)], likelihoods[len(several) :]
    file = out / "verdicts.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for item, one, other in zip(several, yes, no, strict=True):
            row = {
                "question": item.question, "gold": item.gold, "answer": item.answer,
                "verdict": "yes" if one.nll < other.nll else "no", "judge": judge, "prompt_hash": item.prompt_hash,
            }  # fmt: skip
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return file, len(several)
