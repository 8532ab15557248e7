"""Weighing two answers against lm-evaluation-harness, on the task that we export, in one run on one machine.

    python -m benchmarks.harness_speed S [--model smollm2] [--documents 100]

S: a snapshot. `chronofacts export --format lm-eval` gives the harness a task that weighs the new answer of every edit
question against the old one; the same documents are scored by `teacher_force`. One thread, both sides by turns, the
median of five; processor seconds. The harness gets batches of `--batch-size`. Prints both
times, the ratio, the greatest difference of a log-likelihood, and both accuracies. Needs the extra `lm-eval`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, ROOT
from chronofacts.editing.models.chat import plain_tokenizer
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.load import load_model
from chronofacts.editing.scoring import teacher_force

TASK, RUNS, RATIO = "chronofacts_new_vs_old", 5, 1.5


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("snapshot", type=Path)
    asked.add_argument("--model", default="smollm2")
    asked.add_argument("--documents", type=int, default=100)
    asked.add_argument("--batch-size", type=int, default=16)
    given = asked.parse_args()
    torch.set_num_threads(1)
    print(MACHINE, flush=True)
    model, tokenizer = load_model(given.model, device="cpu", chat="no")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tasks"
        command = ["export", str(given.snapshot.absolute()), "--format", "lm-eval", "--out", str(folder)]
        subprocess.run([sys.executable, "-m", "chronofacts.flows.cli", *command], check=True, cwd=ROOT)
        documents = read_documents(folder)[: given.documents]
        theirs = run_harness(model, plain_tokenizer(tokenizer), folder, len(documents), given.batch_size)

        def ours() -> list[list[float]]:
            return weigh(model, tokenizer, documents)

        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(RUNS):
            for work, seconds in zip((theirs, ours), times, strict=True):
                began = time.process_time()
                work()
                seconds.append(time.process_time() - began)
        one, other = theirs(), ours()
    gap = max(abs(a - b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True))
    them, us = (statistics.median(seconds) for seconds in times)
    shares = [sum(pair[0] > pair[1] for pair in several) / len(several) for several in (one, other)]
    print(
        f"{len(documents)} documents, two answers each: the harness {them:.2f} s, ours {us:.2f} s, "
        f"{them / us:.1f} times as fast; log-likelihoods differ by {gap:.0e}; "
        f"accuracies {shares[0]:.3f}, {shares[1]:.3f}"
    )
    faster = them / us
    claim("two answers weighed: times as fast as lm-eval", f"{RATIO}", f"{faster:.1f}", faster >= RATIO and gap < 1e-2)


def read_documents(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob(f"**/{TASK}*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_harness(
    model: Any, tokenizer: Any, folder: Path, documents: int, batch: int
) -> Callable[[], list[list[float]]]:
    """A run of the harness, which gives the log-likelihoods of each document's answers."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    ids = tokenizer("x")["input_ids"]
    tasks = TaskManager(include_path=str(folder))
    harness = HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch, device="cpu",
        add_bos_token=bool(ids) and ids[0] == tokenizer.bos_token_id,
    )  # fmt: skip

    def run() -> list[list[float]]:
        found = lm_eval.simple_evaluate(
            model=harness, tasks=[TASK], limit=documents, bootstrap_iters=0, task_manager=tasks, log_samples=True
        )
        samples = sorted(found["samples"][TASK], key=lambda one: one["doc_id"])
        return [[float(pair[0][0]) for pair in one["resps"]] for one in samples]

    return run


def weigh(model: Any, tokenizer: Any, documents: list[dict[str, Any]]) -> list[list[float]]:
    """The same by our scoring: of each document the sums over its answers' tokens."""
    prompts = [f"Q: {one['question']} A:" for one in documents for _ in one["choices"]]
    rows = encode(tokenizer, prompts, [choice for one in documents for choice in one["choices"]])
    found = [
        -forced.nll * (row.end - row.start) for row, forced in zip(rows, teacher_force(model, rows, 64), strict=True)
    ]
    pairs = iter(found)
    return [[next(pairs) for _ in one["choices"]] for one in documents]


if __name__ == "__main__":
    main()
