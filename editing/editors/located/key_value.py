"""What ROME and MEMIT have in common: where a fact is looked up (the key), and what should be found there (the value).

Symbols as in Meng et al. 2022 (ROME, arXiv 2202.05262) and 2023 (MEMIT, arXiv 2210.07229). All values of a batch are
optimised at once, one row of the batch and one vector per fact; since the optimiser works elementwise, this is what
fact by fact would give. Leaves out the prefixes of text that the papers sample from the model: a fact's own wordings
take their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import torch
from torch.nn import functional

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.located.key_covariance import covariances, texts_from
from chronofacts.editing.editors.trained.examples import Wording, edit_lessons
from chronofacts.editing.models.architecture import share_of_depth
from chronofacts.editing.models.encoding import Encoded, encode, pad
from chronofacts.editing.models.hooks import hidden_of
from chronofacts.editing.models.load import answer_logits, context_length, find_blocks, keeps_some_logits
from chronofacts.editing.models.subject_tokens import subject_end
from chronofacts.schemas.errors import BadInput

__all__ = [
    "Fact",
    "Site",
    "ValueSettings",
    "capture",
    "choose_layers",
    "choose_site",
    "find_facts",
    "key_covariances",
    "optimise_in_parts",
    "optimise_values",
]

Site = Literal["auto", "subject", "prompt"]
"""Where in the text the store is read: at the subject's last token, as in the papers, or at the prompt's last token.

A deep model looks a fact up at the subject and carries it to the end of the prompt in the layers above. A model with
few layers above (`auto`: fewer than DEEP) looks it up where the answer begins, and nothing written at the subject
reaches the answer.
"""
DEEP = 6

ESSENCE = "{} is a"
"""What the subject is must stay (the KL term of both papers)."""


@dataclass(frozen=True)
class Fact:
    """One value to be found: an edit, or several that share their key."""

    contexts: tuple[Encoded, ...]
    """Wordings with the answer and its end."""
    ends: tuple[int, ...]
    """In each of them, the position of the subject's last token."""
    essence: Encoded
    essence_end: int
    subject: str
    named: bool
    """False where a wording does not name the subject: its last token stands in."""


class StatisticsOptions(Protocol):
    """What text the keys are counted on: settings that ROME and MEMIT have in common."""

    @property
    def statistics_texts(self) -> int: ...
    @property
    def statistics_text(self) -> str | None: ...
    @property
    def statistics_cache(self) -> str | None: ...


@dataclass(frozen=True)
class ValueSettings:
    steps: int
    rate: float
    kl_factor: float
    decay: float
    """Of the vector's squared norm, relative to that of what it is added to."""
    clamp: float
    """The vector's norm, relative to that of what it is added to, is at most this."""
    enough: float = 0.05
    """A fact's vector is found when its loss is below, whatever stands beside it in the batch."""


def choose_site(model: Any, site: Site, layer: int) -> str:
    """`subject` or `prompt`, for an edit of this layer."""
    return site if site != "auto" else ("subject" if _layers_above(model, layer) >= DEEP else "prompt")


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
    model: Any, tokenizer: Any, edits: pa.Table, wordings: Sequence[Wording], paraphrases: int, apart: bool, site: str
) -> list[Fact]:
    """The edits as facts, in their order.

    apart: a fact per wording (MEMIT, whose equations take any number of keys), else one per edit over all its
    wordings (ROME). Wordings whose tokens are the same up to the subject's last have the same key, and no matrix can
    hold two values for it: they become one fact whose value serves all (MEMIT-Merge, arXiv 2502.07322).
    site: `subject` or `prompt`, see `Site`.
    """
    found: dict[tuple[int, ...], list[tuple[Encoded, int, str, bool]]] = {}
    for edit in range(edits.num_rows):
        row = edits.slice(edit, 1)
        names = [row["subject_label"][0].as_py(), *(row["subject_aliases"][0].as_py() or ())]
        lessons = edit_lessons(row, wordings, paraphrases)
        prompts = [lesson.prompt for lesson in lessons]
        encoded = encode(tokenizer, prompts, [lesson.answer for lesson in lessons], context_length(model))
        first: tuple[int, ...] | None = None
        for prompt, one in zip(prompts, encoded, strict=True):
            end, named = subject_end(tokenizer, prompt, one, names) if site == "subject" else (one.start - 1, True)
            key = one.ids[: end + 1]
            first = key if apart or first is None else first
            found.setdefault(first, []).append((one, end, names[0], named))
    return [_fact(tokenizer, members, site) for members in found.values()]


def key_covariances(
    model: Any, tokenizer: Any, names: Sequence[str], edits: Material, config: StatisticsOptions
) -> Mapping[str, torch.Tensor]:
    """C of each named matrix over the text that the settings name (`key_covariance`); errors as there."""
    counted = edits.counted if edits.counted is not None else {}
    if not set(names) <= counted.keys():
        texts = texts_from(edits.sentences, config.statistics_text, config.statistics_texts)
        cache = Path(config.statistics_cache) if config.statistics_cache else None
        counted |= covariances(model, tokenizer, names, texts, cache, edits.progress)
    return {name: counted[name] for name in names}


@torch.no_grad()
def capture(model: Any, module: Any, facts: Sequence[Fact], inputs: bool, rows: int = 128) -> torch.Tensor:
    """What enters or leaves `module` at the subject's last token, mean over the wordings: (facts, width), float64."""
    flat = [(context, end) for fact in facts for context, end in zip(fact.contexts, fact.ends, strict=True)]
    caught: list[torch.Tensor] = []

    def keep(_module: Any, entering: Any, leaving: Any) -> None:
        caught.append(entering[0] if inputs else hidden_of(leaving))

    taken = []
    watch = module.register_forward_hook(keep)
    try:
        for begin in range(0, len(flat), rows):
            part = flat[begin : begin + rows]
            batch = pad([context for context, _ in part], True, next(model.parameters()).device)
            model(input_ids=batch.ids, use_cache=False)
            taken.append(caught.pop()[range(len(part)), [end for _, end in part]].double())
    finally:
        watch.remove()
    sizes = [len(fact.contexts) for fact in facts]
    return torch.stack([part.mean(0) for part in torch.cat(taken).split(sizes)])


def optimise_in_parts(
    model: Any,
    module: Any,
    facts: Sequence[Fact],
    settings: ValueSettings,
    at_once: int,
    progress: Callable[[int], None] = lambda done: None,
    tell: Callable[[str], None] = lambda line: None,
) -> torch.Tensor:
    """`optimise_values`, `at_once` facts at a time; where these do not fit the memory, half as many, and says so.

    progress: told how many are done. Raises BadInput when not even one fits.
    """
    found: list[torch.Tensor] = []
    begin = 0
    while begin < len(facts):
        progress(begin)
        try:
            found.append(optimise_values(model, module, facts[begin : begin + at_once], settings))
        except torch.OutOfMemoryError as error:
            if at_once == 1:
                raise BadInput("not even one fact fits the memory; take a smaller model or cpu") from error
            at_once = min(at_once, len(facts) - begin) // 2 or 1
            tell(f"out of memory: going on with {at_once} facts at once")
            continue
        begin += at_once
    return torch.cat(found)


def optimise_values(model: Any, module: Any, facts: Sequence[Fact], settings: ValueSettings) -> torch.Tensor:
    """delta: what must be added to the module's output at the subject's last token so that the answers are spoken.

    Returns (facts, width). Minimises the mean over wordings of the answer's negative log-likelihood (end included),
    plus KL of the next token after "{subject} is a", plus decay (ROME, eq. 4), with Adam, from zero.
    """
    flat = [
        (row, context, end)
        for row, fact in enumerate(facts)
        for context, end in zip(fact.contexts, fact.ends, strict=True)
    ]
    device = next(model.parameters()).device
    spoken = pad([context for _, context, _ in flat], True, device)
    essence = pad([fact.essence for fact in facts], True, device, with_end=False)
    owners = torch.tensor([row for row, _, _ in flat], device=device)
    ends = torch.tensor([end for _, _, end in flat], device=device)
    essence_ends = torch.tensor([fact.essence_end for fact in facts], device=device)
    last = torch.tensor([fact.essence.start - 1 for fact in facts], device=device)
    shares = torch.bincount(owners, minlength=len(facts)).float()
    scale = capture(model, module, facts, inputs=False).float().norm(dim=1).to(device)  # (facts,)
    delta = torch.zeros((len(facts), model.get_input_embeddings().weight.shape[1]), device=device, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=settings.rate)
    with torch.no_grad():
        before = _next_token(model, essence.ids, last)
    left = torch.ones(len(facts), dtype=torch.bool, device=device)
    for _ in range(settings.steps):
        rows, now = torch.nonzero(left[owners])[:, 0], torch.nonzero(left)[:, 0]
        with _adding(module, delta[owners[rows]], ends[rows]):
            logits = answer_logits(model, spoken.ids[rows], spoken.first).float()
        labels = spoken.labels[rows, spoken.first :]
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
        per_wording = losses.sum(1) / (labels != -100).sum(1)
        speaking = (torch.zeros(len(facts), device=device).index_add(0, owners[rows], per_wording) / shares)[now]
        with _adding(module, delta[now], essence_ends[now]):
            after = _next_token(model, essence.ids[now], last[now])
        drift = functional.kl_div(after, before[now], log_target=True, reduction="none").sum(1)
        weight = (delta[now].norm(dim=1) / scale[now]) ** 2
        going = ~(speaking < settings.enough)  # what is no number goes on, and is noticed
        left[now] = going
        if not bool(going.any()):
            break
        total = speaking + settings.kl_factor * drift + settings.decay * weight
        (delta.grad,) = torch.autograd.grad(total[going].sum(), delta)
        found = delta.detach().clone()
        optimizer.step()
        with torch.no_grad():
            longest = settings.clamp * scale / delta.norm(dim=1).clamp_min(1e-12)
            delta.mul_(longest.clamp_max(1.0)[:, None])
            delta[~left] = found[~left]
    return delta.detach()


def _fact(tokenizer: Any, members: list[tuple[Encoded, int, str, bool]], site: str) -> Fact:
    subject = members[0][2]
    text = ESSENCE.format(subject)
    (essence,) = encode(tokenizer, [text], ["x"])
    end = subject_end(tokenizer, text, essence, [subject])[0] if site == "subject" else essence.start - 1
    contexts, ends = tuple(member[0] for member in members), tuple(member[1] for member in members)
    return Fact(contexts, ends, essence, end, subject, all(member[3] for member in members))


def _next_token(model: Any, ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (rows, vocabulary) of what follows position `last` of each row."""
    wanted, place = torch.unique(last, return_inverse=True)
    kept = {"logits_to_keep": wanted} if keeps_some_logits(model) else {}
    logits = model(input_ids=ids, use_cache=False, **kept).logits
    chosen = logits[torch.arange(len(ids), device=ids.device), place if kept else last]
    return chosen.float().log_softmax(-1)  # type: ignore[no-any-return]


@contextmanager
def _adding(module: Any, vectors: torch.Tensor, positions: torch.Tensor) -> Iterator[None]:
    """While inside, the module's output has `vectors[row]` added at `positions[row]`."""

    def add(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = hidden_of(output)
        at = functional.one_hot(positions, hidden.shape[1]).to(hidden.dtype)  # (rows, length)
        moved = hidden + at[:, :, None] * vectors[:, None, :].to(hidden.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    hook = module.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()
