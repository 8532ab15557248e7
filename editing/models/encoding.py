"""Prompts and answers as tokens: one form of question, one seam between prompt and answer, right padding.

Every other module works on `Encoded`, so that training, teacher forcing and free generation all see the same
prompt tokens, behind a chat template too (`chat`). Leaves out the template itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import commonprefix
from typing import Any

import torch

from chronofacts.editing.models.chat import ChatTokenizer, Marks
from chronofacts.editing.models.control_tokens import control_tokens, encode_plain, plain_tokens
from chronofacts.schemas.errors import BadInput

__all__ = [
    "Batch",
    "Encoded",
    "batches_by_length",
    "common_length",
    "encode",
    "form_of",
    "marks_of",
    "pad",
    "prompt_length",
    "render",
]

SENTENCE_ENDS = tuple("?？؟;.!。！…")
CLOSING = "\"'”’»)）]」』 "


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt with one answer: `ids[:start]` is the prompt, `ids[start:end]` the answer, `ids[end:]` its EOS."""

    ids: tuple[int, ...]
    start: int
    end: int
    merged: bool = False
    """The tokenizer would have merged across the seam; prompt and answer were encoded apart."""

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.ids[: self.start]

    def after(self, length: int) -> Encoded:
        """The same without its first tokens, of which none is the answer's."""
        return Encoded(self.ids[length:], self.start - length, self.end - length, self.merged) if length else self


@dataclass(frozen=True)
class Batch:
    """Several `Encoded`, padded on the right: a causal model never looks there, so no mask is needed."""

    ids: torch.Tensor  # (rows, length) int64
    labels: torch.Tensor  # (rows, length) int64; the id itself where it is scored, else -100
    first: int  # no position before this one is scored


def form_of(text: str, kind: str = "") -> str:
    """`cloze` for a sentence to be completed, `question` for anything that ends as a sentence does.

    Benchmarks whose edits are clozes (CounterFact, KnowEdit in part) have them as questions of every kind.
    """
    if kind == "cloze":
        return "cloze"
    return "question" if text.rstrip().rstrip(CLOSING).endswith(SENTENCE_ENDS) else "cloze"


def render(text: str, form: str) -> str:
    """The prompt of a question or a cloze, up to the answer (which follows after one space)."""
    return text.rstrip() if form == "cloze" else f"Q: {text} A:"


def encode(tokenizer: Any, prompts: Sequence[str], answers: Sequence[str], context: int | None = None) -> list[Encoded]:
    """Prompt, space, answer, EOS as tokens, encoded together and split at the seam.

    Behind a chat template the prompt is the user's turn, the answer the assistant's, and what ends that turn its EOS.

    The split is where the prompt's own tokens end; a tokenizer that merges characters of both sides gives the prompt's
    own tokens followed by those of the answer alone, since free generation starts from the prompt's tokens too.
    Names that contain a special token's spelling ("</s>") are encoded as plain text.
    Raises BadInput for a text longer than `context` tokens or an empty answer.
    """
    chat = tokenizer if isinstance(tokenizer, ChatTokenizer) else None
    lead = [] if chat else _lead(tokenizer)
    plain = partial(encode_plain, tokenizer, tokens=control_tokens(chat.plain if chat else tokenizer))
    said = [f"{chat.seam if chat else ' '}{answer}" for answer in answers]
    if chat:
        prompt_ids, joint_ids = chat.tokens(prompts, [""] * len(prompts)), chat.tokens(prompts, said)
    else:
        prompt_ids = plain(list(prompts))
        joint_ids = plain([f"{prompt}{answer}" for prompt, answer in zip(prompts, said, strict=True)])
    tail = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    encoded = []
    for prompt, answer, own, joint in zip(prompts, said, prompt_ids, joint_ids, strict=True):
        if not answer.strip():
            raise BadInput(f"the prompt {prompt[:80]!r} has an empty answer; drop it from the table")
        merged = joint[: len(own)] != own or len(joint) == len(own)
        ids = [*lead, *(own + plain([answer])[0] if merged else joint)]
        if context is not None and len(ids) + 1 > context:
            around = " with its chat template (--set chat=no asks without it)" if chat else ""
            raise BadInput(
                f"{prompt[:80]!r} and its answer have {len(ids) + 1} tokens{around}, more than the model's context of "
                f"{context}; take a model with a longer one"
            )
        encoded.append(Encoded(tuple(ids + tail), len(lead) + len(own), len(ids), merged))
    return encoded


def prompt_length(tokenizer: Any, prompt: str) -> int:
    """How many tokens the model reads of a prompt before its answer, a chat template with them."""
    if isinstance(tokenizer, ChatTokenizer):
        return len(tokenizer.tokens([prompt], [""])[0])
    return len(tokenizer(prompt)["input_ids"])


def marks_of(tokenizer: Any, prompt: str) -> Marks:
    """The prompt as `encode` reads it, and where its tokens lie; needs a fast tokenizer."""
    if isinstance(tokenizer, ChatTokenizer):
        return tokenizer.marks(prompt)
    return Marks(prompt, plain_tokens(tokenizer, prompt, control_tokens(tokenizer))[1], 0, len(prompt))


def pad(rows: Sequence[Encoded], answer_only: bool, device: torch.device | str, with_end: bool = True) -> Batch:
    """Rows as one batch. Scored are the answers (and EOS, `with_end`), or everything after the first token."""
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros((len(rows), length), dtype=torch.int64)
    labels = torch.full((len(rows), length), -100, dtype=torch.int64)
    for index, row in enumerate(rows):
        tokens = torch.tensor(row.ids)
        ids[index, : len(tokens)] = tokens
        start, end = (row.start if answer_only else 1), (len(tokens) if with_end else row.end)
        labels[index, start:end] = tokens[start:end]
    first = min(row.start for row in rows) if answer_only else 1
    return Batch(ids.to(device), labels.to(device), first)


def batches_by_length(
    lengths: Sequence[int],
    rows: int,
    tokens: float = math.inf,
    apart: float = math.inf,
    generated: Sequence[int] | None = None,
) -> Iterator[list[int]]:
    """Indices in batches, the shortest first, so that little is padded.

    A batch has at most so many rows, and so many tokens with its padding; its lengths differ by at most `apart`.
    generated: how many tokens are still added to each.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        whole = lengths[index] + (generated[index] if generated else 0)
        full = len(batch) == rows or (len(batch) + 1) * whole > tokens
        if batch and (full or lengths[index] - lengths[batch[0]] > apart):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _lead(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text (BOS, for most)."""
    marked, bare = tokenizer("x")["input_ids"], tokenizer("x", add_special_tokens=False)["input_ids"]
    for begin in range(len(marked) - len(bare) + 1):
        if marked[begin : begin + len(bare)] == bare:
            return list(marked[:begin])
    return []


def common_length(rows: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all rows have in common."""
    return len(commonprefix(rows))  # noqa: RUF071, since these are tuples and no paths
