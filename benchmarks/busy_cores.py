"""What one other busy program costs a run: the same work alone and beside it, with threads that sleep or spin.

    python -m benchmarks.busy_cores [--work small-world smollm2] [--threads 1 2] [--waiting ours sleeping spinning]

small-world: a model of the demo's shape is trained, scored and made to write. smollm2: random weights
of SmolLM2's shape, scored and trained for a step. Every run is a process of its own; of several the fastest counts.
Prints the machine and its load before, seconds of the clock and of the processor, the ratio, and whether all runs gave
the same numbers, whatever the number of threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from benchmarks.claims import claim

SHAPES: dict[str, dict[str, int]] = {
    "small-world": {
        "vocab_size": 6144, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "smollm2": {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3,
    },
}  # fmt: skip
FACTS = {"small-world": 256, "smollm2": 48}
STEPS = {"small-world": 80, "smollm2": 1}
WAITING = {"ours": {}, "sleeping": {"GOMP_SPINCOUNT": "0"}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
"""How waiting threads wait: as ChronoFacts sets it, at once asleep, and as GCC's OpenMP does by itself."""
BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--waiting", nargs="+", choices=list(WAITING), default=list(WAITING))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="do the work in this process and print its figures")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(measure(arguments.work[0], arguments.threads[0], arguments.waiting == ["ours"])))
        return
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load before: {load:.1f}" + (" (not idle: see processor seconds)" * (load > 0.3)))
    for work in arguments.work:
        digests = set()
        for threads in arguments.threads:
            for waiting in arguments.waiting if threads > 1 else ("ours",):
                alone, beside = compare(work, threads, waiting, arguments.runs)
                digests |= {alone["digest"], beside["digest"]}
                print(
                    f"{work:12} {threads} threads, {waiting}: alone {alone['seconds']:.2f} s "
                    f"({alone['processor']:.2f} of the processor), beside a busy program {beside['seconds']:.2f} s "
                    f"({beside['processor']:.2f}), ratio {beside['seconds'] / alone['seconds']:.2f}"
                )
                sys.stdout.flush()
                if waiting == "ours":
                    ratio = beside["seconds"] / alone["seconds"]
                    what = f"{work} with {threads} thread{'s' * (threads > 1)} beside a busy program: times as long"
                    claim(what, "at most 2.2", f"{ratio:.2f}", ratio <= 2.2)
        print(f"{work:12} " + ("all runs gave the same numbers" if len(digests) == 1 else "NUMBERS DIFFER"))


def compare(work: str, threads: int, waiting: str, runs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fastest run alone, and the fastest beside one busy program; both take turns."""
    alone, beside = [], []
    for _ in range(runs):
        alone.append(start(work, threads, waiting))
        with busy_program():
            beside.append(start(work, threads, waiting))
    return min(alone, key=lambda run: run["seconds"]), min(beside, key=lambda run: run["seconds"])


def start(work: str, threads: int, waiting: str) -> dict[str, Any]:
    """The work in a process of its own."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.busy_cores",
        "--once",
        "--work",
        work,
        "--threads",
        str(threads),
        "--waiting",
        waiting,
    ]
    done = subprocess.run(
        command, env=os.environ | WAITING[waiting], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@contextmanager
def busy_program() -> Iterator[None]:
    program = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def measure(work: str, threads: int, watched: bool) -> dict[str, Any]:
    """Seconds of the clock and of the processor, and a hash of every number that came out.

    watched: threads sleep once others want the cores, as in every command.
    """
    import chronofacts.editing  # noqa: F401, I001 - before torch, whose threads it settles

    import torch
    from benchmarks.editing_speed import make_facts, make_tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    from chronofacts.editing.busy_cores import sleep_beside_others
    from chronofacts.editing.models.encoding import encode
    from chronofacts.editing.models.load import model_hash
    from chronofacts.editing.scoring import generate, teacher_force
    from chronofacts.editing.training import TrainingSettings, train

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    facts = [several[0] for several in make_facts(random.Random(0), FACTS[work])]
    tokenizer = make_tokenizer([f"{prompt} {answer}" for prompt, answer in facts])
    texts = encode(tokenizer, [prompt for prompt, _ in facts], [answer for _, answer in facts])
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(pad_token_id=0, bos_token_id=1, eos_token_id=2, **SHAPES[work])).eval()
    clock, processor = time.perf_counter(), time.process_time()
    with sleep_beside_others() if watched else nullcontext():
        said: list[Any] = [one.nll for one in teacher_force(model, texts, 128)]
        said += generate(model, tokenizer, [text.prompt for text in texts[: len(texts) // 4]], 8, to_the_end=True)
        said.append(train(model, texts, TrainingSettings(steps=STEPS[work], batch_size=32)).loss)
        said += [one.nll for one in teacher_force(model, texts, 128)]
    seconds, used = time.perf_counter() - clock, time.process_time() - processor
    digest = hashlib.sha256(repr([*said, model_hash(model)]).encode()).hexdigest()[:16]
    return {"seconds": seconds, "processor": used, "digest": digest}


if __name__ == "__main__":
    main()
