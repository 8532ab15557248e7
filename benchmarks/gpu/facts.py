"""Facts of a snapshot as training texts, and a tokenizer for models of random weights."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from chronofacts.editing.editors.trained.examples import make_examples
from chronofacts.editing.facts import drop_duplicates
from chronofacts.editing.models.encoding import render
from chronofacts.editing.snapshot import Snapshot

__all__ = ["choose_questions", "list_facts", "make_tokenizer"]

WORDINGS = 5
Fact = list[tuple[str, str]]
"""The wordings of one fact, as prompts with the answer."""


def list_facts(snapshot: Snapshot, count: int) -> list[Fact]:
    """So many facts in up to five wordings: the edits first, then what the snapshot's sentences say."""
    edits = drop_duplicates(snapshot.edits)
    facts = []
    for index in range(min(count, edits.num_rows)):
        texts = make_examples(edits.slice(index, 1), ("prompt", "paraphrases", "cloze"), 3)
        facts.append([(text.prompt, text.answer) for text in texts])
    said: dict[tuple[Any, ...], Fact] = {}
    for row in snapshot.sentences.to_pylist():
        key = (row["subject"], row["relation"], row["asked_on"], row["answer"])
        said.setdefault(key, []).append((render(row["prompt"], row["form"]), row["answer"]))
    several = [wordings[:WORDINGS] for wordings in said.values() if len(wordings) > 1]
    return [*facts, *several][:count]


def choose_questions(snapshot: Snapshot, count: int) -> pa.Table:
    """So many questions, evenly spread, so that all kinds are among them."""
    total = snapshot.questions.num_rows
    count = min(count, total)
    return snapshot.questions.take(pa.array([index * total // count for index in range(count)]))


def make_tokenizer(snapshot: Snapshot, vocabulary: int) -> Any:
    """Byte-level BPE of the snapshot's own texts, with BOS and EOS."""
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    texts = snapshot.questions["question"].to_pylist() + snapshot.questions["answer"].to_pylist()
    bpe.train_from_iterator([text for text in texts if text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
