"""What located editors share: where the model looks a fact up (the key), and what it should find there (the value).

Symbols as in Meng et al. 2022 (ROME, arXiv 2202.05262) and 2023 (MEMIT, arXiv 2210.07229). All vectors of a batch are
optimised at once, one row of the batch and one vector per fact; the optimiser works elementwise, so that the result is
that of fact by fact. The papers put texts sampled from the model before a prompt; here a fact has several wordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, TypeVar

import pyarrow as pa
import torch
from torch.nn import functional

from chronofacts.editing.editors.trained.examples import Wording, encode_examples, make_examples
from chronofacts.editing.forward.prompt_prefix_cache import read_common_prefix
from chronofacts.editing.forward.row_beginnings import read_beginnings
from chronofacts.editing.forward.scored_logits import logits_at
from chronofacts.editing.models.architecture import share_of_depth
from chronofacts.editing.models.blocks import find_blocks
from chronofacts.editing.models.encoding import Batch, Encoded, batches_by_length, encode, pad
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.hooks import AfterHook, hidden_of, hooked, in_rows, with_hidden
from chronofacts.editing.models.key_value_cache import reading
from chronofacts.editing.models.subject_tokens import subject_end
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.training import frozen_in_bfloat16, gains_by_bfloat16, in_bfloat16
from chronofacts.schemas.errors import BadInput

__all__ = [
    "Fact",
    "LocatedSettings",
    "LookupPosition",
    "are_said",
    "capture",
    "choose_layers",
    "choose_position",
    "find_facts",
    "optimise_deltas",
    "settings_of_pass",
]

LookupPosition = Literal["auto", "subject", "prompt"]
"""The token at which a key is read: the subject's last one, as in the papers, or the prompt's last one.

A deep model looks a fact up at the subject and carries it to the end of the prompt in the layers above. A model with
few layers above (`auto`: fewer than DEEP) looks it up where the answer begins, and nothing written at the subject
reaches the answer.
"""
DEEP = 6

KL_PROMPT = "{} is a"
"""The next token after it must stay as it was (the KL term of both papers)."""
READ_AT_ONCE = 32
"""Facts whose texts a CPU reads side by side: beside more of them, shorter ones are padded to the longest. Ten steps
for 60 facts of SmolLM2, with what comes first: 22 s with 16, 17.6 with 32, 17.3 with 64 (two threads with AMX)."""
LATER_RATE = 0.1
SAID_AT_ONCE = 128
"""Texts that are asked together whether they are said."""
ENOUGH = 0.05
"""A fact's vector is found when its loss is below, whatever else is in the batch."""


@dataclass(frozen=True)
class LocatedSettings:
    """The `--set` keys that all of these editors have."""

    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    site: LookupPosition = "auto"
    wordings: tuple[Wording, ...] = ("prompt",)
    """Of each fact; a small model has no room for several."""
    paraphrases: int = 2
    value_steps: int = 50
    """At most; the papers take 20 to 25. Small steps need so many where the hidden states are large, and a vector that
    is found takes no more of them."""
    value_rate: float = 0.5
    """Of Adam, constant: with longer steps the vectors are longer, and what is written disturbs other tokens more."""
    kl_factor: float = 0.0625
    kl_every: int = 4
    """Steps for which one gradient of the KL term serves; the papers: 1. It is nearly half of the work."""
    decay: float = 0.0
    """Of the vector's squared norm, relative to that of what it is added to. The papers' toolkits use 0.5 for models of
    billions; a small one needs its whole width."""
    clamp: float = 4.0
    """The vector's norm, relative to that of what it is added to, is at most this."""
    facts_at_once: int = 128
    """Values optimised together."""
    statistics_texts: int = 4000
    statistics_text: str | None = None
    """A text file, one text per line, instead of the snapshot's sentences."""
    statistics_cache: str | None = None


@dataclass(frozen=True)
class Fact:
    """One value to be found: an edit, or several that share their key."""

    contexts: tuple[Encoded, ...]
    """Wordings with the answer and its end."""
    lookups: tuple[int, ...]
    """The lookup position in each of them."""
    kl_prompt: Encoded
    kl_lookup: int
    named: bool
    """False where a wording does not name the subject: its last token stands in."""


Located = TypeVar("Located", bound=LocatedSettings)


def settings_of_pass(settings: Located, number: int) -> Located:
    """With short steps after the first pass (0): what is nearly said lacks little, and Adam begins with full steps."""
    return replace(settings, value_rate=min(settings.value_rate, LATER_RATE)) if number else settings


def choose_position(model: Any, position: LookupPosition, layer: int) -> str:
    """`subject` or `prompt`, for an edit of this layer."""
    return position if position != "auto" else ("subject" if _layers_above(model, layer) >= DEEP else "prompt")


def choose_layers(model: Any, first: float, last: float, shallow: int) -> list[int]:
    """The layers between two shares of the depth; of a model with few layers above those, its last `shallow` ones."""
    chosen = list(range(share_of_depth(model, first), share_of_depth(model, last) + 1))
    if _layers_above(model, chosen[-1]) >= DEEP:
        return chosen
    blocks = len(find_blocks(model)[1])
    return list(range(max(0, blocks - shallow), blocks))


def _layers_above(model: Any, layer: int) -> int:
    return len(find_blocks(model)[1]) - 1 - layer


def find_facts(
    model: Any, tokenizer: Any, edits: pa.Table, settings: LocatedSettings, apart: bool, position: str
) -> list[Fact]:
    """The edits as facts, in their order.

    apart: a fact per wording (MEMIT, whose equations take any number of keys), else one per edit over all its
    wordings (ROME). Wordings whose tokens are the same up to the lookup position have the same key, and no matrix can
    hold two values for it: they become one fact whose value serves all (MEMIT-Merge, arXiv 2502.07322).
    position: `subject` or `prompt`, see `LookupPosition`.
    """
    found: dict[tuple[int, ...], list[tuple[Encoded, int, str, bool]]] = {}
    for edit in range(edits.num_rows):
        row = edits.slice(edit, 1)
        names = [row["subject_label"][0].as_py(), *(row["subject_aliases"][0].as_py() or ())]
        examples = make_examples(row, settings.wordings, settings.paraphrases)
        first: tuple[int, ...] | None = None
        for example, one in zip(examples, encode_examples(model, tokenizer, examples), strict=True):
            at_subject = position == "subject"
            end, named = subject_end(tokenizer, example.prompt, one, names) if at_subject else (one.start - 1, True)
            key = one.ids[: end + 1]
            first = key if apart or first is None else first
            found.setdefault(first, []).append((one, end, names[0], named))
    return [_make_fact(tokenizer, members, position) for members in found.values()]


def _make_fact(tokenizer: Any, members: list[tuple[Encoded, int, str, bool]], position: str) -> Fact:
    contexts, lookups, subjects, named = zip(*members, strict=True)
    text = KL_PROMPT.format(subjects[0])
    (prompt,) = encode(tokenizer, [text], ["x"])
    at_subject = position == "subject"
    lookup = subject_end(tokenizer, text, prompt, [subjects[0]])[0] if at_subject else prompt.start - 1
    return Fact(contexts, lookups, prompt, lookup, all(named))


@torch.no_grad()
def capture(model: Any, module: Any, facts: Sequence[Fact], inputs: bool, rows: int = 128) -> torch.Tensor:
    """What enters or leaves `module` at the lookup position, mean over the wordings: (facts, width), float64."""
    flat = [(context, lookup) for fact in facts for context, lookup in zip(fact.contexts, fact.lookups, strict=True)]
    caught: list[torch.Tensor] = []

    def keep(_module: Any, entering: Any, leaving: Any) -> None:
        caught.append(entering[0] if inputs else hidden_of(leaving))
        raise _Caught

    taken = []
    with hooked([(module, keep)]):
        for begin in range(0, len(flat), rows):
            part = flat[begin : begin + rows]
            batch = pad([context for context, _ in part], True, next(model.parameters()).device)
            with suppress(_Caught):
                model(input_ids=batch.ids, use_cache=False)
            found = in_rows(caught.pop(), len(part))
            taken.append(found[range(len(part)), [lookup for _, lookup in part]].double())
    sizes = [len(fact.contexts) for fact in facts]
    return torch.stack([part.mean(0) for part in torch.cat(taken).split(sizes)])


def are_said(model: Any, facts: Sequence[Fact]) -> list[bool]:
    """Of each fact, does the model now say the whole answer and its end, under every wording?"""
    found = teacher_force(model, [context for fact in facts for context in fact.contexts], SAID_AT_ONCE)
    ends = accumulate(len(fact.contexts) for fact in facts)
    return [
        all(one.greedy_match for one in found[end - len(fact.contexts) : end])
        for fact, end in zip(facts, ends, strict=True)
    ]


class _Caught(Exception):
    """Ends a forward pass: the layers above have no part in what was captured."""


def optimise_deltas(
    model: Any,
    module: Any,
    facts: Sequence[Fact],
    settings: LocatedSettings,
    enough: float = ENOUGH,
    progress: Callable[[str], None] = lambda line: None,
) -> torch.Tensor:
    """delta: what the module's output lacks at the lookup position for the model to answer as it should.

    Returns (facts, width). Minimises the mean over wordings of the answer's negative log-likelihood (end included),
    plus KL of the next token after "{subject} is a", plus decay (ROME, eq. 4), with Adam, from zero. A vector is final
    once its fact's likelihood term is below `enough`. Raises BadInput for `kl_every` below 1.
    """
    if settings.kl_every < 1:
        raise BadInput(f"kl_every = {settings.kl_every}; it must be at least 1")
    device = next(model.parameters()).device
    norms = capture(model, module, facts, inputs=False).float().norm(dim=1).to(device)  # (facts,)
    width = model.get_input_embeddings().weight.shape[1]
    delta = torch.zeros((len(facts), width), device=device, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=settings.value_rate)
    left = torch.ones(len(facts), dtype=torch.bool, device=device)
    steps_done = Progress(progress, f"finding {len(facts)} values: step", settings.value_steps)
    longest_text = max(len(context.ids) for fact in facts for context in fact.contexts)
    with _speed_up_reading(model, device, longest_text):
        groups = _group(model, module, facts)
        held = torch.zeros_like(delta)  # the gradient of the KL terms, which changes slowly
        for step in range(settings.value_steps):
            steps_done.update(step)
            weight = (delta.norm(dim=1) / norms) ** 2
            (gradient,) = torch.autograd.grad(settings.decay * weight.sum(), delta)
            for members, objective in groups:
                if not len(now := torch.nonzero(left[members])[:, 0]):
                    continue
                nll = objective.nll(delta[members], now)
                going = ~(nll < enough)  # what is no number goes on, and is noticed
                left[members[now]] = going
                if bool(going.any()):
                    gradient += torch.autograd.grad(nll[going].sum(), delta)[0]
                    if settings.kl_factor and step % settings.kl_every == 0:
                        kl = settings.kl_factor * objective.kl(delta[members], now[going]).sum()
                        held[members] = torch.autograd.grad(kl, delta)[0][members]
            if not bool(left.any()):
                break
            delta.grad = gradient + held
            before = delta.detach().clone()
            optimizer.step()
            with torch.no_grad():
                longest = settings.clamp * norms / delta.norm(dim=1).clamp_min(1e-12)
                delta.mul_(longest.clamp_max(1.0)[:, None])
                delta[~left] = before[~left]
    return delta.detach()


def _group(model: Any, module: Any, facts: Sequence[Fact]) -> list[tuple[torch.Tensor, _Objective]]:
    """The facts in groups of texts of like length, so that little is padded: numbers of facts, and their objective."""
    device = next(model.parameters()).device
    read = [max(len(one.ids) - at for one, at in zip(fact.contexts, fact.lookups, strict=True)) for fact in facts]
    return [
        (torch.tensor(members, device=device), _Objective.build(model, module, [facts[index] for index in members]))
        for members in batches_by_length(read, READ_AT_ONCE if device.type == "cpu" else len(facts))
    ]


@contextmanager
def _speed_up_reading(model: Any, device: torch.device, length: int) -> Iterator[None]:
    """Nothing of the model requires a gradient while inside, and it computes in bfloat16 where that is faster.

    length: of the longest text, in tokens.
    """
    fast = gains_by_bfloat16(model)
    with (
        only_trained(model),
        frozen_in_bfloat16(model, fast),
        in_bfloat16(device, fast, length),
    ):
        yield


@dataclass(frozen=True)
class _Before:
    """What is read once, since no vector changes what the model makes of it."""

    skipped: list[int]
    """Tokens of each text."""
    reading: Callable[[torch.Tensor, int], dict[str, Any]]
    """Texts, and how many tokens more of each -> with which named arguments the model reads these."""


@dataclass(frozen=True)
class _Objective:
    """The terms of the loss that the model computes, for all facts side by side."""

    model: Any
    module: Any
    contexts: Batch
    owners: torch.Tensor
    """The fact of each context."""
    lookups: torch.Tensor
    kl_prompts: Batch
    kl_lookups: torch.Tensor
    kl_last: torch.Tensor
    """The last token of each KL prompt."""
    kl_before: torch.Tensor
    """The unedited model's log-probabilities after it."""
    before: _Before
    before_kl: _Before

    @classmethod
    def build(cls, model: Any, module: Any, facts: Sequence[Fact]) -> _Objective:
        device = next(model.parameters()).device
        whole = [context for fact in facts for context in fact.contexts]
        lookups = [lookup for fact in facts for lookup in fact.lookups]
        asked = [Encoded(one.prompt, one.start, one.start) for one in (fact.kl_prompt for fact in facts)]
        before, before_kl = (
            _read_before(model, whole, lookups), _read_before(model, asked, [fact.kl_lookup for fact in facts])
        )  # fmt: skip
        contexts = _pad_after(whole, before, device)
        prompts = _pad_after(asked, before_kl, device)
        owners = torch.tensor([row for row, fact in enumerate(facts) for _ in fact.contexts], device=device)
        skipped, kl_skipped = (torch.tensor(one.skipped, device=device) for one in (before, before_kl))
        last = torch.tensor([one.start - 1 for one in asked], device=device) - kl_skipped
        kl_lookups = torch.tensor([fact.kl_lookup for fact in facts], device=device) - kl_skipped
        with torch.no_grad():
            known = _predict_next(model, prompts.ids, last, before_kl, torch.arange(len(facts), device=device))
        return cls(
            model, module, contexts, owners, torch.tensor(lookups, device=device) - skipped, prompts, kl_lookups, last,
            known, before, before_kl,
        )  # fmt: skip

    @property
    def device(self) -> torch.device:
        return self.owners.device

    def nll(self, delta: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """(facts,): mean over each one's wordings. facts: which ones, ascending."""
        rows = torch.nonzero(torch.isin(self.owners, facts))[:, 0]
        owners, ids, labels = self.owners[rows], self.contexts.ids[rows], self.contexts.labels[rows]
        scored, columns = torch.nonzero(labels != -100).T
        with hooked([(self.module, _add_at(delta[owners], self.lookups[rows]))]):
            given = self.before.reading(rows, ids.shape[1] - 1)  # the last token predicts nothing
            logits = logits_at(self.model, scored, columns - 1, input_ids=ids[:, :-1], **given).float()
        losses = functional.cross_entropy(logits, labels[scored, columns], reduction="none")
        none = torch.zeros(len(rows), device=self.device)
        per_wording = none.index_add(0, scored, losses) / torch.bincount(scored, minlength=len(rows))
        wordings = torch.bincount(self.owners, minlength=len(delta)).float()
        return (torch.zeros(len(delta), device=self.device).index_add(0, owners, per_wording) / wordings)[facts]

    def kl(self, delta: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        with hooked([(self.module, _add_at(delta[facts], self.kl_lookups[facts]))]):
            after = _predict_next(self.model, self.kl_prompts.ids[facts], self.kl_last[facts], self.before_kl, facts)
        return functional.kl_div(after, self.kl_before[facts], log_target=True, reduction="none").sum(1)


@torch.no_grad()
def _read_before(model: Any, texts: Sequence[Encoded], lookups: Sequence[int]) -> _Before:
    """What stands before each text's lookup position; of a model that cannot be read so, what all texts begin with."""
    rows = [text.ids for text in texts]
    if own := read_beginnings(model, rows, lookups):
        return _Before(list(lookups), own.reading)
    limit = min(*lookups, *(text.start - 1 for text in texts)) if texts else 0
    common = read_common_prefix(model, rows, limit)
    return _Before([common.length] * len(rows), lambda few, _: reading(model, common.cache_for(len(few))))


def _pad_after(texts: Sequence[Encoded], before: _Before, device: torch.device) -> Batch:
    """What is still to be read of each text."""
    return pad([text.after(skipped) for text, skipped in zip(texts, before.skipped, strict=True)], True, device)


def _predict_next(
    model: Any, ids: torch.Tensor, last: torch.Tensor, before: _Before, rows: torch.Tensor
) -> torch.Tensor:
    """Log-probabilities (rows, vocabulary) of what follows position `last` of each row. rows: which texts these are."""
    own = torch.arange(len(ids), device=ids.device)
    return logits_at(model, own, last, input_ids=ids, **before.reading(rows, ids.shape[1])).float().log_softmax(-1)


def _add_at(vectors: torch.Tensor, positions: torch.Tensor) -> AfterHook:
    """Adds `vectors[row]` to a module's output at `positions[row]`."""

    def add(_module: Any, _inputs: Any, output: Any) -> Any:
        whole = hidden_of(output)
        hidden = in_rows(whole, len(positions))
        at = functional.one_hot(positions, hidden.shape[1]).to(hidden.dtype)  # (rows, length)
        return with_hidden(output, (hidden + at[:, :, None] * vectors[:, None, :].to(hidden.dtype)).view_as(whole))

    return add
