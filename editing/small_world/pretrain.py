"""The small world: a language model made within minutes from a snapshot's sentences, with no download.

A byte-level BPE tokenizer and a small Llama learn the world as of `since` by heart; an editor then has something real
to bring up to date. It also knows how the names go on of people who will matter later, as a model trained on much text
does. Leaves out any claim about language: it knows these sentences and their wordings only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from chronofacts.editing.models.context_facts import render_fact
from chronofacts.editing.models.encoding import Encoded, encode, render
from chronofacts.editing.small_world.context_examples import invented_contexts, misplaced_names
from chronofacts.editing.training import TrainingSettings, share_recalled, train
from chronofacts.schemas.errors import BadInput

__all__ = ["PASSES", "PretrainingReport", "WorldSettings", "blank_model", "pretrain"]

PASSES = 9
"""Over the sentences, at most."""
FEWEST_STEPS, MOST_STEPS = 1000, 6000
"""Bounds of what `PASSES` comes to: few sentences need many passes, and very many are not for so small a model."""

SPECIAL = ("<pad>", "<s>", "</s>")
"""The first tokens of the vocabulary, by which their ids are known."""

CAPITALISED = r"\p{Lu}(?:[\p{L}\p{M}\p{N}.-]|['’](?!s\b))*"
OTHER = r"['’]s\b| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"


@dataclass(frozen=True)
class WorldSettings:
    vocabulary: int = 6144
    hidden: int = 128
    feed_forward: int = 512
    """Keys of each layer, by which an editor that writes into the feed-forward matrices distinguishes facts."""
    layers: int = 2
    heads: int = 4
    spread: float = 0.06
    """Standard deviation of the first weights. At this width the usual 0.02 needs several times as many steps."""
    learning_rate: float = 2e-3
    batch_size: int = 32
    steps: int | None = None
    """At most so many, over which the learning rate falls; none: nine passes over the sentences, in 1,000 to 6,000
    steps."""
    target_recall: float = 0.98
    """Pretraining stops when so much of the sample is known. A run whose model never gets there warns of it."""
    check_every: int = 100
    sample: int = 600
    """Trained sentences of which recall is measured while training."""
    answer_only: bool = True
    contexts: float | None = None
    """Questions behind stated facts, per sentence, from which the model learns to read what stands before a question;
    None: 0.7 for a run of an editor that puts facts before questions (in-context, ike, rag, mello), which needs it;
    else 0."""
    names: float = 0.08
    """Names behind a question that they do not answer, per sentence, of which the end is learnt and not the beginning:
    whoever will hold an office later is known by name."""
    reading_steps: int = 1200
    """With contexts: first steps in which every answer stands in the context. Copying must be learnt first, since a
    model that knows the sentences by heart answers them without reading."""
    seed: int = 0

    def steps_for(self, examples: int) -> int:
        """The most steps over so many examples, in which each pass counts anew."""
        return self.steps or min(MOST_STEPS, max(FEWEST_STEPS, examples // self.batch_size))


@dataclass(frozen=True)
class PretrainingReport:
    steps: int
    seconds: float
    loss: float
    stopped: str
    parameters: int
    vocabulary: int
    sentences: int
    contexts: int
    """Questions behind stated facts, trained beside the sentences."""
    recall: float
    """Share of the trained sentences (a fixed sample) answered word for word."""
    recall_held_out: float | None
    """The same in wordings that were never trained; None when there are none."""
    target_recall: float
    target_reached: bool
    """Whether `recall` is at least that."""


def pretrain(
    sentences: pa.Table,
    edits: pa.Table,
    questions: pa.Table,
    settings: WorldSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, PretrainingReport]:
    """Train a small Llama from scratch on the sentences that are not held out, until it recalls them.

    The tokenizer also sees the questions and the new answers, so that an edit needs no letters it never met.
    Stops at `target_recall` or after `steps`, whatever the time: the same tables and settings give the same weights on
    the same kind of machine. Raises BadInput when there are no sentences.
    """
    trained = sentences.filter(pa.compute.invert(sentences["held_out"]))
    if not trained.num_rows:
        raise BadInput("the snapshot has no sentences to learn a small world from; refresh it, or name a --model")
    begun = time.perf_counter()
    progress(f"pretraining: making a tokenizer and examples of {trained.num_rows:,} sentences")
    texts = _question_texts(edits, questions)
    stated = zip(*(sentences[name].to_pylist() for name in ("prompt", "form", "answer")), strict=True)
    tokenizer = _make_tokenizer([*(render_fact(*row) for row in stated), *texts], settings.vocabulary)
    examples = _encode_sentences(tokenizer, trained)
    unseen = _encode_sentences(tokenizer, sentences.filter(sentences["held_out"]))
    sample, known = _choose(examples, settings.sample, settings.seed), len(examples)
    copying, contexts, names = _context_examples(tokenizer, trained, edits, settings)
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]] if texts else []
    longest = max(lengths + [len(one.ids) for one in examples + copying + contexts + unseen])
    model = blank_model(settings, len(tokenizer), longest)

    def recalls(step: int, loss: float) -> bool:
        recall = share_recalled(model, sample)
        progress(f"pretraining: step {step}, loss {loss:.2f}, recall {recall:.2f}")
        return recall >= settings.target_recall

    if copying:
        progress(f"pretraining: learning to read what stands before a question, {settings.reading_steps} steps")
        train(model, copying, replace(_training(settings, known), steps=settings.reading_steps), progress=progress)
    # A context that came twice could be learnt by heart, and nothing would be read: each comes once.
    mixed = examples * PASSES + names + contexts
    progress(
        f"pretraining: at most {settings.steps_for(len(mixed)):,} steps, until {settings.target_recall:.0%} is known"
    )
    report = train(model, mixed, _training(settings, len(mixed)), recalls)
    recall = share_recalled(model, sample)
    held_out = share_recalled(model, _choose(unseen, settings.sample, settings.seed)) if unseen else None
    return model, tokenizer, PretrainingReport(
        report.steps, round(time.perf_counter() - begun, 2), round(report.loss, 4), report.stopped,
        model.num_parameters(), len(tokenizer), known, len(contexts), recall, held_out,
        settings.target_recall, recall >= settings.target_recall,
    )  # fmt: skip


def _encode_sentences(tokenizer: Any, sentences: pa.Table) -> list[Encoded]:
    """`tables.SENTENCES` as tokens: questions as `Q: … A:`, clozes as they are, each with its answer and EOS."""
    forms, prompts = sentences["form"].to_pylist(), sentences["prompt"].to_pylist()
    rendered = [render(prompt, form) for prompt, form in zip(prompts, forms, strict=True)]
    return encode(tokenizer, rendered, sentences["answer"].to_pylist())


def _context_examples(
    tokenizer: Any, sentences: pa.Table, edits: pa.Table, settings: WorldSettings
) -> tuple[list[Encoded], list[Encoded], list[Encoded]]:
    """Questions about one stated fact, from which copying is learnt, the mixture that retains it, and misplaced names.

    The first two are empty without contexts. A name is scored from its second token on: how it ends, and not where.
    """
    passes, seed = PASSES * sentences.num_rows, settings.seed
    copying = settings.reading_steps * settings.batch_size if settings.contexts else 0
    found = (
        invented_contexts(sentences, edits, copying, seed, reading_only=True),
        invented_contexts(sentences, edits, round(passes * (settings.contexts or 0.0)), seed + 1),
        misplaced_names(sentences, edits, round(passes * settings.names), seed + 2),
    )
    first, mixture, names = (encode(tokenizer, [p for p, _ in pairs], [a for _, a in pairs]) for pairs in found)
    return first, mixture, [replace(one, start=one.start + 1) for one in names]


def _question_texts(edits: pa.Table, questions: pa.Table) -> list[str]:
    """The edits' prompts and the questions, with the right answers."""
    prompts = [*edits["prompt"].to_pylist(), *questions["question"].to_pylist()]
    answers = [*edits["target_new"].to_pylist(), *questions["answer"].to_pylist()]
    return [render_fact(prompt, "question", answer) for prompt, answer in zip(prompts, answers, strict=True)]


def _pieces(texts: list[str]) -> Regex:
    """What a token never reaches beyond: a word, a number, or a name of several words.

    A name that comes often enough becomes one token. In a large model its first token calls up the rest; this one is
    too small to learn that well. A capitalised word that is also written small ("In", "The", "President") is no name.
    """
    words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text)}
    common = sorted(word for word in words if word[0].isupper() and word[0].lower() + word[1:] in words)
    apart = rf"(?:{'|'.join(common)})(?![\p{{L}}\p{{M}}\p{{N}}.-])" if common else "(?!)"
    named = rf"(?!{apart}){CAPITALISED}"
    return Regex(rf" ?{apart}| ?{named}(?: {named})*|{OTHER}")


def _make_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(BPE(unk_token=None))
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(_pieces(texts), "isolated"), in_bytes])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[*SPECIAL], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")  # noqa: S106


def blank_model(settings: WorldSettings, vocabulary: int | None = None, longest: int = 0) -> LlamaForCausalLM:
    """The small world before it has learnt anything.

    vocabulary: by default the most that the settings allow. longest: text, in tokens.
    """
    pad, bos, eos = range(len(SPECIAL))
    config = LlamaConfig(
        vocab_size=settings.vocabulary if vocabulary is None else vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=max(256, 2 * longest),  # room for longer questions and free generation
        tie_word_embeddings=True,
        initializer_range=settings.spread,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(config)
        model.eval()
        return model


def _training(settings: WorldSettings, examples: int) -> TrainingSettings:
    return TrainingSettings(
        steps=settings.steps_for(examples),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        answer_only=settings.answer_only,
        check_every=settings.check_every,
        seed=settings.seed,
    )


def _choose(examples: list[Encoded], most: int, seed: int) -> list[Encoded]:
    return [examples[index] for index in np.sort(np.random.default_rng(seed).permutation(len(examples))[:most])]
