"""LoRA on a GPU with a model of 7 B shape and random weights, which speed does not mind.

    python -m benchmarks.editing_gpu                       on a GPU: 1,000 edits, rank 16 on all linear layers
    python -m benchmarks.editing_gpu --shape tiny --edits 32 --epochs 2       anywhere: does it run?

Prints the machine, the sizes, facts per second, the share of the bfloat16 matrix rate that is measured on the same
device just before, and the peak memory. Operations are counted as 4 per frozen parameter and token that the texts have
(forward, and backward to what enters) plus the vocabulary head where an answer is scored: the same count whether a
shared beginning was read once or many times, and a second share counts only the tokens that were really read.
"""

import argparse
import random
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.editing_speed import make_facts, make_tokenizer
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.load import find_blocks, find_linears
from chronofacts.editing.runs.cost import Cost, describe_machine
from chronofacts.editing.training import TrainingReport, TrainingSettings, train

SHAPES = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "tiny": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="7b")
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rows-at-once", type=int, help="of a batch; none: all of it")
    parser.add_argument("--top", type=float, default=1.0, help="share of the layers, from the top, that get adapters")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = [several[0] for several in make_facts(random.Random(0), arguments.edits)]
    tokenizer = make_tokenizer([f"{prompt} {answer}" for prompt, answer in facts])
    examples = encode(tokenizer, [prompt for prompt, _ in facts], [answer for _, answer in facts])
    model = make_model(arguments.shape, device)
    rate = matrix_rate(model.config.hidden_size, device)
    print(describe_machine())
    print(f"{model.num_parameters():,} parameters, {model.dtype}; {len(examples)} facts, batches of {arguments.batch}")
    print(f"matrix rate in bfloat16: {rate / 1e12:.3g} TFLOPS")
    blocks = len(find_blocks(model)[1])
    layers = range(blocks - round(blocks * arguments.top), blocks)
    targets = find_linears(model, "all", layers)
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
    settings = TrainingSettings(
        steps=arguments.epochs * -(-arguments.edits // arguments.batch),
        batch_size=arguments.batch,
        learning_rate=2e-4,
        weight_decay=0.0,
        rows_at_once=arguments.rows_at_once,
    )
    train(adapted, examples, TrainingSettings(**{**vars(settings), "steps": 2}))  # the first launches compile kernels
    with Cost() as cost:
        report = train(adapted, examples, settings, progress=print)
    say(report, cost, len(examples), operations(adapted, examples, report, len(layers)), rate)


def make_model(shape: str, device: torch.device) -> Any:
    """Random weights in bfloat16 on a GPU, in float32 elsewhere; the vocabulary of Llama 2 or a small one."""
    vocabulary = 32000 if shape == "7b" else 4096
    config = LlamaConfig(vocab_size=vocabulary, pad_token_id=0, bos_token_id=1, eos_token_id=2, **SHAPES[shape])
    torch.manual_seed(0)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        with device:
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def matrix_rate(width: int, device: torch.device) -> float:
    """Operations per second of a square bfloat16 product of at least the model's width: the best of several."""
    side = max(width, 8192 if device.type == "cuda" else 512)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(8):
        synchronize(device)
        begun = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - begun))
    return best


def operations(model: Any, examples: list[Encoded], report: TrainingReport, layers: int) -> float:
    """Per token given; see the module's text. Layers below the adapters are not counted: their output is cached."""
    block = find_blocks(model)[1][-1]
    frozen = sum(p.numel() for p in block.parameters() if p.dim() == 2 and not p.requires_grad) * layers
    scored = sum(len(one.ids) - one.start for one in examples) / sum(len(one.ids) for one in examples)
    head = model.get_output_embeddings().weight.numel() * scored
    return 4 * (frozen + head) * report.tokens_given


def say(report: TrainingReport, cost: Cost, facts: int, counted: float, rate: float) -> None:
    read = report.tokens / report.tokens_given
    print(f"{report.steps} steps in {cost.seconds:.2f} s: {facts / cost.seconds:.2f} facts/s")
    print(f"tokens read: {report.tokens:,} of {report.tokens_given:,} given; layers kept: {report.kept_layers}")
    share = counted / cost.seconds / rate
    print(f"share of the matrix rate: {share:.3f} by the tokens given, {share * read:.3f} by the tokens read")
    print(f"peak memory: {cost.peak_mb / 1024:.2f} GiB")


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
